import { setTimeout as sleep } from 'node:timers/promises';
import { formatDuration } from '../lib/duration.ts';
import type { Receipt } from '../receipt/receipt.ts';
import { CheckFailed, type Checks } from './checks.ts';
import type { Acknowledged, DemoDatabase, DemoServer } from './database.ts';
import type { DemoOptions } from './options.ts';
import { type Finished, runCli, type SidecarProcess } from '../testbed/processes.ts';
import type { Progress } from './progress.ts';
import type { DemoReport, WriterSummary } from './report.ts';
import { makeVolume } from '../testbed/volume/make-volume.ts';
import type { Snapshot, Volume } from '../testbed/volume/volume.ts';
import { type Moments, summarizeWriters } from './writers.ts';
import type { Workspace } from '../testbed/workspace.ts';

/** The context of one run of the demo. */
export interface DemoRun {
  readonly options: DemoOptions;
  readonly database: DemoDatabase;
  readonly workspace: Workspace;
  readonly checks: Checks;
  readonly progress: Progress;
  readonly signal: AbortSignal;
  /** Filled during the run, so that the report of a failed run has all facts known so far. */
  readonly facts: { -readonly [K in keyof DemoReport]?: DemoReport[K] };
}

/** A running source: server, volume, sidecar, writers. */
export interface Source {
  readonly volume: Volume;
  readonly server: DemoServer;
  readonly sidecar: SidecarProcess;
}

/** A copy cut during a freeze, for the restore. */
export interface FrozenCopy {
  readonly receipt: Receipt;
  readonly acked: Acknowledged;
  readonly copy: Snapshot;
}

const WARM_UP_MS = 1_000;
const LEASED_MS = 30_000;

/**
 * Runs one step and shows its progress.
 *
 * @param name of the check that fails if the step throws.
 * @throws CheckFailed when the step throws, or the abort reason when the run is interrupted.
 */
export async function step<T>(
  demo: DemoRun,
  name: string,
  title: string,
  work: () => Promise<readonly [T, string]>,
): Promise<T> {
  demo.signal.throwIfAborted();
  demo.progress.begin(title);
  try {
    const [result, detail] = await work();
    demo.progress.end(true, detail);
    return result;
  } catch (error) {
    demo.signal.throwIfAborted();
    const { message } = error as Error;
    demo.progress.end(false, message);
    if (error instanceof CheckFailed) throw error;
    demo.checks.add(name, false, message);
    throw new CheckFailed(name, message);
  }
}

/** Starts server, volume and sidecar, and prepares the writers, which do not write yet. */
export async function setUp(demo: DemoRun): Promise<Source> {
  const { workspace, database, signal } = demo;
  const volume = await step(demo, 'volume', 'Make a volume for the data', async () => {
    const made = await makeVolume(workspace.dir, { postmaster: () => database.pid });
    await workspace.defer(() => made.dispose());
    return [made, made.kind === 'btrfs' ? 'btrfs on a loop device' : 'a plain folder'];
  });
  const title = `Start ${database.title}`;
  const server = await step(demo, database.engine, title, async () => {
    const made = await database.start(workspace, volume.path);
    return [made, `port ${made.port}`];
  });
  const sidecar = await step(demo, 'sidecar', 'Start the sidecar as user quiesce', async () => {
    const made = await server.startSidecar('sc');
    await made.ready(signal);
    return [made, 'ready'];
  });
  await workspace.defer(() => server.load.stop(500));
  return { volume, server, sidecar };
}

/** Runs the writers, freezes, holds, makes the snapshot, thaws, and runs the writers again. */
export async function freezeAndCopy(demo: DemoRun, source: Source): Promise<FrozenCopy> {
  const { server, volume } = source;
  const { load } = server;
  const { database, facts, signal } = demo;
  const ms = demo.options.seconds * 1_000;
  const measured = await step(
    demo,
    'writers',
    `${load.clients} writers ${database.words.writers}`,
    async () => {
      await load.prepare();
      await load.start();
      await sleep(WARM_UP_MS, undefined, { signal });
      const from = performance.now();
      await sleep(ms, undefined, { signal });
      return [from, `${load.acknowledged().count} ${database.words.writes} acknowledged`];
    },
  );
  const { acked, frozen, blocked } = await freeze(demo, source);
  facts.acknowledgedBeforeFreeze = acked.count;
  const quarter = ms / 4;
  await step(demo, 'hold', `Hold while the writers ${blocked ? 'wait' : 'continue'}`, async () => {
    facts.database = {
      product: database.product,
      ...database.words,
      data: await server.describeData(),
    };
    await sleep(quarter, undefined, { signal });
    return [undefined, formatDuration(quarter)];
  });
  const { copy, snapshot } = await step(demo, 'snapshot', 'Snapshot the volume', async () => {
    const from = performance.now();
    const made = await volume.snapshot('copy');
    return [{ copy: made, snapshot: { from, to: performance.now() } }, made.how];
  });
  facts.snapshot = { ...copy, kind: volume.kind, reason: volume.reason ?? null };
  await sleep(quarter, undefined, { signal });
  const { thawed, receipt } = await thaw(demo, source);
  facts.receipt = receipt;
  facts.commandsMs = {
    freeze: frozen.endedAt - frozen.begunAt,
    held: thawed.begunAt - frozen.endedAt,
    thaw: thawed.endedAt - thawed.begunAt,
  };
  const held = blocked ? { from: frozen.endedAt, to: thawed.begunAt } : null;
  await finishWriters(demo, source, {
    measured,
    frozen: frozen.begunAt,
    thawed: thawed.endedAt,
    snapshot,
    stopped: copy.stalledMs > 0 && !blocked ? snapshot : null,
    held,
  });
  return { receipt, acked, copy };
}

