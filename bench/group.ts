// How a snapshot grows with its members: `node scripts/run-ts.mjs bench/group.ts [--members 200]`. The built
// command against a simulated API server in this process, and sidecars in another: the spread of the
// freezes, the times to freeze and to thaw, who spent CPU in them, the command's memory, and the ratio to a
// loop that runs `quiesce freeze` and `quiesce thaw` in each pod as `kubectl exec` would. Exits 1 if a
// member takes 5 ms of wall time or more to freeze and thaw, or the command needs 300 MB.
//
// Sidecars run on other machines than the command. Here all share its cores, so scripted ones, which
// answer at once, are judged. Real ones over a scripted engine are measured, too: they keep their journals.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { createInterface } from 'node:readline';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { connect } from '../src/cluster/api/reader.ts';
import type { SnapshotRun } from '../src/cluster/snapshot/document.ts';
import { cleanEnv, cliPath } from '../src/testbed/processes.ts';
import { SimulatedApi } from '../test/support/simulated-api.ts';
import { restartCleanly } from './support/environment.ts';
import { describeMachine } from './support/machine.ts';

const LIMIT_MS = 5;
const LIMIT_MB = 300;
/** Of the loop, which starts two processes a member. */
const LOOPED = 10;

const { values } = parseArgs({
  options: { members: { type: 'string', default: '200' }, quick: { type: 'boolean' } },
});

interface Place {
  readonly port: number;
  readonly socket: string;
  readonly engine: string;
}

type Kind = 'scripted' | 'real';

async function farmOf(count: number, kind: Kind) {
  const runner = join(process.cwd(), 'scripts/run-ts.mjs');
  // In memory: the disk of this machine is not what is measured.
  const env = cleanEnv({ TMPDIR: '/dev/shm' });
  const words = [runner, 'test/support/sidecar-farm-main.ts', `${count}`, kind];
  const child = spawn(process.execPath, words, { env, stdio: ['pipe', 'pipe', 'inherit'] });
  const [line] = (await once(createInterface(child.stdout), 'line')) as [string];
  const { pid, places } = JSON.parse(line) as { pid: number; places: readonly Place[] };
  return { pid, places, end: () => child.stdin.end() };
}

type Farm = Awaited<ReturnType<typeof farmOf>>;

/** The CPU time that each process had used until then. */
interface Spent {
  readonly at: number;
  readonly command: number;
  readonly api: number;
  readonly sidecars: number;
}

interface Measured {
  readonly run: SnapshotRun;
  readonly wallMs: number;
  readonly peakMb: number;
  /** In the order of time. */
  readonly spent: readonly Spent[];
}

async function snapshotOf(api: SimulatedApi, farm: Farm): Promise<Measured> {
  const begun = performance.now();
  const words = ['snapshot', '-n', 'shop', '--kubeconfig', api.kubeconfig, '-o', 'json'];
  const child = spawn(process.execPath, [cliPath(), ...words], { env: cleanEnv({}) });
  const pid = child.pid ?? 0;
  let out = '';
  let peakMb = 0;
  const spent: Spent[] = [];
  child.stdout.on('data', (data: Buffer) => (out += data.toString()));
  const watch = setInterval(() => {
    const used = process.cpuUsage();
    void Promise.all([memoryOf(pid), cpuOf(pid), cpuOf(farm.pid)])
      .then(([mb, command, sidecars]) => {
        peakMb = Math.max(peakMb, mb);
        spent.push({ at: Date.now(), command, sidecars, api: (used.user + used.system) / 1_000 });
      })
      .catch(() => undefined);
  }, 20);
  await once(child, 'close');
  clearInterval(watch);
  return { run: JSON.parse(out) as SnapshotRun, wallMs: performance.now() - begun, peakMb, spent };
}

async function memoryOf(pid: number): Promise<number> {
  const text = await readFile(`/proc/${pid}/status`, 'utf8');
  return Number(/VmHWM:\s+(\d+)/.exec(text)?.[1] ?? 0) / 1_024;
}

async function cpuOf(pid: number): Promise<number> {
  const text = await readFile(`/proc/${pid}/stat`, 'utf8');
  const fields = text.slice(text.lastIndexOf(')')).split(' ');
  // Fields 14 and 15, in hundredths of a second.
  return 10 * (Number(fields[12]) + Number(fields[13]));
}

