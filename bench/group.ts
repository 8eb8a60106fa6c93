// How a snapshot grows with its members: `node scripts/run-ts.mjs bench/group.ts [--members 200]`. The built
// command against a simulated API server in this process and scripted sidecars in another: the spread of
// the freezes, the times to freeze and to thaw, its memory, and the ratio to a loop that runs
// `quiesce freeze` and `quiesce thaw` in each pod as `kubectl exec` would. Exits 1 if a member takes 5 ms of
// wall time or more to freeze and thaw, or the command needs 300 MB.
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

async function farmOf(count: number) {
  const runner = join(process.cwd(), 'scripts/run-ts.mjs');
  // In memory: the disk of this machine is not what is measured.
  const env = cleanEnv({ TMPDIR: '/dev/shm' });
  const child = spawn(process.execPath, [runner, 'test/support/sidecar-farm-main.ts', `${count}`], {
    env,
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  const [line] = (await once(createInterface(child.stdout), 'line')) as [string];
  return { places: JSON.parse(line) as readonly Place[], end: () => child.stdin.end() };
}

interface Measured {
  readonly run: SnapshotRun;
  readonly wallMs: number;
  readonly peakMb: number;
  /** Of the command alone: the API server and the sidecars share its cores here. */
  readonly cpuMs: number;
}

async function snapshotOf(api: SimulatedApi): Promise<Measured> {
  const begun = performance.now();
  const words = ['snapshot', '-n', 'shop', '--kubeconfig', api.kubeconfig, '-o', 'json'];
  const child = spawn(process.execPath, [cliPath(), ...words], { env: cleanEnv({}) });
  let out = '';
  let [peakMb, cpuMs] = [0, 0];
  child.stdout.on('data', (data: Buffer) => (out += data.toString()));
  const watch = setInterval(() => {
    void readFile(`/proc/${child.pid ?? 0}/status`, 'utf8')
      .then((text) => /VmHWM:\s+(\d+)/.exec(text)?.[1])
      .then((kb) => (peakMb = Math.max(peakMb, Number(kb ?? 0) / 1_024)))
      .catch(() => undefined);
    void readFile(`/proc/${child.pid ?? 0}/stat`, 'utf8')
      .then((text) => text.slice(text.lastIndexOf(')')).split(' '))
      // Fields 14 and 15, in hundredths of a second.
      .then((fields) => (cpuMs = 10 * (Number(fields[12]) + Number(fields[13]))))
      .catch(() => undefined);
  }, 50);
  await once(child, 'close');
  clearInterval(watch);
  return { run: JSON.parse(out) as SnapshotRun, wallMs: performance.now() - begun, peakMb, cpuMs };
}

/** From the first call of a phase to its last answer. */
function phase(
  run: SnapshotRun,
  from: 'freezeAskedMs' | 'thawAskedMs',
  to: 'frozenMs' | 'thawedMs',
) {
  const at = (key: typeof from | typeof to) =>
    run.members.flatMap((one) => one.timeline[key] ?? []);
  return Math.max(...at(to)) - Math.min(...at(from));
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

async function measure(count: number): Promise<boolean> {
  const farm = await farmOf(count);
  const api = await new SimulatedApi().start();
  try {
    api.cluster.snapshotClass('snap', 'rbd.csi.ceph.com');
    farm.places.forEach((place, index) =>
      api.member(`db${index}`, place, { engine: place.engine }),
    );
    const { run, wallMs, peakMb, cpuMs } = await snapshotOf(api);
    if (run.verdict !== 'proven') throw new Error(JSON.stringify(run.problems).slice(0, 2_000));
    const freezeMs = phase(run, 'freezeAskedMs', 'frozenMs');
    const thawMs = phase(run, 'thawAskedMs', 'thawedMs');
    const each = (freezeMs + thawMs) / count;
    const pods = farm.places.slice(0, LOOPED).map((_, index) => `db${index}-0`);
    const looped = await loopOf(api, pods);
    const cells = [
      `${count} members`,
      `spread ${run.freezeSpreadMs} ms`,
      `freeze ${Math.round(freezeMs)} ms`,
      `thaw ${Math.round(thawMs)} ms`,
      `${each.toFixed(2)} ms a member`,
      `whole run ${Math.round(wallMs)} ms`,
      `its CPU ${Math.round(cpuMs)} ms`,
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
  process.stdout.write('Simulated API server, scripted sidecars.\n');
  const most = Number(values.members);
  const sizes = values.quick === true ? [10] : [most / 4, most / 2, most].map(Math.ceil);
  let good = true;
  for (const size of sizes) good = (await measure(size)) && good;
  process.exitCode = good ? 0 : 1;
}

const ended = await restartCleanly();
if (ended === undefined) await main();
else process.exitCode = ended;
