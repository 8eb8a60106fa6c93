/**
 * What a freeze costs the writers: latencies during freeze, hold and thaw over those of an equally
 * long window just before, in one run, for three treatments in turn:
 *
 * - `quiesce`: `quiesce freeze`, hold, `quiesce thaw`, as Velero's hooks call them
 * - `checkpoint`: `psql -c CHECKPOINT`, hold, as the common hook does
 * - `control`: nothing at all; what it shows beside 1 is the noise of this machine
 *
 * node bench/run.mjs writers [--rounds 10] [--hold 5] [--clients 8] [--think 5] [--postgres 17]
 * [-o json]. Exits 1 where p99 during quiesce is more than 1.1 times p99 before.
 */
import { execFile } from 'node:child_process';
import { cpus, tmpdir, totalmem } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs, promisify } from 'node:util';
import { quantile } from '../src/demo/latency.ts';
import { WriterLoad } from '../src/demo/load.ts';
import { tool } from '../src/demo/os.ts';
import { runCli, type SidecarProcess } from '../src/demo/processes.ts';
import {
  connectionTo,
  DATABASE,
  makeRole,
  makeServer,
  startServer,
  startSidecar,
  withClient,
} from '../src/demo/source.ts';
import type { EmbeddedPostgres } from '../src/demo/embedded-postgres.ts';
import { Workspace } from '../src/demo/workspace.ts';

const execFileAsync = promisify(execFile);

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '10' },
    hold: { type: 'string', default: '5' },
    clients: { type: 'string', default: '8' },
    think: { type: 'string', default: '5' },
    postgres: { type: 'string', default: '17' },
    output: { type: 'string', short: 'o', default: 'text' },
  },
});
const [rounds, holdMs] = [Number(values.rounds), Number(values.hold) * 1_000];
const LIMIT = 1.1;
const SETTLE_MS = 1_000;
const RESAMPLES = 1_000;

const TREATMENTS = ['quiesce', 'checkpoint', 'control'] as const;
type Treatment = (typeof TREATMENTS)[number];

/** Latencies of the window before and of the treated one. */
interface Trial {
  readonly before: readonly number[];
  readonly during: readonly number[];
  readonly gapBefore: number;
  readonly gapDuring: number;
}

interface Bench {
  readonly server: EmbeddedPostgres;
  readonly sidecar: SidecarProcess;
  readonly load: WriterLoad;
}

async function setUp(workspace: Workspace): Promise<Bench> {
  const volume = join(workspace.dir, 'volume');
  await tool('mkdir', '-p', volume);
  const server = await makeServer(workspace, 'source', Number(values.postgres), volume);
  await server.initdb();
  await startServer(workspace, server);
  const role = await makeRole(workspace, server);
  const sidecar = await startSidecar(workspace, 'sc', server, volume, role);
  await sidecar.ready();
  const load = new WriterLoad({
    connection: connectionTo(server, DATABASE),
    clients: Number(values.clients),
    thinkMs: Number(values.think),
  });
  await load.prepare();
  await withClient(server, DATABASE, (client) => client.query('CHECKPOINT'));
  await tool('sync', '-f', volume).catch(() => undefined);
  await load.start();
  await workspace.defer(() => load.stop());
  return { server, sidecar, load };
}

async function treat(treatment: Treatment, bench: Bench): Promise<void> {
  if (treatment === 'quiesce') await quiesce(bench, 'freeze');
  if (treatment === 'checkpoint') await psql(bench.server, 'CHECKPOINT');
  await sleep(holdMs);
  if (treatment === 'quiesce') await quiesce(bench, 'thaw');
}

async function quiesce({ sidecar }: Bench, verb: 'freeze' | 'thaw'): Promise<void> {
  const { code, stderr } = await runCli([verb], sidecar.env);
  if (code !== 0) throw new Error(`quiesce ${verb} exited ${code}: ${stderr}`);
}

async function psql(server: EmbeddedPostgres, sql: string): Promise<void> {
  const env = { ...process.env, ...server.env() };
  await execFileAsync('psql', ['-X', '-q', '-c', sql], { env });
}

/** A treated window, and before it an untouched one of the same length. */
async function trial(treatment: Treatment, bench: Bench): Promise<Trial> {
  const { latencies } = bench.load;
  await sleep(SETTLE_MS);
  const from = performance.now();
  await sleep(holdMs);
  const begun = performance.now();
  await treat(treatment, bench);
  const ended = performance.now();
  // What was begun in the window must have ended before it is summed up.
  await sleep(SETTLE_MS);
  return {
    before: latencies.between(from, begun),
    during: latencies.between(begun, ended),
    gapBefore: latencies.window(from, begun).longestGapMs,
    gapDuring: latencies.window(begun, ended).longestGapMs,
  };
}

const sorted = (parts: readonly (readonly number[])[]): Float64Array =>
  Float64Array.from(parts.flat()).sort();

function ratio(trials: readonly Trial[], q: number): number {
  const during = quantile(sorted(trials.map((t) => t.during)), q);
  return during / quantile(sorted(trials.map((t) => t.before)), q);
}

