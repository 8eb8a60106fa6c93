import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { EmbeddedPostgres } from '../../src/testbed/postgres/server.ts';
import { type Acked, countAcked, type WriterLoad } from '../../src/testbed/postgres/load.ts';
import { clone, type PostgresReceipt } from '../support/copies.ts';
import { copyFileByFile, type FileOrder } from '../support/file-copy.ts';
import { Rig } from '../support/rig.ts';
import { query } from '../support/superuser.ts';
import type { TestSidecar } from '../support/sidecar.ts';
import { makeStandby, type Standby } from '../support/standby.ts';
import { type Cuts, type VolumeName, VolumesRig } from '../support/volumes.ts';
import type { Cell } from './cells.ts';

/** Which copy of the WAL volume a restore gets. `last`, cut after the thaw, is the right one. */
export type WalCut = 'first' | 'with-data' | 'last';

/** A copy made under load, with the writes that it must contain. */
export interface Backup {
  readonly order: FileOrder | undefined;
  readonly acked: Acked;
  /** The receipt that the thaw printed. */
  readonly receipt: PostgresReceipt;
  /** Flags of `prepare-restore` in addition to `--data`. */
  readonly flags: readonly string[];
  /** Copies the copy, to be restored or spoilt. @returns the root of its data volume. */
  fresh(wal?: WalCut): Promise<string>;
}

/** The server of one cell under load, with its sidecar. */
export interface CellRig {
  readonly server: EmbeddedPostgres;
  readonly load: WriterLoad;
  readonly sidecar: TestSidecar;
  take(id: string, order: FileOrder | undefined): Promise<Backup>;
  /** Makes the same copy without a freeze, to show the damage that the adversary does. */
  takeUnfrozen?(order: FileOrder): Promise<{ readonly copy: string; readonly acked: Acked }>;
  dispose(): Promise<void>;
}

const LOAD = { clients: 6, thinkMs: 2, accounts: 400 };
/** Small segments, so that every hold crosses and recycles some. */
const INITDB = ['--wal-segsize=4', '--data-checksums'];
const SETTINGS = { max_wal_size: '64MB', min_wal_size: '32MB', wal_keep_size: '64MB' };
/** Longer than a hook waits: a busy machine needs longer to stage a backup. */
const PATIENT = ['--timeout', '120s'];
const PRESSURE = { transactions: 250, ms: 400, withinMs: 60_000 };

/** Starts server, writers and sidecar. */
export async function makeCellRig(cell: Cell, major: number): Promise<CellRig> {
  const rig =
    cell.copy === 'volumes' ? await onVolumes(cell, major) : await onOneVolume(cell, major);
  try {
    await rig.load.start();
    await awaitWrites(rig.load);
    await rig.sidecar.start();
    return rig;
  } catch (error) {
    await rig.dispose();
    throw error;
  }
}

/** Waits until the writers have changed pages everywhere. */
async function awaitWrites(load: WriterLoad): Promise<void> {
  const [begun, before] = [performance.now(), countAcked(load.snapshotAcked())];
  for (;;) {
    await sleep(25);
    const ms = performance.now() - begun;
    const done = countAcked(load.snapshotAcked()) - before >= PRESSURE.transactions;
    if (done && ms >= PRESSURE.ms) return;
    if (ms > PRESSURE.withinMs) {
      throw new Error(`the writers made too few commits in ${PRESSURE.withinMs / 1_000} s`);
    }
  }
}

async function mustRun(sidecar: TestSidecar, ...args: string[]): Promise<string> {
  const done = await sidecar.cli(...args, '-o', 'json');
  if (done.code === 0) return done.stdout;
  throw new Error(`quiesce ${args.join(' ')}: ${done.code} ${done.stdout}${done.stderr}`);
}

async function thaw(sidecar: TestSidecar, cell: Cell): Promise<PostgresReceipt> {
  const receipt = JSON.parse(await mustRun(sidecar, 'thaw')) as PostgresReceipt;
  const { mode, copy, verdict, engine } = receipt;
  const found = `${mode}, ${copy}, ${engine.role}: ${verdict}`;
  const wanted = `${cell.mode}, ${cell.copy}, ${cell.role}: consistent`;
  if (found !== wanted) throw new Error(`the receipt says "${found}", not "${wanted}"`);
  return receipt;
}

async function onVolumes(cell: Cell, major: number): Promise<CellRig> {
  const rig = await VolumesRig.make({
    major,
    tablespace: true,
    initdbArgs: INITDB,
    load: LOAD,
    env: cell.env,
  });
  const { server, load, sidecar } = rig;
  const disturb = async (): Promise<void> => {
    await awaitWrites(load);
    await rig.sql('CHECKPOINT');
  };
  const take = async (id: string, order: FileOrder | undefined): Promise<Backup> => {
    // The heap is in the tablespace; its indexes and pg_control are with the data.
    const [one, other]: VolumeName[] = order === 'A1' ? ['data', 'ts'] : ['ts', 'data'];
    const wal: Partial<Record<WalCut, string>> = { first: await rig.cut('wal') };
    await disturb();
    await mustRun(sidecar, 'freeze', '--id', id, ...PATIENT);
    const cuts: Cuts = { [one as VolumeName]: await rig.cut(one as VolumeName) };
    await disturb();
    cuts[other as VolumeName] = await rig.cut(other as VolumeName);
    wal['with-data'] = await rig.cut('wal');
    await disturb();
    const acked = load.snapshotAcked();
    const receipt = await thaw(sidecar, cell);
    await disturb();
    wal.last = await rig.cut('wal');
    const flags = ['--receipt', await rig.keep(JSON.stringify(receipt))];
    const fresh = async (which: WalCut = 'last'): Promise<string> =>
      rig.link(await rig.again({ ...cuts, wal: wal[which] as string }));
    return { order, acked, receipt, flags, fresh };
  };
  return { server, load, sidecar, take, dispose: () => rig.dispose() };
}

