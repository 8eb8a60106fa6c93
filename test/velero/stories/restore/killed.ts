import { setTimeout as sleep } from 'node:timers/promises';
import { judgeComplete } from '../../stage/late.ts';
import { judgeRestored, killedWhen, restore, runIn } from '../../stage/restore-run.ts';
import type { Stage } from '../../stage/stage.ts';
import { inNamespaces } from '../../stage/under-load.ts';
import { until } from '../../wait.ts';
import type { Story } from '../story.ts';
import { databases, deployAll, judgeNothingLeft, restarts, whenGated } from './parts.ts';

const FROM = 'cut-short';
const INTO = 'cut-short-again';

/** SIGKILL of the command, again and again, on the way into another namespace. */
export const killed: Story = {
  name: 'restore-killed',
  group: 'restore',
  title: 'quiesce restore into another namespace, killed three times: --resume finishes, in order',
  inCi: false,
  play: async (stage) => {
    await inNamespaces(stage, [FROM, INTO], async () => {
      const apps = databases(FROM);
      const hook = {
        'post.hook.restore.velero.io/container': 'billing',
        'post.hook.restore.velero.io/command': JSON.stringify([
          '/nodejs/bin/node',
          '-e',
          'process.exit(0)',
        ]),
        'post.hook.restore.velero.io/wait-timeout': '10m',
      };
      await deployAll(stage, FROM, apps, {
        billing: {
          needs: 'queue,redis:6379',
          annotations: { 'quiesce.dev/depends-on': 'queue, redis' },
          podAnnotations: hook,
        },
      });
      const name = `${FROM}-${stage.tag}`;
      await judgeComplete(stage, await stage.velero.backup(name, { namespaces: [FROM] }), 2);
      const flags = ['--from-backup', name, '--to', INTO];
      await killedWhen(stage, flags, async () => await whenGated(stage, INTO, /^db-0$/));
      const run = await until('the run is on record', 30_000, async () => await runIn(stage, INTO));
      await killedWhen(stage, ['--resume', run], async () => await stage.ready(INTO, ['etcd-0']));
      await killedWhen(stage, ['--resume', run], async () => {
        await stage.ready(INTO, ['db-0']);
        await sleep(3_000);
      });
      await judgePhase(stage, run);
      const seen = judgeRestored(stage, 'the run', await restore(stage, ['--resume', run]));
      stage.equal('it is the same run', [seen.id, seen.source.namespaces], [run, { [FROM]: INTO }]);
      stage.equal('no container has started again', await restarts(stage, INTO), {});
      await judgeNothingLeft(stage, INTO);
      const again = await restore(stage, ['--resume', run]);
      stage.match('it cannot go on any more', again.ran.stderr, /has ended: proven/);
      await judgeTaken(stage, flags);
    });
  },
};

/** The user's restore hook runs in a pod of the last layer: Velero waits for it. */
async function judgePhase(stage: Stage, run: string): Promise<void> {
  const { status } = await stage.tools.get<{ status: { phase: string } }>(
    ...['restores.velero.io', run, '-n', 'velero'],
  );
  stage.equal('Velero waits for the hook in a pod that waits', status.phase, 'InProgress');
}

async function judgeTaken(stage: Stage, flags: readonly string[]): Promise<void> {
  const { ran } = await restore(stage, flags);
  stage.equal('a second restore there is refused', ran.status, 2);
  stage.match('it names what is there', ran.stderr, /RESTORE_TARGET_TAKEN/);
}
