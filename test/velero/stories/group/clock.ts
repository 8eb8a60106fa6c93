import { readFile, writeFile } from 'node:fs/promises';
import { parse, stringify } from 'yaml';
import { objectName } from '../../../../src/cluster/run/object-names.ts';
import { WallClock } from '../../../faults/clock.ts';
import { annotated, type App } from '../../apps/index.ts';
import { processOf } from '../../cluster/node.ts';
import { DRIVER, KUBECONFIG, state } from '../../layout.ts';
import { judgeProven, quiesce, type RunSeen, snapshot } from '../../stage/group-run.ts';
import type { Stage } from '../../stage/stage.ts';
import { inNamespaces } from '../../stage/under-load.ts';
import { until } from '../../wait.ts';
import type { Story } from '../story.ts';
import { appsIn } from './pairs.ts';
import { judgeNothingHeld } from './whole.ts';

const NAMESPACE = 'group-clock';
const HOUR_S = 3_600;
const ALONE = ['-n', NAMESPACE, '--no-group-snapshot'];
const byClass = (name: string): readonly string[] => ['--snapshot-class', `${DRIVER}=${name}`];

/** A proof rests on causes: clocks that are an hour off neither make it nor break it. */
export const clock: Story = {
  name: 'group-clock',
  group: 'group',
  title: 'clocks of the command and of the storage an hour off: proven where it is, and only there',
  inCi: false,
  play: async (stage) => {
    await inNamespaces(stage, [NAMESPACE], async () => {
      // The driver cuts 20 s late in one of the runs.
      const apps = appsIn(NAMESPACE, annotated({ 'quiesce.dev/ttl': '60s' }));
      await Promise.all(apps.map((app) => stage.deploy(app)));
      await wrongClocks(stage, apps);
      await createdTooEarly(stage, apps);
    });
  },
};

async function wrongClocks(stage: Stage, apps: readonly App[]): Promise<void> {
  const wall = new WallClock(state(`clock-${stage.tag}`));
  stage.expect('the command’s clock can be moved', wall.works);
  const options = { env: wall.env };
  // A certificate made minutes ago is not valid an hour ago.
  const own = ['--kubeconfig', await kubeconfigWithoutCheck(stage)];
  for (const seconds of [HOUR_S, -HOUR_S]) {
    for (const name of ['clock-ahead', 'clock-behind']) {
      wall.jump(seconds);
      const flags = [...ALONE, ...byClass(name), '--keep', '1', ...own];
      const run = judgeProven(
        stage,
        `the command ${seconds} s off, the storage ${name}`,
        await snapshot(stage, flags, options),
      );
      await judgeTimes(stage, run, {
        commandAhead: seconds > 0,
        storageAhead: name === 'clock-ahead',
      });
      await judgeKept(stage, run);
    }
  }
  for (const [what, seconds] of [
    ['ahead', HOUR_S],
    ['back', 0],
  ] as const) {
    const run = snapshot(stage, [...ALONE, ...byClass('late-20s'), ...own], options);
    await stage.sidecar(NAMESPACE, 'redis-0').frozen();
    wall.jump(seconds);
    judgeProven(stage, `the command’s clock jumps an hour ${what} while all are held`, await run);
  }
  await judgeNothingHeld(stage, apps);
}

/** The clocks were really off; and what the run claims of a time holds by the databases' own clocks. */
async function judgeTimes(
  stage: Stage,
  run: RunSeen,
  { commandAhead, storageAhead }: { commandAhead: boolean; storageAhead: boolean },
): Promise<void> {
  const now = Date.now();
  const half = (HOUR_S * 1_000) / 2;
  const isAhead = (time: string): boolean => Date.parse(time) > now + half;
  const isOff = (time: string): boolean => Math.abs(Date.parse(time) - now) > half;
  const cuts = run.members.flatMap(({ snapshots }) => snapshots.map(({ cutAt = '' }) => cutAt));
  const off = [run.startedAt, ...cuts].every(isOff);
  const ahead = [isAhead(run.startedAt), ...cuts.map(isAhead)];
  const wanted = [commandAhead, ...cuts.map(() => storageAhead)];
  stage.equal('the clocks were an hour off', [off, ahead], [true, wanted]);
  const requested = run.members.flatMap(({ receipts }) =>
    receipts.map(({ receipt }) => receipt?.requestedAt ?? ''),
  );
  const at = Date.parse(run.together?.at ?? '');
  const holds = requested.length > 0 && requested.every((one) => at <= Date.parse(one));
  stage.expect('what is complete to a time was frozen after it', holds, {
    at: run.together,
    requested,
  });
}

