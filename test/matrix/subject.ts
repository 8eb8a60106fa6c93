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

/** Which of the copies of the WAL volume a restore gets; the last is the one that belongs to it. */
export type WalCut = 'first' | 'with-data' | 'last';

/** A copy made under load, with what it must hold. */
export interface Backup {
  readonly order: FileOrder | undefined;
  readonly acked: Acked;
  /** What thaw printed. */
  readonly receipt: PostgresReceipt;
  /** Flags of `prepare-restore` beside `--data`. */
  readonly flags: readonly string[];
  /** A copy of the copy, to be restored or spoilt. @returns the root of its (data) volume. */
  fresh(wal?: WalCut): Promise<string>;
}

/** The server of one cell under load, and the sidecar beside it. */
export interface Subject {
  readonly server: EmbeddedPostgres;
  readonly load: WriterLoad;
  readonly sidecar: TestSidecar;
  take(id: string, order: FileOrder | undefined): Promise<Backup>;
  /** The same copy without any freeze: what the adversary does to it. */
  takeUnfrozen?(order: FileOrder): Promise<{ readonly copy: string; readonly acked: Acked }>;
  dispose(): Promise<void>;
}

const LOAD = { clients: 6, thinkMs: 2, accounts: 400 };
/** Small segments: every hold crosses and recycles some. */
const INITDB = ['--wal-segsize=4', '--data-checksums'];
const SETTINGS = { max_wal_size: '64MB', min_wal_size: '32MB', wal_keep_size: '64MB' };
/** A hook gives up sooner; a busy machine needs longer to stage a backup. */
const PATIENT = ['--timeout', '120s'];
const PRESSURE = { transactions: 250, ms: 400, withinMs: 60_000 };

/** Everything is up, and writers write. */
export async function makeSubject(cell: Cell, major: number): Promise<Subject> {
  const subject =
    cell.copy === 'volumes' ? await onVolumes(cell, major) : await onOneVolume(cell, major);
  try {
    await subject.load.start();
    await press(subject.load);
    await subject.sidecar.start();
    return subject;
  } catch (error) {
    await subject.dispose();
    throw error;
  }
}

/** Lets the writers acknowledge enough to change pages everywhere. */
async function press(load: WriterLoad): Promise<void> {
  const [begun, before] = [performance.now(), countAcked(load.snapshotAcked())];
  for (;;) {
    await sleep(25);
    const ms = performance.now() - begun;
    const done = countAcked(load.snapshotAcked()) - before >= PRESSURE.transactions;
    if (done && ms >= PRESSURE.ms) return;
    if (ms > PRESSURE.withinMs) throw new Error('the writers do not go on');
  }
}

async function called(sidecar: TestSidecar, ...args: string[]): Promise<string> {
  const done = await sidecar.cli(...args, '-o', 'json');
  if (done.code === 0) return done.stdout;
  throw new Error(`quiesce ${args.join(' ')}: ${done.code} ${done.stdout}${done.stderr}`);
}

async function thawed(sidecar: TestSidecar, cell: Cell): Promise<PostgresReceipt> {
  const receipt = JSON.parse(await called(sidecar, 'thaw')) as PostgresReceipt;
  const { mode, copy, verdict, engine } = receipt;
  const said = `${mode}, ${copy}, ${engine.role}: ${verdict}`;
  const wanted = `${cell.mode}, ${cell.copy}, ${cell.role}: consistent`;
  if (said !== wanted) throw new Error(`the receipt says "${said}", not "${wanted}"`);
  return receipt;
}

