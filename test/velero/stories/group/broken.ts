import { setTimeout as sleep } from 'node:timers/promises';
import { annotated, type App } from '../../apps/index.ts';
import { startDaemon, stopDaemon } from '../../cluster/daemons.ts';
import { processOf } from '../../cluster/node.ts';
import { join } from 'node:path';
import { KUBECONFIG } from '../../layout.ts';
import { judgeProven, quiesce, snapshot } from '../../stage/group-run.ts';
import type { Stage } from '../../stage/stage.ts';
import { inNamespaces } from '../../stage/under-load.ts';
import type { Story } from '../story.ts';
import { appsIn } from './pairs.ts';
import { judgeNothingHeld } from './whole.ts';

const NAMESPACE = 'group-broken';
/** The driver cuts that long after it was asked: the databases are held meanwhile. */
const LATE = ['--snapshot-class', 'csi.quiesce.test=late-20s', '--no-group-snapshot'];
const PODS = ['db-0', 'redis-0'];

type Snapshot = Awaited<ReturnType<typeof snapshot>>;

/** What breaks in the middle of a run: it fails, says why, and nothing stays frozen. */
export const broken: Story = {
  name: 'group-broken',
  group: 'group',
  title: 'a sidecar, a pod, the snapshot controller fail in a run; a member is held by another',
  inCi: false,
  play: async (stage) => {
    await inNamespaces(stage, [NAMESPACE], async () => {
      const apps = appsIn(NAMESPACE, annotated({ 'quiesce.dev/ttl': '60s' }));
      await Promise.all(apps.map((app) => stage.deploy(app)));
      await heldByAnother(stage, apps);
      await meanwhile(stage, apps, 'a sidecar is killed', async () => {
        process.kill(await processOf(stage.tools, NAMESPACE, 'redis-0', 'quiesce'), 'SIGKILL');
      });
      await meanwhile(stage, apps, 'a pod is deleted', async () => {
        const where = ['-n', NAMESPACE, 'delete', 'pod', 'db-0', '--grace-period=5'];
        await stage.tools.kubectl(where);
        await stage.ready(NAMESPACE, ['db-0']);
      });
      await withoutController(stage, apps);
      await interrupted(stage, apps);
      judgeProven(stage, 'after all that', await snapshot(stage, ['-n', NAMESPACE]));
    });
  },
};

async function heldByAnother(stage: Stage, apps: readonly App[]): Promise<void> {
  const sidecar = stage.sidecar(NAMESPACE, 'redis-0');
  const held = await sidecar.quiesce('freeze', '--id', 'other', '--ttl', '60s');
  stage.equal('another tool freezes a member', held.status, 0);
  const { ran, run } = await snapshot(stage, ['-n', NAMESPACE]);
  stage.equal('the run ends with 4', ran.status, 4);
  stage.match('it names the member and the holder', said({ ran, run }), /redis[\s\S]*other|other/);
  stage.equal('the other tool’s freeze is left alone', (await sidecar.status()).state, 'frozen');
  const { state } = await stage.sidecar(NAMESPACE, 'db-0').status();
  stage.equal('the run’s own is released', state, 'thawed');
  await sidecar.quiesce('thaw', '--abandon', '--id', 'other');
  await judgeNothingHeld(stage, apps);
}

/** Something breaks while all members are held. */
async function meanwhile(
  stage: Stage,
  apps: readonly App[],
  what: string,
  act: () => Promise<void>,
): Promise<void> {
  const run = snapshot(stage, ['-n', NAMESPACE, ...LATE]);
  await Promise.all(PODS.map((pod) => stage.sidecar(NAMESPACE, pod).frozen()));
  await act();
  await judgeFailed(stage, apps, what, await run);
}

async function withoutController(stage: Stage, apps: readonly App[]): Promise<void> {
  await stopDaemon('snapshot-controller');
  try {
    const flags = ['-n', NAMESPACE, '--ttl', '20s', '--timeout', '60s'];
    await judgeFailed(stage, apps, 'no snapshot controller', await snapshot(stage, flags));
  } finally {
    const program = join(stage.tools.programs.folders.csi, 'snapshot-controller');
    const args = [`--kubeconfig=${KUBECONFIG}`, '--leader-election=false'];
    await startDaemon('snapshot-controller', program, args);
  }
}

async function judgeFailed(
  stage: Stage,
  apps: readonly App[],
  what: string,
  seen: Snapshot,
): Promise<void> {
  const { ran, run } = seen;
  const failed = ran.status !== 0 && ran.status !== 1 && run?.verdict !== 'proven';
  stage.expect(`${what}: the run fails (${ran.status})`, failed, said(seen));
  stage.match(`${what}: it says why`, said(seen), /[A-Z]+_[A-Z_]+/);
  const proven = await stage.tools.get<{ items: readonly unknown[] }>(
    'volumesnapshot',
    '-n',
    NAMESPACE,
    '-l',
    'quiesce.dev/verdict=proven',
  );
  stage.equal(`${what}: nothing is called proven`, proven.items.length, 0);
  await judgeNothingHeld(stage, apps);
}

/** Ctrl-C: what is frozen is thawed before the command ends. */
async function interrupted(stage: Stage, apps: readonly App[]): Promise<void> {
  const run = quiesce(stage, ['snapshot', '-n', NAMESPACE, ...LATE, '-o', 'json'], {
    timeoutMs: 8_000,
    killSignal: 'SIGINT',
  });
  await sleep(100);
  const { status } = await run;
  stage.expect('interrupted: it fails', status !== 0 && status !== null, String(status));
  await judgeNothingHeld(stage, apps);
}

function said({ ran, run }: Snapshot): string {
  const problems = [
    ...(run?.problems ?? []),
    ...(run?.members.flatMap((member) => member.problems) ?? []),
  ];
  return `${problems.map(({ code, message }) => `${code}: ${message}`).join(' ')} ${ran.stderr.slice(-800)} ${run === undefined ? ran.stdout.slice(-800) : ''}`;
}