/** The newest run stays, whatever its clock said. */
async function judgeKept(stage: Stage, { id }: RunSeen): Promise<void> {
  const { stdout } = await quiesce(stage, ['snapshots', id, '-n', NAMESPACE, '-o', 'json']);
  const shown = JSON.parse(stdout) as { verdict?: string };
  stage.equal('it was not pruned as an old one', shown.verdict, 'proven');
}

/** Snapshots by the names of the run, cut before anything is frozen, that say they are an hour younger. */
async function createdTooEarly(stage: Stage, apps: readonly App[]): Promise<void> {
  const pid = await processOf(stage.tools, NAMESPACE, 'redis-0', 'quiesce');
  // The run waits for this sidecar, before it freezes the first database.
  process.kill(pid, 'SIGSTOP');
  const before = await holder(stage);
  const running = snapshot(stage, [...ALONE, ...byClass('clock-ahead')]);
  let id = '';
  try {
    id = await until('the run has its Lease', 30_000, async () => {
      const found = await holder(stage);
      return found !== before && found;
    });
    await cutBefore(stage, apps, id);
  } finally {
    process.kill(pid, 'SIGCONT');
  }
  const { ran, run } = await running;
  const seen = [run?.id, ran.status, run?.verdict];
  stage.equal('snapshots from before the freeze: the run fails', seen, [id, 5, 'failed']);
  const said = run?.problems.map(({ code, message }) => `${code}: ${message}`).join(' ') ?? '';
  stage.match('it says that others have its names', said, /NOT_CREATED: .*exists already/);
  const where = ['-n', NAMESPACE, '-l', `quiesce.dev/run=${id},quiesce.dev/verdict=proven`];
  const { items } = await stage.tools.get<{ items: readonly unknown[] }>(
    'volumesnapshots',
    ...where,
  );
  stage.equal('none of them is called proven', items.length, 0);
  await judgeNothingHeld(stage, apps);
}

async function holder({ tools }: Stage): Promise<string> {
  const { items } = await tools.get<{
    items: readonly { spec: { holderIdentity?: string } }[];
  }>('leases', '-n', NAMESPACE);
  return items.map(({ spec }) => spec.holderIdentity ?? '').join('');
}

async function cutBefore(stage: Stage, apps: readonly App[], id: string): Promise<void> {
  const claims = apps.flatMap((app) => app.claims);
  const names = claims.map((claim) => objectName(claim, { id, group: NAMESPACE }));
  const labels = {
    'quiesce.dev/group': NAMESPACE,
    'quiesce.dev/run': id,
    'quiesce.dev/verdict': 'pending',
  };
  const objects = claims.map((claim, index) => ({
    apiVersion: 'snapshot.storage.k8s.io/v1',
    kind: 'VolumeSnapshot',
    metadata: { name: names[index], namespace: NAMESPACE, labels },
    spec: {
      volumeSnapshotClassName: 'clock-ahead',
      source: { persistentVolumeClaimName: claim },
    },
  }));
  await stage.tools.apply(objects.map((one) => stringify(one)).join('---\n'));
  const ready = '--for=jsonpath={.status.readyToUse}=true';
  const each = names.map((name) => `volumesnapshot/${name}`);
  await stage.tools.kubectl(['wait', ...each, '-n', NAMESPACE, ready, '--timeout=10s']);
  const { state: held } = await stage.sidecar(NAMESPACE, 'db-0').status();
  stage.equal('they are cut, and nothing is frozen yet', held, 'thawed');
}

async function kubeconfigWithoutCheck({ tag }: Stage): Promise<string> {
  const config = parse(await readFile(KUBECONFIG, 'utf8')) as {
    clusters: readonly { cluster: Record<string, unknown> }[];
  };
  for (const { cluster } of config.clusters) {
    delete cluster['certificate-authority'];
    delete cluster['certificate-authority-data'];
    cluster['insecure-skip-tls-verify'] = true;
  }
  const file = state(`unchecked-${tag}.kubeconfig`);
  await writeFile(file, stringify(config), { mode: 0o600 });
  return file;
}
