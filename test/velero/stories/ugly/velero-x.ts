import { annotated, inNamespace, postgres } from '../../apps/index.ts';
import { startLateBackup } from '../../stage/late.ts';
import type { Stage } from '../../stage/stage.ts';
import { inNamespaces, underLoad } from '../../stage/under-load.ts';
import type { Story } from '../story.ts';

const FROM = 'velero-killed';
const POD = 'db-0';

export const veleroX: Story = {
  name: 'velero-x',
  group: 'ugly',
  title: 'PostgreSQL: Velero is killed while the database is held',
  inCi: true,
  play: async (stage) => {
    const app = postgres(inNamespace(FROM), annotated({}));
    await inNamespaces(stage, [FROM], async () => {
      await stage.deploy(app);
      const name = `velero-killed-${stage.tag}`;
      await underLoad(stage, app, name, async () => {
        await startLateBackup(stage, name, app);
        await killVelero(stage);
        const { phase } = await stage.velero.backupEnded(name);
        stage.equal('the backup is Failed', phase, 'Failed');
        
      });
      
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

async function next(stage: Stage, name: string): Promise<void> {
  for (const n of [2, 3, 4]) {
    const ended = await stage.velero.backup(`${name}-${n}`, { namespaces: [FROM] });
    stage.expect(`backup ${n}`, true);
    const [r] = await stage.sidecar(FROM, POD).receipts();
    console.error(JSON.stringify({ ended, r: r?.reasons, v: r?.verdict }));
    console.error((await stage.velero.hookLog(ended.name)).filter((l) => /stderr|error/.test(l)).join('\n').slice(0, 600));
  }
}
