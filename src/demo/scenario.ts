import { setTimeout as sleep } from 'node:timers/promises';
import { formatDuration } from '../lib/duration.ts';
import type { Receipt } from '../receipt/receipt.ts';
import { CheckFailed, type Checks } from './checks.ts';
import type { Acknowledged, DemoDatabase, DemoServer } from './database.ts';
import type { DemoOptions } from './options.ts';
import { type Finished, runCli, type SidecarProcess } from '../testbed/processes.ts';
import type { Progress } from './progress.ts';
import type { DemoReport, WriterStory } from './report.ts';
import { makeVolume } from '../testbed/volume/make-volume.ts';
import type { Snapshot, Volume } from '../testbed/volume/volume.ts';
import { tellWriters, type Moments } from './writers.ts';
import type { Workspace } from '../testbed/workspace.ts';

/** What one run of the demo works with. */
export interface Stage {
  readonly options: DemoOptions;
  readonly database: DemoDatabase;
  readonly workspace: Workspace;
  readonly checks: Checks;
  readonly progress: Progress;
  readonly signal: AbortSignal;
  /** Filled while the run goes on, so that a failed one tells as much as it has. */
  readonly facts: { -readonly [K in keyof DemoReport]?: DemoReport[K] };
}

/** A running source: server, volume, sidecar, writers. */
export interface Source {
  readonly volume: Volume;
  readonly server: DemoServer;
  readonly sidecar: SidecarProcess;
}

/** What the first half leaves for the restore. */
export interface Taken {
  readonly receipt: Receipt;
  readonly acked: Acknowledged;
  readonly copy: Snapshot;
}

const WARM_UP_MS = 1_000;
const LEASED_MS = 30_000;

/** One step: shown while it runs, and the name of the check where it fails. */
export async function step<T>(
  stage: Stage,
  name: string,
  title: string,
  work: () => Promise<readonly [T, string]>,
): Promise<T> {
  stage.signal.throwIfAborted();
  stage.progress.begin(title);
  try {
    const [result, detail] = await work();
    stage.progress.end(true, detail);
    return result;
  } catch (error) {
    stage.signal.throwIfAborted();
    const { message } = error as Error;
    stage.progress.end(false, message);
    if (error instanceof CheckFailed) throw error;
    stage.checks.add(name, false, message);
    throw new CheckFailed(name, message);
  }
}

/** Server, volume, sidecar and writers; the writers do not write yet. */
export async function setUp(stage: Stage): Promise<Source> {
  const { workspace, database, signal } = stage;
  const volume = await step(stage, 'volume', 'Make a volume for the data', async () => {
    const made = await makeVolume(workspace.dir, { postmaster: () => database.pid });
    await workspace.defer(() => made.dispose());
    return [made, made.kind === 'btrfs' ? 'btrfs on a loop device' : 'a plain folder'];
  });
  const title = `Start ${database.title}`;
  const server = await step(stage, database.engine, title, async () => {
    const made = await database.start(workspace, volume.path);
    return [made, `port ${made.port}`];
  });
  const sidecar = await step(stage, 'sidecar', 'Start the sidecar as user quiesce', async () => {
    const made = await server.startSidecar('sc');
    await made.ready(signal);
    return [made, 'ready'];
  });
  await workspace.defer(() => server.load.stop(500));
  return { volume, server, sidecar };
}

