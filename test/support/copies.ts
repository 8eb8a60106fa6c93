import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  chown,
  lstat,
  mkdir,
  open,
  readdir,
  readFile,
  rm,
  stat,
  writeFile,
} from 'node:fs/promises';
import { join, relative } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { Client } from 'pg';
import { EmbeddedPostgres, freePort } from '../../src/testbed/postgres/server.ts';
import { type Acked, WriterLoad } from '../../src/testbed/postgres/load.ts';
import { listProcesses } from '../../src/testbed/os.ts';
import { parseLsn, segmentFileName, walFileName } from '../../src/engines/postgres/lsn.ts';
import type { PostgresPosition, PostgresRestore } from '../../src/engines/postgres/receipt.ts';
import type { Receipt } from '../../src/receipt/receipt.ts';
import { makeTempDir } from './postgres.ts';

const run = promisify(execFile);

/** PGDATA within the volume. */
export const PGDATA = 'pgdata';

export type PostgresReceipt = Receipt & {
  readonly position: PostgresPosition;
  readonly restore: PostgresRestore;
};

/** The volume of a copy and PGDATA in it. */
export interface Copy {
  readonly volume: string;
  readonly pgdata: string;
}

export function copyAt(volume: string): Copy {
  return { volume, pgdata: join(volume, PGDATA) };
}

/** A server whose PGDATA is a folder of a volume. */
export interface Source extends Copy {
  readonly server: EmbeddedPostgres;
  /** Connected as the superuser. */
  readonly admin: Client;
  connect(): Promise<Client>;
  stop(): Promise<void>;
}

/** Small WAL segments make every walk cross many. */
export async function startSource(
  major: number,
  segmentMb = 1,
  settings: Readonly<Record<string, string>> = {},
  checksums = true,
): Promise<Source> {
  const dir = await makeTempDir();
  const copy = copyAt(join(dir, 'vol'));
  await mkdir(copy.volume);
  const server = await EmbeddedPostgres.at({
    major,
    dataDir: copy.pgdata,
    port: await freePort(),
    socketDir: join(dir, 's'),
    initdbArgs: [`--wal-segsize=${segmentMb}`, ...checksumArgs(major, checksums)],
    settings: { fsync: 'off', wal_level: 'logical', autovacuum_naptime: '1s', ...settings },
  });
  await server.own(copy.volume);
  await server.initdb();
  await server.start();
  return await sourceOf(copy, server, dir);
}

/** 18 makes them unless told not to; earlier versions do not know how to be told. */
function checksumArgs(major: number, checksums: boolean): string[] {
  if (checksums) return ['--data-checksums'];
  return major >= 18 ? ['--no-data-checksums'] : [];
}

/** Connects to a running server. Its `stop` ends all connections and the server, and removes `folder`. */
export async function sourceOf(
  copy: Copy,
  server: EmbeddedPostgres,
  folder: string,
): Promise<Source> {
  const clients: Client[] = [];
  const connect = async (): Promise<Client> => {
    const client = new Client(server.superuser());
    client.on('error', () => undefined);
    await client.connect();
    clients.push(client);
    return client;
  };
  const stop = async (): Promise<void> => {
    await Promise.all(clients.map((client) => client.end().catch(() => undefined)));
    await server.stop('immediate');
    await rm(folder, { recursive: true, force: true });
  };
  return { ...copy, server, admin: await connect(), connect, stop };
}