interface Phase {
  readonly from: number;
  readonly to: number;
}

/** From the first call of a phase to its last answer, on the clock of this machine. */
function phase(
  { members, startedAt }: SnapshotRun,
  from: 'freezeAskedMs' | 'thawAskedMs',
  to: 'frozenMs' | 'thawedMs',
): Phase {
  const start = Date.parse(startedAt);
  const at = (key: typeof from | typeof to) => members.flatMap((one) => one.timeline[key] ?? []);
  return { from: start + Math.min(...at(from)), to: start + Math.max(...at(to)) };
}

const lengthOf = ({ from, to }: Phase): number => to - from;

/** What a process computed in the phases, as far as the samples tell. */
function spentIn(
  spent: readonly Spent[],
  phases: readonly Phase[],
  who: 'command' | 'api' | 'sidecars',
): number {
  const until = (time: number): number => spent.findLast(({ at }) => at <= time)?.[who] ?? 0;
  return phases.reduce((sum, { from, to }) => sum + until(to) - until(from), 0);
}

/** What pasted `kubectl exec` hooks do: one pod after another. @returns ms a member */
async function loopOf(api: SimulatedApi, pods: readonly string[]): Promise<number> {
  const connection = connect({ kubeconfig: api.kubeconfig });
  const begun = performance.now();
  for (const verb of ['freeze', 'thaw']) {
    for (const pod of pods) {
      const place = { namespace: 'shop', pod, container: 'quiesce' };
      const command = ['quiesce', verb, '--id', 'loop'];
      const { exit } = await connection.exec(place, command, AbortSignal.timeout(60_000));
      if (exit !== 0) throw new Error(`${verb} of ${pod} exited with ${exit ?? 'nothing'}`);
    }
  }
  return (performance.now() - begun) / pods.length;
}

async function measure(count: number, kind: Kind): Promise<boolean> {
  const farm = await farmOf(count, kind);
  const api = await new SimulatedApi().start();
  try {
    api.cluster.snapshotClass('snap', 'rbd.csi.ceph.com');
    farm.places.forEach((place, index) =>
      api.member(`db${index}`, place, { engine: place.engine }),
    );
    const { run, wallMs, peakMb, spent } = await snapshotOf(api, farm);
    if (run.verdict !== 'proven') throw new Error(JSON.stringify(run.problems).slice(0, 2_000));
    const freeze = phase(run, 'freezeAskedMs', 'frozenMs');
    const thaw = phase(run, 'thawAskedMs', 'thawedMs');
    const each = (lengthOf(freeze) + lengthOf(thaw)) / count;
    const share = (who: 'command' | 'api' | 'sidecars'): string =>
      (spentIn(spent, [freeze, thaw], who) / count).toFixed(1);
    const pods = farm.places.slice(0, LOOPED).map((_, index) => `db${index}-0`);
    const looped = await loopOf(api, pods);
    const cells = [
      `${count} members, ${kind} sidecars`,
      `spread ${run.freezeSpreadMs} ms`,
      `freeze ${Math.round(lengthOf(freeze))} ms`,
      `thaw ${Math.round(lengthOf(thaw))} ms`,
      `${each.toFixed(2)} ms a member`,
      `of CPU the command ${share('command')}, the API server ${share('api')}, the sidecars ${share('sidecars')} ms`,
      `whole run ${Math.round(wallMs)} ms`,
      `its CPU ${spent.at(-1)?.command ?? 0} ms`,
      `memory ${Math.round(peakMb)} MB`,
      `exec in a loop ${looped.toFixed(0)} ms a member (${(looped / each).toFixed(0)} times)`,
    ];
    process.stdout.write(`${cells.join(' · ')}\n`);
    return each < LIMIT_MS && peakMb < LIMIT_MB;
  } finally {
    await api.stop();
    farm.end();
  }
}

async function main(): Promise<void> {
  process.stdout.write(`${await describeMachine('.')}\n`);
  const most = Number(values.members);
  const sizes = values.quick === true ? [10] : [most / 4, most / 2, most].map(Math.ceil);
  let good = true;
  for (const size of sizes) good = (await measure(size, 'scripted')) && good;
  await measure(sizes.at(-1) ?? most, 'real');
  process.exitCode = good ? 0 : 1;
}

const ended = await restartCleanly();
if (ended === undefined) await main();
else process.exitCode = ended;
