import { type App, inNamespace, postgres } from '../../apps/index.ts';
import { ctr } from '../../cluster/node.ts';
import { judgeComplete, judgeInconsistent, startLateBackup } from '../../stage/late.ts';
import { judgeWhole, preparation, restoreInto } from '../../stage/restored.ts';
import type { Stage } from '../../stage/stage.ts';
import { BEFORE, compareIn, inNamespaces, underLoad } from '../../stage/under-load.ts';
import { until } from '../../wait.ts';
import type { Story } from '../story.ts';

const FROM = 'power';
const INTO = 'power-restored';
const POD = 'db-0';

export const powerOff: Story = {
  name: 'power-off',
  group: 'ugly',
  title: 'PostgreSQL: a restored pod loses power while it is held, and starts again',
  inCi: false,
  play: async (stage) => {
    await inNamespaces(stage, [FROM, INTO], async () => {
      // Only a pod that a restore made has the init container that could take its volume for a copy.
      await restoredPod(stage);
      await losesPower(stage, postgres(inNamespace(INTO)));
    });
  },
};

async function restoredPod(stage: Stage): Promise<void> {
  const app = postgres(inNamespace(FROM));
  await stage.deploy(app);
  const name = `power-${stage.tag}`;
  await underLoad(stage, app, name, async () => {
    await judgeComplete(stage, await stage.velero.backup(name, { namespaces: [FROM] }));
  });
  await restoreInto(stage, { name, backup: name, from: FROM, into: INTO, pods: [POD] });
  const prepared = await preparation(stage, INTO, POD);
  stage.match('the restored copy is prepared', prepared?.said ?? '', /^prepared:/m);
  await stage.sidecar(INTO, POD).restored();
}

async function losesPower(stage: Stage, app: App): Promise<void> {
  const name = `power-off-${stage.tag}`;
  const path = await stage.ledger(name);
  const load = await app.startLoad(stage.access(INTO), path);
  try {
    await load.progress(BEFORE);
    await startLateBackup(stage, name, app);
    await load.progress(BEFORE);
    await killPod(stage, INTO, POD);
  } finally {
    await load.stop();
  }
  const { phase } = await stage.velero.backupEnded(name);
  stage.equal('the backup is not called complete', phase, 'PartiallyFailed');
  const prepared = await preparation(stage, INTO, POD);
  const said = prepared?.said ?? '';
  stage.match('the live volume is not taken for a copy', said, /^live-volume:/m);
  await judgeInconsistent(stage, app, 'interrupted');
  const everything = { freezeCalledAt: new Date() };
  const compared = await compareIn(stage, app, INTO, path, everything);
  judgeWhole(stage, 'the live volume, until it lost power', compared);
  const { restore } = await stage.sidecar(INTO, POD).status();
  stage.equal('its own restore is still reported', restore?.mark, `power-${stage.tag}`);
  await judgeComplete(stage, await stage.velero.backup(`${name}-2`, { namespaces: [INTO] }));
}

/** Ends all processes of a pod at once, and waits until the kubelet has started it again. */
async function killPod(stage: Stage, namespace: string, pod: string): Promise<void> {
  const { metadata } = await stage.tools.get<{ metadata: { uid: string } }>(
    'pod',
    pod,
    '-n',
    namespace,
  );
  const ofPod = `labels."io.kubernetes.pod.uid"==${metadata.uid}`;
  const containers = (await ctr(['containers', 'ls', '-q', ofPod])).split('\n').filter(Boolean);
  // Those that have ended already, as its init containers, have no task.
  const ends = containers.map((id) => ctr(['tasks', 'kill', '-s', 'KILL', id]).catch(() => ''));
  await Promise.all(ends);
  await until(`${namespace}/${pod} has started again`, 180_000, async () => {
    const { status } = await stage.tools.get<{
      status: { containerStatuses: { restartCount: number; ready: boolean }[] };
    }>('pod', pod, '-n', namespace);
    return status.containerStatuses.every(({ restartCount, ready }) => restartCount > 0 && ready);
  });
}
