import { annotated, inNamespace, postgres } from '../../apps/index.ts';
import {
  judgeComplete,
  judgeInconsistent,
  judgeThawFailed,
  startLateBackup,
} from '../../stage/late.ts';
import type { Stage } from '../../stage/stage.ts';
import { inNamespaces, underLoad } from '../../stage/under-load.ts';
import type { Story } from '../story.ts';

const FROM = 'velero-killed';
const POD = 'db-0';

export const veleroKilled: Story = {
  name: 'velero-killed',
  group: 'ugly',
  title: 'PostgreSQL: Velero is killed while the database is held',
  inCi: true,
  play: async (stage) => {
    const app = postgres(inNamespace(FROM), annotated({ 'quiesce.dev/ttl': '45s' }));
    await inNamespaces(stage, [FROM], async () => {
      await stage.deploy(app);
      const name = `velero-killed-${stage.tag}`;
      await underLoad(stage, app, name, async () => {
        await startLateBackup(stage, name, app);
        await killVelero(stage);
        const { phase } = await stage.velero.backupEnded(name);
        stage.equal('the backup is Failed', phase, 'Failed');
        await stage.sidecar(FROM, POD).thawed();
      });
      await judgeInconsistent(stage, app, 'lease-expired');
      await next(stage, name);
    });
  },
};

async function killVelero({ tools }: Stage): Promise<void> {
  const where = ['-n', 'velero'];
  const now = ['--force', '--grace-period=0'];
  await tools.kubectl([...where, 'delete', 'pod', '-l', 'deploy=velero', ...now]);
  await tools.kubectl([...where, 'rollout', 'status', 'deployment/velero', '--timeout=180s']);
}

/** docs/velero.md: the thaw that never came is still expected, until a person says that it will not come. */
async function next(stage: Stage, name: string): Promise<void> {
  const options = { namespaces: [FROM] };
  const second = await stage.velero.backup(`${name}-2`, options);
  await judgeThawFailed(stage, second, /is released, but not proven/);
  const { status, stderr } = await stage.sidecar(FROM, POD).quiesce('thaw');
  stage.equal('quiesce thaw by hand counts as the missing one, and fails', status, 7);
  stage.match('with the code of the freeze that it ends', stderr, /NOT_CONSISTENT/);
  await judgeComplete(stage, await stage.velero.backup(`${name}-3`, options));
}
