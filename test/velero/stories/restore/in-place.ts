import { holdOf, inNamespace, postgres } from '../../apps/index.ts';
import { judgeProven, snapshot } from '../../stage/group-run.ts';
import { judgeRestored, killedWhen, restore, runIn } from '../../stage/restore-run.ts';
import { judgeWhole } from '../../stage/restored.ts';
import type { Stage } from '../../stage/stage.ts';
import { compareIn, inNamespaces, underLoad } from '../../stage/under-load.ts';
import { until } from '../../wait.ts';
import type { Story } from '../story.ts';

const NAMESPACE = 'replaced';
const CLAIM = 'data-db-0';

/** A restore in place that is killed while the workload is stopped, and again once the claim is new. */
export const inPlace: Story = {
  name: 'restore-in-place-killed',
  group: 'restore',
  title: 'a restore in place is killed twice, and goes on: all rows, and the volume before is kept',
  inCi: false,
  play: async (stage) => {
    await inNamespaces(stage, [NAMESPACE], async () => {
      const app = postgres(inNamespace(NAMESPACE));
      await stage.deploy(app);
      const { ledger, result: run } = await underLoad(stage, app, NAMESPACE, async () =>
        judgeProven(stage, 'the run', await snapshot(stage, ['-n', NAMESPACE])),
      );
      const before = await claimUid(stage);
      const args = ['--from-snapshot', run.id, '-n', NAMESPACE, '--replace'];
      await killedWhen(stage, args, () =>
        until('it is scaled to 0', 120_000, async () => (await replicas(stage)) === 0),
      );
      const id = await runIn(stage, NAMESPACE);
      await killedWhen(stage, ['--resume', id, '--to', NAMESPACE], () =>
        until('the claim is new', 240_000, async () => {
          const now = await claimUid(stage);
          return now !== undefined && now !== before;
        }),
      );
      const seen = await restore(stage, ['--resume', id, '--to', NAMESPACE]);
      judgeRestored(stage, 'after two kills: the restore', seen);
      stage.equal('the workload has its own replicas again', await replicas(stage), 1);
      const receipts = run.members.flatMap((member) =>
        member.receipts.flatMap(({ receipt }) => receipt ?? []),
      );
      const compared = await compareIn(stage, app, NAMESPACE, ledger, holdOf(receipts));
      judgeWhole(stage, 'PostgreSQL', compared);
      const { items } = await stage.tools.get<{ items: readonly { status: { phase: string } }[] }>(
        'pv',
        '-l',
        `quiesce.dev/replaced-by=${id}`,
      );
      stage.equal(
        'the volume before is kept',
        items.map(({ status }) => status.phase),
        ['Released'],
      );
    });
  },
};

async function claimUid(stage: Stage): Promise<string | undefined> {
  const { items } = await stage.tools.get<{
    items: readonly { metadata: { name: string; uid: string } }[];
  }>('pvc', '-n', NAMESPACE);
  return items.find(({ metadata }) => metadata.name === CLAIM)?.metadata.uid;
}

async function replicas(stage: Stage): Promise<number> {
  const found = await stage.tools.get<{ spec: { replicas: number } }>(
    'statefulset',
    'db',
    '-n',
    NAMESPACE,
  );
  return found.spec.replicas;
}