interface Frozen {
  readonly acked: Acknowledged;
  readonly frozen: Finished;
  /** Whether writers wait while the freeze is held. */
  readonly blocked: boolean;
}

async function freeze(demo: DemoRun, { server, sidecar }: Source): Promise<Frozen> {
  const { checks, signal } = demo;
  const { load } = server;
  // An engine's default lease is too short for a long demonstration.
  const lease =
    demo.options.seconds * 500 > LEASED_MS
      ? ['--ttl', `${Math.ceil(demo.options.seconds) + 60}s`]
      : [];
  return await step(demo, 'freeze', 'quiesce freeze', async () => {
    const before = load.acknowledged();
    const finished = await runCli(['freeze', ...lease, '-o', 'json'], sidecar.env, signal);
    const receipt = receiptOf(finished, 'freeze');
    checks.require('freeze', receipt.verdict === 'held', `quiesce freeze: ${holdOf(receipt)}`);
    const result = { acked: before, frozen: finished, blocked: receipt.writesBlocked };
    return [result, holdOf(receipt)];
  });
}

interface Thawed {
  readonly thawed: Finished;
  readonly receipt: Receipt;
}

async function thaw(demo: DemoRun, { sidecar }: Source): Promise<Thawed> {
  const { checks, signal } = demo;
  return await step(demo, 'thaw', 'quiesce thaw', async () => {
    const finished = await runCli(['thaw', '-o', 'json'], sidecar.env, signal);
    const final = receiptOf(finished, 'thaw');
    const good = final.verdict === 'consistent';
    checks.require('thaw', good, `quiesce thaw: verdict ${final.verdict} for freeze ${final.id}`);
    return [{ thawed: finished, receipt: final }, final.verdict];
  });
}

async function finishWriters(
  demo: DemoRun,
  { server }: Source,
  moments: Omit<Moments, 'ended'>,
): Promise<void> {
  const { checks, facts, signal, options } = demo;
  const { writes } = demo.database.words;
  const { load } = server;
  await step(demo, 'writers', 'Writers after', async () => {
    await sleep(options.seconds * 500, undefined, { signal });
    const ended = performance.now();
    await load.stop();
    facts.writers = summarizeWriters(load, { ...moments, ended });
    return [undefined, `${load.latencies.count} ${writes} in all`];
  });
  const writers = facts.writers;
  if (writers) checkWriters(checks, writers, writes, load.trouble());
  await step(demo, 'live', 'Look at the live database', async () => {
    const live = await server.compare(load.acknowledged());
    const wrong = live.checks.find(({ ok }) => !ok)?.message;
    const exact = wrong === undefined && live.beyond === 0;
    const message = `the live database holds exactly the ${live.found} ${writes} acknowledged`;
    const more = `the live database holds ${live.beyond} ${writes} that were not acknowledged`;
    checks.add('live', exact, wrong ?? (exact ? message : more));
    const left = await server.leftovers();
    const clean = 'the freeze left nothing in the live data';
    const kept = `the freeze left: ${left.join(', ')}`;
    checks.add('left-over', left.length === 0, left.length === 0 ? clean : kept);
    return [undefined, `${live.found} ${writes}`];
  });
}

function checkWriters(
  checks: Checks,
  { frozen, held, heldWrites, after }: WriterSummary,
  writes: string,
  trouble: readonly string[],
): void {
  const [first] = trouble;
  if (!held) {
    const continued = `writers continued: ${frozen.count} ${writes} while frozen, without an error`;
    checks.add('writers', frozen.count > 0 && first === undefined, first ?? continued);
    return;
  }
  const none = `no ${writes} were acknowledged while the freeze was held`;
  const some = `${heldWrites} ${writes} were acknowledged while the freeze was held`;
  checks.add('still', heldWrites === 0, heldWrites === 0 ? none : some);
  const longest = formatDuration(Math.max(frozen.max, held.max));
  const waited = `writers waited up to ${longest} and continued, without an error`;
  checks.add('writers', after.count > 0 && first === undefined, first ?? waited);
}

/** The receipt that a command printed. @throws when the command failed or printed something else. */
function receiptOf({ code, stdout, stderr }: Finished, verb: string): Receipt {
  if (code !== 0) throw new Error(`quiesce ${verb} exited ${code}: ${(stderr || stdout).trim()}`);
  const receipt = JSON.parse(stdout) as Receipt;
  if (receipt.kind !== 'Receipt') throw new Error(`quiesce ${verb} did not print a receipt`);
  return receipt;
}

/** `held, sealed at 0/700C978` */
function holdOf({ verdict, mode, position }: Receipt): string {
  const lsn = typeof position?.['lsn'] === 'string' ? ` at ${position['lsn']}` : '';
  return `${verdict}, ${mode}${lsn}`;
}
