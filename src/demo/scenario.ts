import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { formatDuration } from '../duration.ts';
import type { Receipt } from '../freeze/receipt.ts';
import { CheckFailed, type Checks } from './checks.ts';
import type { EmbeddedPostgres } from './embedded-postgres.ts';
import { verifyLedger } from './ledger.ts';
import { type Acked, countAcked, WriterLoad } from './load.ts';
import type { DemoOptions } from './options.ts';
import { tool } from './os.ts';
import { type Finished, runCli, type SidecarProcess } from './processes.ts';
import type { Progress } from './progress.ts';
import type { DemoReport } from './report.ts';
import {
  connectionTo,
  DATABASE,
  makeRole,
  makeServer,
  makeSourceVolume,
  startServer,
  startSidecar,
  withClient,
} from './source.ts';
import type { Snapshot, Volume } from './volume.ts';
import { tellWriters, type Moments } from './writers.ts';
import type { Workspace } from './workspace.ts';

/** What one run of the demo works with. */
export interface Stage {
  readonly options: DemoOptions;
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
  readonly server: EmbeddedPostgres;
  readonly sidecar: SidecarProcess;
  readonly role: Readonly<Record<string, string>>;
  readonly load: WriterLoad;
}

/** What the first half leaves for the restore. */
export interface Taken {
  readonly receipt: Receipt;
  readonly acked: Acked;
  readonly copy: Snapshot;
}

const WARM_UP_MS = 1_000;
const RECYCLED_SEGMENTS = 4;
/** So that eight writers leave the processors of a small machine some air. */
const THINK_MS = 8;

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

/** Server, volume, sidecar and writers, all running. */
export async function setUp(stage: Stage): Promise<Source> {
  const { workspace, options, signal } = stage;
  let server: EmbeddedPostgres | undefined;
  const volume = await step(stage, 'volume', 'Make a volume for the data', async () => {
    const made = await makeSourceVolume(workspace, () => server);
    return [made, made.kind === 'btrfs' ? 'btrfs on a loop device' : 'a plain folder'];
  });
  const title = `Start an embedded PostgreSQL ${options.postgres}`;
  const role = await step(stage, 'postgres', title, async () => {
    server = await makeServer(workspace, 'source', options.postgres, volume.path);
    await server.initdb();
    await startServer(workspace, server);
    return [await makeRole(workspace, server), `port ${server.options.port}`];
  });
  if (!server) throw new Error('no server');
  const running: EmbeddedPostgres = server;
  const sidecar = await step(stage, 'sidecar', 'Start the sidecar as role quiesce', async () => {
    const made = await startSidecar(workspace, 'sc', running, volume.path, role);
    await made.ready(signal);
    return [made, 'ready'];
  });
  const load = new WriterLoad({ connection: connectionTo(running, DATABASE), thinkMs: THINK_MS });
  await workspace.defer(() => load.stop(500));
  return { volume, server: running, sidecar, role, load };
}

/** Writers before, freeze, hold, snapshot, thaw, writers after. */
export async function freezeAndCopy(stage: Stage, source: Source): Promise<Taken> {
  const { load, sidecar, volume } = source;
  const { checks, facts, signal } = stage;
  const ms = stage.options.seconds * 1_000;
  const measured = await step(
    stage,
    'writers',
    `${load.shape.clients} writers move money`,
    async () => {
      await load.prepare();
      await settle(source);
      await load.start();
      await sleep(WARM_UP_MS, undefined, { signal });
      const from = performance.now();
      await sleep(ms, undefined, { signal });
      const acked = countAcked(load.snapshotAcked());
      return [from, `${acked} transactions acknowledged`];
    },
  );
  const { acked, frozen } = await step(stage, 'freeze', 'quiesce freeze', async () => {
    const before = load.snapshotAcked();
    const finished = await runCli(['freeze', '-o', 'json'], sidecar.env, signal);
    const receipt = receiptOf(finished, 'freeze');
    checks.require('freeze', receipt.verdict === 'held', `quiesce freeze: ${describe(receipt)}`);
    return [{ acked: before, frozen: finished }, describe(receipt)];
  });
  facts.acknowledgedBeforeFreeze = countAcked(acked);
  const half = ms / 4;
  await step(stage, 'hold', 'Hold while the writers go on', async () => {
    facts.database = await readSize(source.server);
    await sleep(half, undefined, { signal });
    return [undefined, formatDuration(half)];
  });
  const { copy, span } = await step(stage, 'snapshot', 'Snapshot the volume', async () => {
    const from = performance.now();
    const made = await volume.snapshot('copy');
    return [{ copy: made, span: { from, to: performance.now() } }, made.how];
  });
  facts.snapshot = { ...copy, kind: volume.kind, reason: volume.reason ?? null };
  const { thawed, receipt } = await step(stage, 'thaw', 'quiesce thaw', async () => {
    await sleep(half, undefined, { signal });
    const finished = await runCli(['thaw', '-o', 'json'], sidecar.env, signal);
    const final = receiptOf(finished, 'thaw');
    const good = final.verdict === 'consistent';
    checks.require('thaw', good, `quiesce thaw: verdict ${final.verdict} for freeze ${final.id}`);
    return [{ thawed: finished, receipt: final }, final.verdict];
  });
  facts.receipt = receipt;
  facts.commandsMs = {
    freeze: frozen.endedAt - frozen.begunAt,
    held: thawed.begunAt - frozen.endedAt,
    thaw: thawed.endedAt - thawed.begunAt,
  };
  const moments = { measured, frozen: frozen.begunAt, thawed: thawed.endedAt, copied: span };
  await finishWriters(stage, source, moments, copy.stalledMs > 0);
  return { receipt, acked, copy };
}

