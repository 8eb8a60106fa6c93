import { onStorageClass } from '../../apps/index.ts';
import { snapshot } from '../../stage/group-run.ts';
import type { Stage } from '../../stage/stage.ts';
import { inNamespaces } from '../../stage/under-load.ts';
import type { Story } from '../story.ts';
import { appsIn } from './pairs.ts';
import { judgeNothingHeld } from './whole.ts';

const ALL = 'group-live';
const ONE = 'group-live-one';
const LIVE = onStorageClass('live-copy');

/** A storage class that is declared to copy live files: its runs are never proven. */
export const live: Story = {
  name: 'group-live',
  group: 'group',
  title: 'volumes whose class copies live files, all or one of two: never proven, and why',
  inCi: false,
  play: async (stage) => {
    await inNamespaces(stage, [ALL, ONE], async () => {
      const all = appsIn(ALL, LIVE);
      const [first] = appsIn(ONE, LIVE);
      const [, second] = appsIn(ONE);
      if (first === undefined || second === undefined) throw new Error('two members are cut');
      const one = [first, second];
      await Promise.all([...all, ...one].map((app) => stage.deploy(app)));
      await judgeUnproven(stage, ALL, 'all volumes');
      await judgeUnproven(stage, ONE, 'one of two');
      await judgeNothingHeld(stage, [...all, ...one]);
    });
  },
};

async function judgeUnproven(stage: Stage, namespace: string, what: string): Promise<void> {
  // A group snapshot of such volumes is refused by the driver: each gets one of its own.
  const { ran, run } = await snapshot(stage, ['-n', namespace, '--no-group-snapshot']);
  stage.equal(`${what}: done, not proven`, [ran.status, run?.verdict], [7, 'unproven']);
  const why = run?.problems.filter(({ code }) => code === 'COPIES_LIVE_FILES') ?? [];
  const text = why.map(({ message }) => message).join(' ');
  stage.match(`${what}: it says why`, text, /csi\.quiesce\.test copies/);
  stage.equal(`${what}: it does not say how the members stand`, run?.together, undefined);
  const where = [
    '-n',
    namespace,
    '-o',
    'jsonpath={.items[*].metadata.labels.quiesce\\.dev/verdict}',
  ];
  const verdicts = await stage.tools.kubectl(['get', 'volumesnapshots', ...where]);
  stage.equal(`${what}: each snapshot says so, too`, verdicts.split(' '), ['unproven', 'unproven']);
}
