import { stringify } from 'yaml';
import { inNamespace, postgres } from '../../apps/index.ts';
import { drill, saidBy } from '../../stage/drill-run.ts';
import { judgeProven, type RunSeen, snapshot } from '../../stage/group-run.ts';
import { patient } from './apps.ts';
import type { Stage } from '../../stage/stage.ts';
import { inNamespaces, underLoad } from '../../stage/under-load.ts';
import type { Story } from '../story.ts';

const NAMESPACE = 'drilled-truth';

/** What is not there is never called proven: each has its own words. */
export const truth: Story = {
  name: 'drill-truth',
  group: 'drill',
  title: 'quiesce drill: an older copy under a later run, a crash-consistent one, are never proven',
  inCi: false,
  play: async (stage) => {
    await inNamespaces(stage, [NAMESPACE], async () => {
      const app = postgres(inNamespace(NAMESPACE));
      await stage.deploy(app);
      let runs: readonly RunSeen[] = [];
      await underLoad(stage, app, 'drill-truth', async (load) => {
        const first = judgeProven(stage, 'the first run', await snapshot(stage, flags));
        await load.progress(200);
        const second = judgeProven(stage, 'the second run', await snapshot(stage, flags));
        runs = [first, second];
      });
      const [first, second] = runs;
      if (first === undefined || second === undefined) throw new Error('two runs are made');
      await judgeOlderCopy(stage, first, second);
      await judgeUnfrozen(stage);
    });
  },
};

const flags = [...patient(NAMESPACE), '--no-group-snapshot'];

interface Snapshot {
  readonly metadata: {
    readonly name: string;
    readonly labels: Readonly<Record<string, string>>;
    readonly annotations: Readonly<Record<string, string>>;
  };
  readonly status: { readonly boundVolumeSnapshotContentName: string };
}

/** The volume of the first run takes the place of the second one's, with the second one's receipt. */
async function judgeOlderCopy(stage: Stage, first: RunSeen, second: RunSeen): Promise<void> {
  const { tools } = stage;
  const [older, newer] = [first, second].map((run) => run.members[0]?.snapshots[0]?.name ?? '');
  const at = ['-n', NAMESPACE];
  const old = await tools.get<Snapshot>('volumesnapshot', older ?? '', ...at);
  const young = await tools.get<Snapshot>('volumesnapshot', newer ?? '', ...at);
  const bound = old.status.boundVolumeSnapshotContentName;
  const content = await tools.get<{
    spec: { driver: string; volumeSnapshotClassName: string };
    status: { snapshotHandle: string };
  }>('volumesnapshotcontent', bound);
  await tools.kubectl(['delete', 'volumesnapshot', newer ?? '', ...at]);
  const swapped = `swapped-${stage.tag}`;
  await tools.apply(
    [
      {
        apiVersion: 'snapshot.storage.k8s.io/v1',
        kind: 'VolumeSnapshotContent',
        metadata: { name: swapped },
        spec: {
          deletionPolicy: 'Retain',
          driver: content.spec.driver,
          volumeSnapshotClassName: content.spec.volumeSnapshotClassName,
          source: { snapshotHandle: content.status.snapshotHandle },
          volumeSnapshotRef: { name: newer, namespace: NAMESPACE },
        },
      },
      {
        apiVersion: 'snapshot.storage.k8s.io/v1',
        kind: 'VolumeSnapshot',
        metadata: {
          name: newer,
          namespace: NAMESPACE,
          labels: young.metadata.labels,
          annotations: young.metadata.annotations,
        },
        spec: { source: { volumeSnapshotContentName: swapped } },
      },
    ]
      .map((one) => stringify(one))
      .join('---\n'),
  );
  const ready = '--for=jsonpath={.status.readyToUse}=true';
  await tools.kubectl(['wait', `volumesnapshot/${newer}`, ...at, ready, '--timeout=60s']);
  const done = await drill(stage, ['-n', NAMESPACE, '--from-snapshot', second.id]);
  const [db] = done.run?.members ?? [];
  const proven = done.run?.verdict === 'proven' || db?.level === 'position';
  stage.expect(
    'the older copy under the later run is not proven',
    done.run !== undefined && !proven,
    saidBy(done),
  );
  await tools.kubectl(['delete', 'volumesnapshotcontent', swapped, '--wait=false']);
}

async function judgeUnfrozen(stage: Stage): Promise<void> {
  const set = ['statefulset/db', '-n', NAMESPACE, '--overwrite', 'quiesce.dev/freeze=none'];
  await stage.tools.kubectl(['annotate', ...set]);
  const { ran, run } = await snapshot(stage, flags);
  stage.equal('a run without a freeze is unproven', [ran.status, run?.verdict], [7, 'unproven']);
  const done = await drill(stage, ['-n', NAMESPACE, '--from-snapshot', run?.id ?? '']);
  const levels = done.run?.members.map(({ level }) => level);
  const seen = [done.ran.status, done.run?.verdict, levels];
  stage.expect(
    'its drill is unproven, too',
    JSON.stringify(seen) === '[7,"unproven",["unproven"]]',
    saidBy(done),
  );
}