/** Writers before, freeze, hold, snapshot, thaw, writers after. */
export async function freezeAndCopy(stage: Stage, source: Source): Promise<Taken> {
  const { server, volume } = source;
  const { load } = server;
  const { database, facts, signal } = stage;
  const ms = stage.options.seconds * 1_000;
  const measured = await step(
    stage,
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
  const { acked, frozen, blocked } = await freeze(stage, source);
  facts.acknowledgedBeforeFreeze = acked.count;
  const half = ms / 4;
  await step(stage, 'hold', `Hold while the writers ${blocked ? 'wait' : 'go on'}`, async () => {
    facts.database = {
      product: database.product,
      ...database.words,
      data: await server.describeData(),
    };
    await sleep(half, undefined, { signal });
    return [undefined, formatDuration(half)];
  });
  const { copy, span } = await step(stage, 'snapshot', 'Snapshot the volume', async () => {
    const from = performance.now();
    const made = await volume.snapshot('copy');
    return [{ copy: made, span: { from, to: performance.now() } }, made.how];
  });
  facts.snapshot = { ...copy, kind: volume.kind, reason: volume.reason ?? null };
  await sleep(half, undefined, { signal });
  const { thawed, receipt } = await thaw(stage, source);
  facts.receipt = receipt;
  facts.commandsMs = {
    freeze: frozen.endedAt - frozen.begunAt,
    held: thawed.begunAt - frozen.endedAt,
    thaw: thawed.endedAt - thawed.begunAt,
  };
  const held = blocked ? { from: frozen.endedAt, to: thawed.begunAt } : null;
  const copied = copy.stalledMs > 0 && !blocked ? span : null;
  const moments = { measured, frozen: frozen.begunAt, thawed: thawed.endedAt, span, copied, held };
  await finishWriters(stage, source, moments);
  return { receipt, acked, copy };
}

interface Frozen {
  readonly acked: Acknowledged;
  readonly frozen: Finished;
  /** Writers wait for as long as it is held. */
  readonly blocked: boolean;
}

async function freeze(stage: Stage, { server, sidecar }: Source): Promise<Frozen> {
  const { checks, signal } = stage;
  const { load } = server;
  // A lease as an engine gives it is too short for a long demonstration.
  const lease =
    stage.options.seconds * 500 > LEASED_MS
      ? ['--ttl', `${Math.ceil(stage.options.seconds) + 60}s`]
      : [];
  return await step(stage, 'freeze', 'quiesce freeze', async () => {
    const before = load.acknowledged();
    const finished = await runCli(['freeze', ...lease, '-o', 'json'], sidecar.env, signal);
    const receipt = receiptOf(finished, 'freeze');
    checks.require('freeze', receipt.verdict === 'held', `quiesce freeze: ${describe(receipt)}`);
    const taken = { acked: before, frozen: finished, blocked: receipt.writesBlocked };
    return [taken, describe(receipt)];
  });
}

interface Thawed {
  readonly thawed: Finished;
  readonly receipt: Receipt;
}

async function thaw(stage: Stage, { sidecar }: Source): Promise<Thawed> {
  const { checks, signal } = stage;
  return await step(stage, 'thaw', 'quiesce thaw', async () => {
    const finished = await runCli(['thaw', '-o', 'json'], sidecar.env, signal);
    const final = receiptOf(finished, 'thaw');
    const good = final.verdict === 'consistent';
    checks.require('thaw', good, `quiesce thaw: verdict ${final.verdict} for freeze ${final.id}`);
    return [{ thawed: finished, receipt: final }, final.verdict];
  });
}

async function finishWriters(
  stage: Stage,
  { server }: Source,
  moments: Omit<Moments, 'ended'>,
): Promise<void> {
  const { checks, facts, signal, options } = stage;
  const { writes } = stage.database.words;
  const { load } = server;
  await step(stage, 'writers', 'Writers after', async () => {
    await sleep(options.seconds * 500, undefined, { signal });
    const ended = performance.now();
    await load.stop();
    facts.writers = tellWriters(load, { ...moments, ended });
    return [undefined, `${load.latencies.count} ${writes} in all`];
  });
  const story = facts.writers;
  if (story) checkWriters(checks, story, writes, load.trouble());
  await step(stage, 'live', 'Look at the live database', async () => {
    const live = await server.compare(load.acknowledged());
    const wrong = live.checks.find(({ ok }) => !ok)?.message;
    const exact = wrong === undefined && live.beyond === 0;
    const message = `the live database holds exactly the ${live.found} ${writes} acknowledged`;
    const more = `${live.beyond} ${writes} that nobody acknowledged`;
    checks.add('live', exact, wrong ?? (exact ? message : more));
    const left = await server.leftovers();
    const clean = 'nothing is left in the live data by the freeze';
    const kept = `left: ${left.join(', ')}`;
    checks.add('left-over', left.length === 0, left.length === 0 ? clean : kept);
    return [undefined, `${live.found} ${writes}`];
  });
}

function checkWriters(
  checks: Checks,
  { frozen, held, heldWrites, after }: WriterStory,
  writes: string,
  trouble: readonly string[],
): void {
  const [first] = trouble;
  if (!held) {
    const went = `writers went on: ${frozen.count} ${writes} while frozen, no error in any`;
    checks.add('writers', frozen.count > 0 && first === undefined, first ?? went);
    return;
  }
  const none = `not one of the ${writes} was acknowledged while the freeze was held`;
  const some = `${heldWrites} ${writes} were acknowledged while writers were to wait`;
  checks.add('still', heldWrites === 0, heldWrites === 0 ? none : some);
  const longest = formatDuration(Math.max(frozen.max, held.max));
  const waited = `writers waited up to ${longest} and went on, no error in any`;
  checks.add('writers', after.count > 0 && first === undefined, first ?? waited);
}

/** The receipt a command printed; a command that failed is a check that did not hold. */
function receiptOf({ code, stdout, stderr }: Finished, verb: string): Receipt {
  if (code !== 0) throw new Error(`quiesce ${verb} exited ${code}: ${(stderr || stdout).trim()}`);
  const receipt = JSON.parse(stdout) as Receipt;
  if (receipt.kind !== 'Receipt') throw new Error(`quiesce ${verb} printed no receipt`);
  return receipt;
}

function describe({ verdict, mode, position }: Receipt): string {
  const lsn = typeof position?.['lsn'] === 'string' ? ` at ${position['lsn']}` : '';
  return `${verdict}, ${mode}${lsn}`;
}