async function onOneVolume(cell: Cell, major: number): Promise<CellRig> {
  const options = { initdbArgs: INITDB, settings: SETTINGS, load: LOAD };
  const rig = await Rig.make({ major, ...options, env: cell.env });
  try {
    if (cell.mode === 'crash-consistent') await rig.sql(revokeStart(major));
    const standby = cell.role === 'standby' ? await makeStandby(rig, cell.env) : undefined;
    return new OneVolume(cell, rig, standby);
  } catch (error) {
    await rig.dispose();
    throw error;
  }
}

function revokeStart(major: number): string {
  const start =
    major >= 15 ? 'pg_backup_start(text, boolean)' : 'pg_start_backup(text, boolean, boolean)';
  return `REVOKE EXECUTE ON FUNCTION ${start} FROM quiesce`;
}

/** A server on one volume, a primary or its standby. Copies are snapshots or made file by file. */
class OneVolume implements CellRig {
  readonly #cell: Cell;
  readonly #rig: Rig;
  readonly #standby: Standby | undefined;
  #copies = 0;

  constructor(cell: Cell, rig: Rig, standby: Standby | undefined) {
    this.#cell = cell;
    this.#rig = rig;
    this.#standby = standby;
  }

  get server(): EmbeddedPostgres {
    return (this.#standby ?? this.#rig).server;
  }

  get sidecar(): TestSidecar {
    return (this.#standby ?? this.#rig).sidecar;
  }

  get load(): WriterLoad {
    return this.#rig.load;
  }

  async dispose(): Promise<void> {
    await this.#rig.dispose();
  }

  async take(id: string, order: FileOrder | undefined): Promise<Backup> {
    const acked = await this.#acknowledgedHere();
    await mustRun(this.sidecar, 'freeze', '--id', id, ...PATIENT);
    const copy = order === undefined ? await this.#snapshot() : await this.#byFile(order);
    const receipt = await thaw(this.sidecar, this.#cell);
    const fresh = async (): Promise<string> => {
      this.#copies += 1;
      return (await clone(copy, `${copy}-${this.#copies}`)).volume;
    };
    return { order, acked, receipt, flags: [], fresh };
  }

  async takeUnfrozen(order: FileOrder): Promise<{ copy: string; acked: Acked }> {
    const acked = await this.#acknowledgedHere();
    return { copy: await this.#byFile(order), acked };
  }

  async #snapshot(): Promise<string> {
    await this.#disturb();
    this.#copies += 1;
    return (await (this.#standby ?? this.#rig).volume.snapshot(`copy-${this.#copies}`)).path;
  }

  async #byFile(order: FileOrder): Promise<string> {
    this.#copies += 1;
    const to = join(this.#rig.dir, `files-${this.#copies}`);
    const from = (this.#standby ?? this.#rig).volume.path;
    this.#rig.defer(() => rm(to, { recursive: true, force: true }));
    await copyFileByFile(from, to, {
      between: () => this.#disturb(),
      order,
      seed: this.#copies,
    });
    return to;
  }

  /** The writes that a freeze from now on must contain. On a standby, waits until it has them. */
  async #acknowledgedHere(): Promise<Acked> {
    const acked = this.load.snapshotAcked();
    // A freeze of a paused replica waits for the primary's position itself; others freeze what is replayed.
    await this.#awaitStandby(this.#cell.mode === 'replica-paused' ? 'receive' : 'replay');
    return acked;
  }

  async #awaitStandby(how: 'receive' | 'replay'): Promise<void> {
    const standby = this.#standby;
    if (!standby) return;
    const [primary] = await this.#rig.sql<{ lsn: string }>(
      'SELECT pg_current_wal_flush_lsn()::text AS lsn',
    );
    const sql = `SELECT pg_last_wal_${how}_lsn() >= '${primary?.lsn}' AS reached`;
    for (const deadline = performance.now() + 60_000; performance.now() < deadline;) {
      const [row] = await query<{ reached: boolean | null }>(standby.server, sql);
      if (row?.reached === true) return;
      await sleep(20);
    }
    throw new Error(
      `the standby did not ${how} the WAL of the primary up to ${primary?.lsn} in 60 s`,
    );
  }

  async #disturb(): Promise<void> {
    await awaitWrites(this.load);
    await this.#rig.sql('SELECT pg_switch_wal(); CHECKPOINT');
    if (!this.#standby) return;
    await this.#awaitStandby('receive');
    await sleep(200);
    await query(this.#standby.server, 'CHECKPOINT');
  }
}

/** Freezes this server with other settings of the sidecar. @returns the exit code and the output. */
export async function tryFreeze(
  { sidecar }: CellRig,
  env: Readonly<Record<string, string>>,
): Promise<{ readonly code: number | null; readonly output: string }> {
  await sidecar.stop();
  const before = { ...sidecar.env };
  Object.assign(sidecar.env, env);
  try {
    await sidecar.start();
    const done = await sidecar.cli('freeze');
    return { code: done.code, output: done.stdout + done.stderr };
  } finally {
    await sidecar.stop();
    for (const key of Object.keys(sidecar.env)) delete sidecar.env[key];
    Object.assign(sidecar.env, before);
  }
}
