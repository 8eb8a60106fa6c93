import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { inNamespace, postgres } from '../../apps/index.ts';
import { drill, inventoryOf, judgeSame, saidBy } from '../../stage/drill-run.ts';
import { judgeProven, snapshot } from '../../stage/group-run.ts';
import { patient } from './apps.ts';
import type { Stage } from '../../stage/stage.ts';
import { until } from '../../wait.ts';
import { inNamespaces } from '../../stage/under-load.ts';
import type { Story } from '../story.ts';

const NAMESPACE = 'drilled-killed';
const OTHER = 'drilled-other';
const KILLS = Number(process.env['QUIESCE_VELERO_KILLS'] ?? 6);

/** SIGKILL at moments spread over a whole drill: the next one leaves nothing of any. */
export const killed: Story = {
  name: 'drill-killed',
  group: 'drill',
  title: `quiesce drill is killed at ${KILLS} moments, and told to end; two at once: nothing is left`,
  inCi: false,
  play: async (stage) => {
    await inNamespaces(stage, [NAMESPACE, OTHER], async () => {
      const apps = [NAMESPACE, OTHER].map((one) => postgres(inNamespace(one)));
      await Promise.all(apps.map((app) => stage.deploy(app)));
      for (const one of [NAMESPACE, OTHER]) {
        judgeProven(stage, `the snapshot of ${one}`, await snapshot(stage, patient(one)));
      }
      const before = await inventoryOf(stage);
      const from = performance.now();
      await judgeWhole(stage, 'a drill that is left alone', ['-n', NAMESPACE]);
      const wholeMs = performance.now() - from;
      for (let kill = 1; kill <= KILLS; kill += 1) {
        await endAfter(stage, (wholeMs * kill) / (KILLS + 1), 'SIGKILL');
      }
      await judgeWhole(stage, 'the drill after them', ['-n', NAMESPACE]);
      judgeSame(stage, 'after kills at all steps', before, await inventoryOf(stage));
      stage.equal('no record is pending', await pending(stage), '');
      await endAfter(stage, wholeMs / 2, 'SIGTERM');
      judgeSame(stage, 'after SIGTERM', before, await inventoryOf(stage));
      await judgeTwo(stage, before);
      judgeSame(stage, 'after two at once', before, await inventoryOf(stage));
    });
  },
};

async function judgeWhole(stage: Stage, what: string, args: readonly string[]): Promise<void> {
  const done = await drill(stage, args);
  stage.expect(
    `${what} is proven`,
    done.run?.verdict === 'proven' && done.run.removed === true,
    saidBy(done),
  );
}

async function endAfter(stage: Stage, ms: number, signal: 'SIGKILL' | 'SIGTERM'): Promise<void> {
  const child = spawn(process.execPath, ['dist/cli.js', 'drill', '-n', NAMESPACE], {
    env: { ...process.env, ...stage.tools.env },
    stdio: 'ignore',
  });
  const closed = once(child, 'close');
  await Promise.race([sleep(ms), closed]);
  const alive = child.exitCode === null;
  child.kill(signal);
  await closed;
  stage.expect(`${signal} after ${Math.round(ms)} ms hits a living drill`, alive || ms > 20_000);
}

async function pending({ tools }: Stage): Promise<string> {
  const labels = 'quiesce.dev/report=drill,quiesce.dev/verdict=pending';
  return await tools.kubectl(['get', 'configmaps', '-n', NAMESPACE, '-l', labels, '-o', 'name']);
}

/** Two applications, and a second drill of one of them; and a snapshot meanwhile. */
async function judgeTwo(stage: Stage, before: readonly string[]): Promise<void> {
  const first = drill(stage, ['-n', NAMESPACE]);
  await sleep(3_000);
  const [one, other, again, taken] = await Promise.all([
    first,
    drill(stage, ['-n', OTHER]),
    drill(stage, ['-n', NAMESPACE]),
    snapshot(stage, patient(NAMESPACE)),
  ]);
  const verdicts = [one.run?.verdict, other.run?.verdict];
  stage.expect('two applications are drilled at once', verdicts.join() === 'proven,proven', [
    saidBy(one),
    saidBy(other),
  ]);
  stage.equal('a second drill of the same one is refused', again.ran.status, 4);
  const { id } = judgeProven(stage, 'a snapshot during the drill', taken);
  const own = ['-n', NAMESPACE, '-l', `quiesce.dev/run=${id}`];
  const path = 'jsonpath={.items[*].status.boundVolumeSnapshotContentName}';
  const contents = await stage.tools.kubectl(['get', 'volumesnapshots', ...own, '-o', path]);
  await stage.tools.kubectl(['delete', 'volumesnapshots', ...own]);
  // Their class retains them.
  const names = contents.split(' ').filter((one) => one !== '');
  await stage.tools.tryKubectl([
    'delete',
    'volumesnapshotcontents',
    ...names,
    '--ignore-not-found',
  ]);
  await until('its content is gone', 60_000, async () => {
    return (await inventoryOf(stage)).length <= before.length;
  });
}