/**
 * Brings the new server to where one is that has run for a while: everything written out, and WAL
 * segments to recycle. Otherwise the freeze would be measured writing what making the server left in
 * memory, and filling new segments with zeros.
 */
async function settle({ server, volume }: Source): Promise<void> {
  await withClient(server, DATABASE, async (client) => {
    for (let segment = 0; segment < RECYCLED_SEGMENTS; segment += 1) {
      await client.query(`SELECT pg_logical_emit_message(false, 'demo', ''), pg_switch_wal()`);
    }
    await client.query('CHECKPOINT');
  });
  await tool('sync', '-f', volume.path).catch(() => undefined);
}

async function finishWriters(
  stage: Stage,
  { load, server, volume }: Source,
  moments: Omit<Moments, 'ended'>,
  stopped: boolean,
): Promise<void> {
  const { checks, facts, signal, options } = stage;
  await step(stage, 'writers', 'Writers after', async () => {
    await sleep(options.seconds * 500, undefined, { signal });
    const ended = performance.now();
    await load.stop();
    facts.writers = tellWriters(load, { ...moments, ended }, stopped);
    return [undefined, `${load.latencies.count} transactions in all`];
  });
  const during = facts.writers?.frozen.count ?? 0;
  const trouble = [...load.errors, ...load.losses];
  checks.add(
    'writers',
    during > 0 && trouble.length === 0,
    trouble[0] ?? `writers went on: ${during} transactions while frozen, no error in any`,
  );
  await step(stage, 'live', 'Look at the live database', async () => {
    const live = await withClient(server, DATABASE, (c) => verifyLedger(c, load.snapshotAcked()));
    const wrong = live.checks.find(({ ok }) => !ok)?.message;
    const exact = wrong === undefined && live.beyond === 0;
    const message = `the live database holds exactly the ${live.rows} transactions acknowledged`;
    checks.add(
      'live',
      exact,
      wrong ?? (exact ? message : `${live.beyond} rows nobody acknowledged`),
    );
    const left = await leftovers(server.options.dataDir, volume.path);
    const clean = 'nothing is left in the live data: no backup_label, no receipt';
    checks.add(
      'left-over',
      left.length === 0,
      left.length === 0 ? clean : `left: ${left.join(', ')}`,
    );
    return [undefined, `${live.rows} rows`];
  });
}

/** What a finished freeze must not leave behind. */
async function leftovers(pgdata: string, volume: string): Promise<string[]> {
  const paths = [
    ...['backup_label', 'tablespace_map'].map((name) => join(pgdata, name)),
    ...['receipt.json', 'postgres.backup_label'].map((name) => join(volume, '.quiesce', name)),
  ];
  const found = await Promise.all(paths.map((path) => stat(path).catch(() => undefined)));
  return paths.filter((_, i) => found[i] !== undefined);
}

async function readSize(server: EmbeddedPostgres): Promise<NonNullable<DemoReport['database']>> {
  return await withClient(server, DATABASE, async (client) => {
    const { rows } = await client.query<{ bytes: string; databases: string; ledger: string }>(
      `SELECT sum(pg_database_size(oid)) AS bytes, count(*) AS databases,
              (SELECT count(*) FROM bank.ledger_0) AS ledger FROM pg_database WHERE datallowconn`,
    );
    const [row] = rows;
    return {
      bytes: Number(row?.bytes),
      databases: Number(row?.databases),
      ledgerRows: Number(row?.ledger),
    };
  });
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