async function onVolumes(cell: Cell, major: number): Promise<Subject> {
  const rig = await VolumesRig.make({
    major,
    tablespace: true,
    initdbArgs: INITDB,
    load: LOAD,
    env: cell.env,
  });
  const { server, load, sidecar } = rig;
  const disturb = async (): Promise<void> => {
    await press(load);
    await rig.sql('CHECKPOINT');
  };
  const take = async (id: string, order: FileOrder | undefined): Promise<Backup> => {
    // The heap lies in the tablespace, its indexes and pg_control with the data.
    const [one, other]: VolumeName[] = order === 'A1' ? ['data', 'ts'] : ['ts', 'data'];
    const wal: Partial<Record<WalCut, string>> = { first: await rig.cut('wal') };
    await disturb();
    await called(sidecar, 'freeze', '--id', id, ...PATIENT);
    const cuts: Cuts = { [one as VolumeName]: await rig.cut(one as VolumeName) };
    await disturb();
    cuts[other as VolumeName] = await rig.cut(other as VolumeName);
    wal['with-data'] = await rig.cut('wal');
    await disturb();
    const acked = load.snapshotAcked();
    const receipt = await thawed(sidecar, cell);
    await disturb();
    wal.last = await rig.cut('wal');
    const flags = ['--receipt', await rig.keep(JSON.stringify(receipt))];
    const fresh = async (which: WalCut = 'last'): Promise<string> =>
      rig.link(await rig.again({ ...cuts, wal: wal[which] as string }));
    return { order, acked, receipt, flags, fresh };
  };
  return { server, load, sidecar, take, dispose: () => rig.dispose() };
}

async function onOneVolume(cell: Cell, major: number): Promise<Subject> {
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

/** All of the server on one volume: copied at once or file by file, from a primary or its standby. */
class OneVolume implements Subject {
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
    const acked = await this.#settled();
    await called(this.sidecar, 'freeze', '--id', id, ...PATIENT);
    const copy = order === undefined ? await this.#snapshot() : await this.#byFile(order);
    const receipt = await thawed(this.sidecar, this.#cell);
    const fresh = async (): Promise<string> => {
      this.#copies += 1;
      return (await clone(copy, `${copy}-${this.#copies}`)).volume;
    };
    return { order, acked, receipt, flags: [], fresh };
  }

  async takeUnfrozen(order: FileOrder): Promise<{ copy: string; acked: Acked }> {
    const acked = await this.#settled();
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

  /** What a freeze called from now on must hold: on a standby, once it has arrived there. */
  async #settled(): Promise<Acked> {
    const acked = this.load.snapshotAcked();
    // A paused replica waits for the primary by itself; any other holds what it has replayed.
    await this.#arrived(this.#cell.mode === 'replica-paused' ? 'receive' : 'replay');
    return acked;
  }

  async #arrived(how: 'receive' | 'replay'): Promise<void> {
    const standby = this.#standby;
    if (!standby) return;
    const [primary] = await this.#rig.sql<{ lsn: string }>(
      'SELECT pg_current_wal_flush_lsn()::text AS lsn',
    );
    const asked = `SELECT pg_last_wal_${how}_lsn() >= '${primary?.lsn}' AS there`;
    for (const deadline = performance.now() + 60_000; performance.now() < deadline;) {
      const [row] = await query<{ there: boolean | null }>(standby.server, asked);
      if (row?.there === true) return;
      await sleep(20);
    }
    throw new Error(`the standby does not ${how} what the primary has flushed`);
  }

  async #disturb(): Promise<void> {
    await press(this.load);
    await this.#rig.sql('SELECT pg_switch_wal(); CHECKPOINT');
    if (!this.#standby) return;
    await this.#arrived('receive');
    await sleep(200);
    await query(this.#standby.server, 'CHECKPOINT');
  }
}

/** A freeze of this server by a sidecar set otherwise. @returns what it said where it was refused. */
export async function tryFreeze(
  { sidecar }: Subject,
  env: Readonly<Record<string, string>>,
): Promise<{ readonly code: number | null; readonly said: string }> {
  await sidecar.stop();
  const before = { ...sidecar.env };
  Object.assign(sidecar.env, env);
  try {
    await sidecar.start();
    const done = await sidecar.cli('freeze');
    return { code: done.code, said: done.stdout + done.stderr };
  } finally {
    await sidecar.stop();
    for (const key of Object.keys(sidecar.env)) delete sidecar.env[key];
    Object.assign(sidecar.env, before);
  }
}