/** A sealed or crash-consistent freeze in plain SQL, and its receipt on the volume. */
export async function freezeBySql(
  source: Source,
  id: string,
  options: { readonly mode?: 'sealed' | 'crash-consistent'; readonly standby?: boolean } = {},
): Promise<PostgresReceipt> {
  const { mode = 'sealed', standby = false } = options;
  const { major } = source.server.options;
  const client = await source.connect();
  const one = async (sql: string): Promise<Record<string, string | null>> =>
    (await client.query<Record<string, string | null>>(sql)).rows[0] ?? {};
  const [start, stop] =
    major >= 15
      ? [`pg_backup_start('${id}', true)`, 'pg_backup_stop(false)']
      : [`pg_start_backup('${id}', true, false)`, 'pg_stop_backup(false, false)'];
  if (mode === 'sealed') await one(`SELECT ${start}`);
  else await client.query('CHECKPOINT');
  const control = await one(
    `SELECT checkpoint_lsn, redo_lsn, timeline_id, (SELECT system_identifier::text FROM pg_control_system()) AS sysid,
            (SELECT bytes_per_wal_segment FROM pg_control_init()) AS seg,
            to_char(pg_postmaster_start_time() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS started,
            current_setting('server_version') AS version
       FROM pg_control_checkpoint()`,
  );
  const ended =
    mode === 'sealed'
      ? await one(`SELECT lsn::text, labelfile, nullif(spcmapfile, '') AS map FROM ${stop}`)
      : { lsn: null, labelfile: null, map: null };
  await client.query('SET synchronous_commit = on');
  const marker = standby
    ? await one('SELECT pg_last_wal_replay_lsn()::text AS lsn')
    : await one(`SELECT pg_logical_emit_message(true, 'quiesce', '${id}')::text AS lsn`);
  await client.end();
  const text = (value: string | null | undefined): string => String(value);
  // Another checkpoint may have ended since the backup began: the label has its own.
  const inLabel = (name: string): string | undefined =>
    new RegExp(`^${name} LOCATION: (\\S+)`, 'm').exec(ended['labelfile'] ?? '')?.[1];
  const startLsn = inLabel('START WAL') ?? text(control['redo_lsn']);
  const segmentSize = Number(control['seg']);
  const timeline = Number(control['timeline_id']);
  const now = new Date().toISOString();
  const receipt: PostgresReceipt = {
    apiVersion: 'quiesce.dev/v1',
    kind: 'Receipt',
    id,
    engine: {
      name: 'postgres',
      version: text(control['version']).split(' ')[0] ?? null,
      role: standby ? 'standby' : 'primary',
      identity: { systemIdentifier: text(control['sysid']) },
    },
    mode,
    copy: 'snapshot',
    writesBlocked: false,
    requestedAt: now,
    frozenAt: now,
    expiresAt: now,
    thawedAt: null,
    durationsMs: { prepare: 1, freeze: 1, held: null, thaw: null },
    position: {
      lsn: text(marker['lsn']),
      startLsn,
      checkpointLsn: inLabel('CHECKPOINT') ?? text(control['checkpoint_lsn']),
      stopLsn: ended['lsn'] ?? null,
      markerLsn: standby ? null : text(marker['lsn']),
      timeline,
      serverStartedAt: text(control['started']),
    },
    restore: {
      dataDirectory: PGDATA,
      backupLabel: ended['labelfile'] ?? null,
      tablespaceMap: ended['map'] ?? null,
      wal: {
        segmentSize,
        first: walFileName(timeline, parseLsn(startLsn), segmentSize),
        last: walFileName(timeline, parseLsn(text(marker['lsn'])) - 1n, segmentSize),
      },
      databases: ['postgres'],
    },
    evidence: { onVolume: true, detail: '.quiesce/receipt.json' },
    verdict: 'held',
    reasons: [],
    notes: [],
  };
  await writeReceipt(source, receipt);
  return receipt;
}

/** Writes a receipt and its label to `.quiesce/`, as a freeze does. */
export async function writeReceipt({ volume }: Copy, receipt: PostgresReceipt): Promise<void> {
  const folder = join(volume, '.quiesce');
  await mkdir(folder, { recursive: true });
  const { uid, gid } = await stat(volume);
  await chown(folder, uid, gid);
  const { backupLabel } = receipt.restore;
  if (backupLabel !== null) await writeFile(join(folder, 'postgres.backup_label'), backupLabel);
  await writeFile(join(folder, 'receipt.json'), JSON.stringify(receipt));
}

/** Copies while every process of the server is stopped, which makes the copy atomic. */
export async function atomicCopy(
  source: Pick<Source, 'server' | 'volume'>,
  to: string,
): Promise<Copy> {
  const postmaster = source.server.pid;
  if (postmaster === undefined) throw new Error('the source does not run');
  const stopped = new Set<number>();
  try {
    for (let moving = 1; moving > 0;) {
      const family = (await listProcesses()).filter(
        ({ pid, parent, state }) => (pid === postmaster || parent === postmaster) && state !== 'Z',
      );
      moving = family.filter(({ state }) => state !== 'T').length;
      for (const { pid } of family) {
        if (!stopped.has(pid) && signalled(pid, 'SIGSTOP')) stopped.add(pid);
      }
      await sleep(2);
    }
    await clone(source.volume, to);
  } finally {
    for (const pid of stopped) signalled(pid, 'SIGCONT');
  }
  return copyAt(to);
}

/** @returns false where the process has ended in the meantime, as a backend or a worker may at any time */
function signalled(pid: number, signal: NodeJS.Signals): boolean {
  try {
    return process.kill(pid, signal);
  } catch {
    return false;
  }
}

/**
 * Copies files as they are, times and owners included. Removes what an earlier try of the same test
 * left there: `cp` would put the copy into it.
 */
export async function clone(from: string, to: string): Promise<Copy> {
  await rm(to, { recursive: true, force: true });
  await run('cp', ['-a', '--reflink=auto', from, to]);
  return copyAt(to);
}

