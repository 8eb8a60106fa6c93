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

/** The snapshot of the first run takes the place of the second one's, with its labels and its receipt. */
async function judgeOlderCopy(stage: Stage, first: RunSeen, second: RunSeen): Promise<void> {
  const { tools } = stage;
  const [older = '', newer = ''] = [first, second].map(
    (run) => run.members[0]?.snapshots[0]?.name ?? '',
  );
  const at = ['-n', NAMESPACE];
  const { metadata } = await tools.get<{
    metadata: { annotations: Readonly<Record<string, string>> };
  }>('volumesnapshot', newer, ...at);
  const receipt = metadata.annotations['quiesce.dev/receipt'] ?? '';
  await tools.kubectl(['delete', 'volumesnapshot', newer, ...at]);
  const report = `quiesce.dev/report=snapshot,quiesce.dev/run=${second.id}`;
  await tools.kubectl(['delete', 'configmaps', '-l', report, ...at]);
  const one = ['volumesnapshot', older, ...at, '--overwrite'];
  await tools.kubectl(['label', ...one, `quiesce.dev/run=${second.id}`]);
  await tools.kubectl(['annotate', ...one, `quiesce.dev/receipt=${receipt}`]);
  const done = await drill(stage, ['-n', NAMESPACE, '--from-snapshot', second.id]);
  const [db] = done.run?.members ?? [];
  const seen = [done.ran.status, done.run?.verdict, db?.level];
  const failed = seen.join() === '5,failed,unproven';
  stage.expect('the older copy under the later run is not proven', failed, saidBy(done));
  const said = db?.problems.map(({ code }) => code).join() ?? '';
  stage.equal('it says that the copy is of another freeze', said, 'RECEIPT_OF_ANOTHER');
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