/** A 90 % interval of the ratio, by drawing rounds with replacement: rounds differ more than samples. */
function interval(trials: readonly Trial[], q: number): [number, number] {
  const draws = Array.from({ length: RESAMPLES }, () => {
    const drawn = trials.map(() => trials[Math.floor(Math.random() * trials.length)] as Trial);
    return ratio(drawn, q);
  });
  const all = Float64Array.from(draws).sort();
  return [quantile(all, 0.05), quantile(all, 0.95)];
}

function sumUp(treatment: Treatment, trials: readonly Trial[]) {
  const [before, during] = [
    sorted(trials.map((t) => t.before)),
    sorted(trials.map((t) => t.during)),
  ];
  const stats = (all: Float64Array, gaps: readonly number[]) => ({
    samples: all.length,
    p50: quantile(all, 0.5),
    p99: quantile(all, 0.99),
    max: all.at(-1) ?? 0,
    longestGap: Math.max(...gaps),
  });
  return {
    treatment,
    before: stats(
      before,
      trials.map((t) => t.gapBefore),
    ),
    during: stats(
      during,
      trials.map((t) => t.gapDuring),
    ),
    ratioP50: ratio(trials, 0.5),
    ratioP99: ratio(trials, 0.99),
    ratioP99Interval: interval(trials, 0.99),
  };
}

type Row = ReturnType<typeof sumUp>;

function printTable(rows: readonly Row[]): void {
  const cell = (text: string | number, width = 9): string =>
    (typeof text === 'number' ? text.toFixed(2) : text).padStart(width);
  const heads = ['samples', 'p50 ms', 'p99 ms', 'max ms', 'gap ms'];
  process.stdout.write(
    `${'treatment'.padEnd(12)}${'window'.padEnd(8)}${heads.map((h) => cell(h)).join('')}\n`,
  );
  for (const row of rows) {
    for (const window of ['before', 'during'] as const) {
      const { samples, p50, p99, max, longestGap } = row[window];
      const numbers = [cell(String(samples)), ...[p50, p99, max, longestGap].map((n) => cell(n))];
      process.stdout.write(`${row.treatment.padEnd(12)}${window.padEnd(8)}${numbers.join('')}\n`);
    }
  }
  process.stdout.write('\nduring / before   p50     p99   p99, 90 % interval over rounds\n');
  for (const { treatment, ratioP50, ratioP99, ratioP99Interval } of rows) {
    const [low, high] = ratioP99Interval;
    process.stdout.write(
      `${treatment.padEnd(13)}${cell(ratioP50, 8)}${cell(ratioP99, 8)}   ${low.toFixed(2)} … ${high.toFixed(2)}\n`,
    );
  }
}

async function machine(server: EmbeddedPostgres): Promise<string> {
  const version = await withClient(server, DATABASE, (client) =>
    client.query<{ v: string }>(`SELECT current_setting('server_version') AS v`),
  );
  const [cpu] = cpus();
  const fs = await tool('stat', '-f', '-c', '%T', tmpdir()).catch(() => '?');
  return `${cpus().length} × ${cpu?.model.trim()}, ${Math.round(totalmem() / 2 ** 30)} GiB, data on ${fs.trim()}, ${process.platform}, Node ${process.version}, PostgreSQL ${version.rows[0]?.v}`;
}

async function measure(workspace: Workspace): Promise<number> {
  const bench = await setUp(workspace);
  const trials: Record<Treatment, Trial[]> = { quiesce: [], checkpoint: [], control: [] };
  await sleep(3_000);
  for (let round = 0; round < rounds; round += 1) {
    // Another order each round, so that none always follows the same other.
    const order = TREATMENTS.map(
      (_, i) => TREATMENTS[(i + round) % TREATMENTS.length] as Treatment,
    );
    for (const treatment of order) trials[treatment].push(await trial(treatment, bench));
    process.stderr.write(`round ${round + 1}/${rounds}\n`);
  }
  const rows = TREATMENTS.map((treatment) => sumUp(treatment, trials[treatment]));
  const about = await machine(bench.server);
  const ok = (rows[0]?.ratioP99 ?? Infinity) <= LIMIT && bench.load.errors.length === 0;
  if (values.output === 'json') {
    process.stdout.write(
      `${JSON.stringify({ about, rounds, holdMs, limit: LIMIT, ok, rows }, null, 2)}\n`,
    );
  } else {
    process.stdout.write(
      `${about}\n${values.clients} writers, ${rounds} rounds, hold ${values.hold} s\n\n`,
    );
    printTable(rows);
    const said = ok ? 'at most' : 'MORE THAN';
    process.stdout.write(`\np99 during quiesce is ${said} ${LIMIT} × p99 before\n`);
  }
  return ok ? 0 : 1;
}

const workspace = await Workspace.create();
const stop = async (code: number): Promise<never> => {
  await workspace.dispose();
  process.exit(code);
};
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => void stop(130));
await measure(workspace).then(stop, async (error: unknown) => {
  process.stderr.write(`${(error as Error).stack}\n`);
  await stop(2);
});