/** Starts a server on a copy, uses it, and ends it with SIGKILL or as requested. */
export async function onServer<T>(
  { volume, pgdata }: Copy,
  major: number,
  use: (client: Client, server: EmbeddedPostgres) => Promise<T>,
  end: 'kill' | 'fast' = 'fast',
): Promise<T> {
  const port = await freePort();
  const socketDir = `${volume}-s`;
  const server = await EmbeddedPostgres.at({
    major,
    dataDir: pgdata,
    port,
    socketDir,
    settings: { fsync: 'off' },
  });
  try {
    await server.start();
    const client = new Client(server.superuser());
    client.on('error', () => undefined);
    await client.connect();
    try {
      return await use(client, server);
    } finally {
      await client.end().catch(() => undefined);
    }
  } finally {
    if (end === 'kill') await killAll(server);
    else await server.stop('fast');
    await rm(socketDir, { recursive: true, force: true });
  }
}

/** Kills the postmaster and its children with SIGKILL, and waits until all are gone. */
export async function killAll(server: EmbeddedPostgres): Promise<void> {
  const postmaster = server.pid;
  const children = (await listProcesses()).filter(({ parent }) => parent === postmaster);
  const ended = server.kill();
  // On a corrupt copy a backend may loop and never notice that its postmaster is gone. Until it ends it
  // keeps the server's output open.
  for (const { pid } of children) {
    try {
      process.kill(pid, 'SIGKILL');
    } catch {
      // It has already ended.
    }
  }
  await ended;
  for (let alive = true; alive;) {
    const pids = new Set((await listProcesses()).map(({ pid }) => pid));
    alive = children.some(({ pid }) => pids.has(pid));
    await sleep(20);
  }
}

export interface Frozen {
  readonly receipt: PostgresReceipt;
  /** The writes acknowledged before the freeze was called. */
  readonly acked: Acked;
  /** The atomic copy, cut during the hold after more writes and a checkpoint. */
  readonly copy: Copy;
}

/** Runs a load, freezes, runs more load, makes a checkpoint, runs more load, then copies. */
export async function frozenUnderLoad(
  source: Source,
  id: string,
  to: string,
  mode: 'sealed' | 'crash-consistent' = 'sealed',
): Promise<Frozen> {
  const connection = source.server.superuser();
  const load = new WriterLoad({ connection, clients: 4, accounts: 200 });
  await source.admin.query('DROP SCHEMA IF EXISTS bank CASCADE');
  await load.prepare();
  await load.start();
  try {
    await sleep(300);
    const acked = load.snapshotAcked();
    const receipt = await freezeBySql(source, id, { mode });
    await sleep(400);
    // The segment of the checkpoint must be a later one than that of the marker.
    await source.admin.query('SELECT pg_switch_wal()');
    await source.admin.query('CHECKPOINT');
    await sleep(400);
    return { receipt, acked, copy: await atomicCopy(source, to) };
  } finally {
    await load.stop();
  }
}

/** The file of the WAL segment that contains the byte at `lsn`. */
export function segmentOf({ pgdata }: Copy, receipt: PostgresReceipt, lsn: bigint): string {
  const { timeline } = receipt.position;
  const { segmentSize } = receipt.restore.wal;
  return join(pgdata, 'pg_wal', segmentFileName(timeline, lsn / BigInt(segmentSize), segmentSize));
}

/** Overwrites all WAL from a position on with zeros, as if it had never reached the disk. */
export async function loseWalFrom(
  copy: Copy,
  receipt: PostgresReceipt,
  lsn: bigint,
): Promise<void> {
  const path = segmentOf(copy, receipt, lsn);
  const { segmentSize } = receipt.restore.wal;
  const at = Number(lsn % BigInt(segmentSize));
  await overwrite(path, at, Buffer.alloc(segmentSize - at));
  const folder = join(copy.pgdata, 'pg_wal');
  for (const name of await readdir(folder)) {
    if (/^[0-9A-F]{24}$/.test(name) && join(folder, name) > path) await rm(join(folder, name));
  }
}

export async function overwrite(path: string, at: number, bytes: Buffer): Promise<void> {
  const file = await open(path, 'r+');
  try {
    await file.write(bytes, 0, bytes.length, at);
  } finally {
    await file.close();
  }
}

/** Names, sizes, owners, times and small contents of all files: equal means that nothing was written. */
export async function fingerprintOf(folder: string): Promise<string> {
  const hash = createHash('sha256');
  const visit = async (path: string): Promise<void> => {
    const info = await lstat(path);
    hash.update(
      `${relative(folder, path)} ${info.mode} ${info.uid} ${info.size} ${info.mtimeMs} ${info.ctimeMs}\n`,
    );
    if (info.isFile() && info.size < 10_000) hash.update(await readFile(path));
    if (!info.isDirectory()) return;
    for (const name of (await readdir(path)).sort()) await visit(join(path, name));
  };
  await visit(folder);
  return hash.digest('hex');
}
