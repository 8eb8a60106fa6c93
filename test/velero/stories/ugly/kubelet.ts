import { inNamespace, postgres } from '../../apps/index.ts';
import { startKubelet, stopKubelet } from '../../cluster/node.ts';
import {
  judgeComplete,
  judgeInconsistent,
  judgeThawFailed,
  startLateBackup,
} from '../../stage/late.ts';
import { judgeWhole, preparation, restoreInto } from '../../stage/restored.ts';
import type { Stage } from '../../stage/stage.ts';
import { compareIn, inNamespaces, underLoad } from '../../stage/under-load.ts';
import type { Story } from '../story.ts';

const FROM = 'kubelet';
const INTO = 'kubelet-restored';
const POD = 'db-0';

export const kubelet: Story = {
  name: 'kubelet-stopped',
  group: 'ugly',
  title: 'PostgreSQL: the kubelet restarts, and stops, while the database is held',
  inCi: false,
  play: async (stage) => {
    const app = postgres(inNamespace(FROM));
    await inNamespaces(stage, [FROM, INTO], async () => {
      try {
        await stage.deploy(app);
        await restarted(stage, app);
        await stopped(stage, app);
      } finally {
        await startKubelet(stage.tools);
      }
    });
  },
};

type App = ReturnType<typeof postgres>;

/** Containers outlive a kubelet: the backup does not notice. */
async function restarted(stage: Stage, app: App): Promise<void> {
  const name = `kubelet-restarted-${stage.tag}`;
  await startLateBackup(stage, name, app);
  await stopKubelet();
  await startKubelet(stage.tools);
  await judgeComplete(stage, await stage.velero.backupEnded(name));
}

/** Velero cannot reach the pod for its thaw: the hold ends by hand here, and by its lease otherwise. */
async function stopped(stage: Stage, app: App): Promise<void> {
  const name = `kubelet-stopped-${stage.tag}`;
  const sidecar = stage.sidecar(FROM, POD);
  const { ledger } = await underLoad(stage, app, name, async () => {
    await startLateBackup(stage, name, app);
    await stopKubelet();
    await judgeThawFailed(stage, await stage.velero.backupEnded(name), /dial|connect/);
    await startKubelet(stage.tools);
    await sidecar.frozen();
    stage.expect('the database is still held when the kubelet is back', true);
    const { status } = await sidecar.quiesce('thaw', '--abandon');
    stage.equal('quiesce thaw --abandon releases it', status, 0);
  });
  const hold = await judgeInconsistent(stage, app, 'abandoned');
  await restoreInto(stage, { name, backup: name, from: FROM, into: INTO, pods: [POD] });
  // The cut was made while the database was held: only Velero could not hear it.
  const prepared = await preparation(stage, INTO, POD);
  stage.match('the copy, cut in the hold, proves itself', prepared?.said ?? '', /^prepared:/m);
  const restore = await stage.sidecar(INTO, POD).restored();
  stage.equal('and the restored server confirms it', restore.level, 'position');
  judgeWhole(stage, 'the copy', await compareIn(stage, app, INTO, ledger, hold));
}
