import { inNamespace, postgres } from '../../apps/index.ts';
import { isRunning, stopDaemon } from '../../cluster/daemons.ts';
import { cleanPolicies, startPolicyEngine } from '../../cluster/policies.ts';
import { drill, inventoryOf, judgeSame, saidBy } from '../../stage/drill-run.ts';
import { judgeProven, snapshot } from '../../stage/group-run.ts';
import { patient } from './apps.ts';
import type { Stage } from '../../stage/stage.ts';
import { inNamespaces } from '../../stage/under-load.ts';
import type { Story } from '../story.ts';

const NAMESPACE = 'drilled-open';

/** Without an engine that enforces network policies nothing of the application starts. */
export const isolation: Story = {
  name: 'drill-isolation',
  group: 'drill',
  title: 'quiesce drill without a policy engine: refused before any database starts',
  inCi: false,
  play: async (stage) => {
    const had = await isRunning('kube-router');
    await inNamespaces(stage, [NAMESPACE], async () => {
      await stage.deploy(postgres(inNamespace(NAMESPACE)));
      judgeProven(stage, 'the snapshot', await snapshot(stage, patient(NAMESPACE)));
      if (had) await stopDaemon('kube-router');
      try {
        if (had) await cleanPolicies(stage.tools);
        await judgeRefused(stage);
      } finally {
        if (had) await startPolicyEngine(stage.tools);
      }
    });
  },
};

async function judgeRefused(stage: Stage): Promise<void> {
  const before = await inventoryOf(stage);
  const done = await drill(stage, ['-n', NAMESPACE]);
  const [problem] = done.run?.problems ?? [];
  const seen = [done.ran.status, done.run?.verdict, problem?.code];
  stage.expect('the drill is refused', seen.join() === '5,failed,DRILL_NOT_ISOLATED', saidBy(done));
  stage.match('it says what was reached', problem?.message ?? '', /[Rr]eached .*:\d+/);
  judgeSame(stage, 'the refused drill', before, await inventoryOf(stage));
  const open = await drill(stage, ['-n', NAMESPACE, '--without-isolation']);
  stage.expect(
    'asked to, it drills single databases all the same',
    open.run?.verdict === 'proven',
    saidBy(open),
  );
  judgeSame(stage, 'the open drill', before, await inventoryOf(stage));
}
