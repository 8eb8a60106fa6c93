import { existsSync } from 'node:fs';
import { rm, symlink } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Client } from 'pg';
import { EmbeddedPostgres, freePort } from '../../src/testbed/postgres/server.ts';
import { type Acked, countAcked, WriterLoad } from '../../src/testbed/postgres/load.ts';
import { listProcesses, tool } from '../../src/testbed/os.ts';
import { makeVolume } from '../../src/testbed/volume/make-volume.ts';
import type { Snapshot, Volume } from '../../src/testbed/volume/volume.ts';
import { type BlockVolume, makeBlockVolume } from '../support/block-volume.ts';
import { killAll } from '../support/copies.ts';
import { copyFileByFile } from '../support/file-copy.ts';
import { ROLE_PASSWORD, roleSql } from '../support/postgres.ts';
import { examine, query, roleEnv } from '../support/superuser.ts';
import {
  type Backup,
  type Load,
  type Restored,
  type ServerControl,
  snapshotBackup,
  type StartOptions,
  type Subject,
  type World,
} from './fixture.ts';

interface PostgresLedger {
  readonly count: number;
  readonly acked: Acked;
}

/** A primary of this major version, frozen in the way that fits the copy method. */
export function postgres(major: number): Subject<PostgresLedger> {
  return {
    name: `PostgreSQL ${major}`,
    engine: 'postgres',
    blocksWrites: false,
    copies: ['snapshot', 'volumes', 'files'],
    deadManMs: 10_000,
    holdDiesWithItsSession: false,
    refusals: (['volumes', 'files'] as const).map((copy) => ({
      where: 'where the data is not mounted',
      copy,
      env: { QUIESCE_DATA_DIR: undefined },
    })),
    start: (options) => PostgresWorld.start(major, options),
  };
}

type DataVolume = Pick<Volume, 'path' | 'snapshot' | 'dispose'>;

class PostgresWorld implements World<PostgresLedger> {
  readonly volume: DataVolume;
  readonly server: ServerControl;
  readonly load: Load<PostgresLedger>;
  readonly secrets = [ROLE_PASSWORD];
  readonly wrongCredentials = { PGPASSWORD: 'wrong-secret-4b1e' };
  readonly #wal: BlockVolume | undefined;
  readonly #pg: EmbeddedPostgres;
  readonly #options: StartOptions;
  readonly #undo: (() => Promise<unknown>)[] = [];
  #copies = 0;

  private constructor(
    options: StartOptions,
    pg: EmbeddedPostgres,
    volumes: readonly [DataVolume, BlockVolume | undefined],
  ) {
    [this.volume, this.#wal] = volumes;
    this.#pg = pg;
    this.#options = options;
    this.server = controlOf(pg);
    this.load = loadOf(pg);
    for (const volume of volumes) if (volume) this.#undo.push(() => volume.dispose());
    this.#undo.push(() => pg.stop('immediate'));
    this.#undo.push(() => this.load.stop());
  }

  static async start(major: number, options: StartOptions): Promise<PostgresWorld> {
    const { dir, copy } = options;
    let pg: EmbeddedPostgres | undefined;
    const postmaster = (): number | undefined => pg?.pid;
    // A copy made file by file reads through the page cache: what is on the disk does not matter to it.
    const data =
      copy === 'files'
        ? await makeVolume(dir, { postmaster })
        : await makeBlockVolume(dir, { name: 'data', postmaster });
    const wal =
      copy === 'volumes' ? await makeBlockVolume(dir, { name: 'wal', postmaster }) : undefined;
    pg = await EmbeddedPostgres.at({
      major,
      dataDir: join(data.path, 'pgdata'),
      port: await freePort(),
      socketDir: join(dir, 's'),
      settings: { max_wal_size: '128MB' },
      initdbArgs: wal ? [`--waldir=${join(wal.path, 'pg_wal')}`] : [],
    });
    const world = new PostgresWorld(options, pg, [data, wal]);
    try {
      for (const volume of [data, wal]) if (volume) await pg.own(volume.path);
      await pg.initdb();
      // initdb is told not to sync, and what it has written must be on the disk as on any server in use.
      await tool('sync', '-f', data.path).catch(() => undefined);
      await pg.start();
      await query(pg, await roleSql());
      await query(pg, `ALTER ROLE quiesce PASSWORD '${ROLE_PASSWORD}'`);
      await query(pg, 'CREATE TABLE app (n int)');
    } catch (error) {
      await world.dispose();
      throw error;
    }
    return world;
  }

  get env(): Readonly<Record<string, string>> {
    return roleEnv(this.#pg);
  }

  async write(): Promise<void> {
    await query(this.#pg, 'INSERT INTO app VALUES (1)');
  }

  async held(): Promise<readonly string[]> {
    const left: string[] = [];
    const slots = await query<{ name: string }>(
      this.#pg,
      'SELECT slot_name AS name FROM pg_replication_slots',
    );
    left.push(...slots.map(({ name }) => `the replication slot ${name}`));
    const busy = await query<{ query: string }>(
      this.#pg,
      `SELECT query FROM pg_stat_activity WHERE usename = 'quiesce' AND state <> 'idle'`,
    );
    left.push(...busy.map((row) => `a session in ${row.query}`));
    if (existsSync(join(this.#pg.options.dataDir, 'backup_label'))) left.push('backup_label');
    if (this.#pg.options.major < 15) {
      const [row] = await query<{ open: boolean }>(this.#pg, 'SELECT pg_is_in_backup() AS open');
      if (row?.open) left.push('an open backup');
    }
    return left;
  }

  /** None is ever changed. */
  changed(): Promise<readonly string[]> {
    return Promise.resolve([]);
  }

  async sessions(): Promise<number> {
    const rows = await query(
      this.#pg,
      `SELECT pid FROM pg_stat_activity WHERE usename = 'quiesce'`,
    );
    return rows.length;
  }

  async cutSessions(): Promise<void> {
    await query(
      this.#pg,
      `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'quiesce'`,
    );
  }

  async revoke(): Promise<void> {
    const call =
      this.#pg.options.major >= 15
        ? 'pg_backup_start(text, boolean)'
        : 'pg_start_backup(text, boolean, boolean)';
    await query(this.#pg, `REVOKE EXECUTE ON FUNCTION ${call} FROM quiesce`);
  }

  async trespass(): Promise<readonly string[]> {
    const client = new Client({
      ...this.#pg.superuser(),
      user: 'quiesce',
      password: ROLE_PASSWORD,
    });
    await client.connect();
    const able: string[] = [];
    for (const sql of TRESPASSES) {
      await client.query(sql).then(
        () => able.push(`may ${sql}`),
        () => undefined,
      );
    }
    await client.end();
    return able;
  }

  backup(name: string): Backup {
    const { copy } = this.#options;
    if (copy === 'files') return this.#filesBackup(name);
    if (copy === 'volumes') return this.#volumesBackup(name);
    const backup = snapshotBackup(this.volume, name);
    return { ...backup, during: () => this.#disturbed(() => backup.during()) };
  }

  /** After a checkpoint and a segment switch: the page writes and the recycling of a long freeze. */
  async #disturbed(cut: () => Promise<void>): Promise<void> {
    await query(this.#pg, 'SELECT pg_switch_wal()');
    await query(this.#pg, 'CHECKPOINT');
    await sleep(200);
    await cut();
  }

  /** File by file, in random order, with page writes forced half-way. */
  #filesBackup(name: string): Backup {
    const to = join(this.#options.dir, name);
    const between = async (): Promise<void> => {
      await sleep(300);
      await query(this.#pg, 'CHECKPOINT');
    };
    return {
      during: () => copyFileByFile(this.volume.path, to, { between }),
      after: () => Promise.resolve(),
      mount: () => Promise.resolve(to),
    };
  }

  /** The volume of the data while frozen, the one of the WAL after the thaw; links lead to the copy. */
  #volumesBackup(name: string): Backup {
    const cuts: Snapshot[] = [];
    const cut = async (volume: DataVolume | undefined): Promise<void> => {
      await query(this.#pg, 'CHECKPOINT');
      if (volume) cuts.push(await volume.snapshot(name));
    };
    return {
      during: () => cut(this.volume),
      after: () => cut(this.#wal),
      mount: async () => {
        const [data, wal] = cuts.map(({ path }) => path);
        if (data === undefined || wal === undefined) throw new Error('not all is cut');
        const link = join(data, 'pgdata/pg_wal');
        await rm(link);
        await symlink(join(wal, 'pg_wal'), link);
        return data;
      },
    };
  }

  async restore(dataDir: string): Promise<Restored<PostgresLedger>> {
    this.#copies += 1;
    const server = await EmbeddedPostgres.at({
      major: this.#pg.options.major,
      dataDir: join(dataDir, 'pgdata'),
      port: await freePort(),
      socketDir: join(this.#options.dir, `s${this.#copies}`),
    });
    this.#undo.push(() => server.stop('immediate'));
    // It names the process of the source, which lives on this machine.
    await rm(join(dataDir, 'pgdata/postmaster.pid'), { force: true });
    await server.start();
    return {
      env: roleEnv(server),
      missing: async ({ acked }) => {
        const { checks, amcheck } = await examine(server, acked);
        const wrong = checks.filter(({ ok }) => !ok).map(({ message }) => message);
        return [...wrong, ...amcheck];
      },
      stop: () => server.stop('fast'),
    };
  }

  async dispose(): Promise<void> {
    for (const undo of this.#undo.splice(0).toReversed()) await undo().catch(() => undefined);
  }
}

const TRESPASSES = [
  'SELECT * FROM bank.accounts',
  'UPDATE bank.accounts SET balance = 0',
  'INSERT INTO app VALUES (2)',
  'CREATE TABLE bank.mine (n int)',
  'SELECT rolpassword FROM pg_authid',
  'CREATE ROLE other',
  'CREATE DATABASE other',
  "ALTER SYSTEM SET work_mem = '5MB'",
  "SELECT pg_read_file('postgresql.conf')",
  "COPY (SELECT 1) TO PROGRAM 'true'",
  "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'postgres'",
];

function loadOf(pg: EmbeddedPostgres): Load<PostgresLedger> {
  const load = new WriterLoad({ connection: pg.superuser(), clients: 4, accounts: 200 });
  return {
    start: async () => {
      await load.prepare();
      await load.start();
    },
    stop: () => load.stop(),
    acked: () => {
      const acked = load.snapshotAcked();
      return { count: countAcked(acked), acked };
    },
  };
}

function controlOf(pg: EmbeddedPostgres): ServerControl {
  let stalled: number[] = [];
  return {
    kill: () => killAll(pg),
    start: () => pg.start(),
    stall: async () => {
      const { pid } = pg;
      const family = (await listProcesses()).filter((one) => one.pid === pid || one.parent === pid);
      stalled = family.map((one) => one.pid);
      for (const one of stalled) process.kill(one, 'SIGSTOP');
    },
    resume: () => {
      for (const one of stalled.splice(0)) process.kill(one, 'SIGCONT');
      return Promise.resolve();
    },
  };
}
