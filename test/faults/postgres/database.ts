import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { EmbeddedPostgres } from '../../../src/testbed/postgres/server.ts';
import { type Acked, countAcked, WriterLoad } from '../../../src/testbed/postgres/load.ts';
import type { Receipt } from '../../../src/receipt/receipt.ts';
import { ROLE_PASSWORD, roleSql } from '../../support/postgres.ts';
import { query, roleEnv } from '../../support/superuser.ts';
import type { Copy, Database, DatabaseOptions, RestoreOptions, Restored } from '../engine.ts';
import { dropSnapshot } from '../copies.ts';
import { pause, send } from '../inject.ts';
import { examineCopy } from './examine.ts';
import { wire } from './wire.ts';

const SERVED_WITHIN_MS = 60_000;

/** The transactions known to be committed and, if requested, the end of the WAL at that moment. */
export interface Committed {
  readonly acked: Acked;
  readonly lsn?: string;
}

export const SETTINGS = {
  max_wal_size: '96MB',
  min_wal_size: '48MB',
  checkpoint_timeout: '30s',
} as const;

/** The part common to all ways to freeze PostgreSQL. Subclasses make and restore the copies. */
export abstract class PostgresDatabase implements Database {
  readonly wire = wire;
  /** The server that is frozen, its PGDATA in `pgdata` on the volume. */
  readonly server: EmbeddedPostgres;
  readonly options: DatabaseOptions;
  #load: WriterLoad | undefined;
  #serving: Promise<void> | undefined;

  constructor(options: DatabaseOptions, server: EmbeddedPostgres) {
    this.options = options;
    this.server = server;
  }

  /** The server that writers write to. */
  protected get primary(): EmbeddedPostgres {
    return this.server;
  }

  protected abstract readonly settings: Readonly<Record<string, string>>;
  abstract cut(name: string): Promise<Copy>;
  abstract restore(copy: Copy, options: RestoreOptions): Promise<Restored>;

  get port(): number {
    return this.server.options.port;
  }

  env(port: number): Record<string, string> {
    return {
      ...roleEnv(this.server),
      PGPORT: String(port),
      PGSSLMODE: 'disable',
      QUIESCE_ENGINE: 'postgres',
      ...this.settings,
    };
  }

  async start(): Promise<void> {
    const { primary } = this;
    await primary.initdb();
    await primary.start();
    await query(primary, await roleSql());
    await query(primary, `ALTER ROLE quiesce PASSWORD '${ROLE_PASSWORD}'`);
    await query(primary, 'CREATE TABLE canary (at timestamptz)');
    for (const name of ['template0', 'template1']) await dropTemplate(primary, name);
    await this.follow();
    this.#load = new WriterLoad({
      connection: primary.superuser(),
      clients: 4,
      thinkMs: 12,
    });
    await this.#load.prepare();
    await this.#load.start();
  }

  /** Starts whatever must run before the writers. */
  protected follow(): Promise<void> {
    return Promise.resolve();
  }

  protected get load(): WriterLoad {
    if (!this.#load) throw new Error('the load has not been started');
    return this.#load;
  }

  writes(): number {
    return countAcked(this.load.snapshotAcked());
  }

  async write(): Promise<void> {
    const insert = `SET statement_timeout = '5s'; INSERT INTO canary VALUES (now())`;
    await query(this.primary, insert);
  }

  losses(): readonly string[] {
    return this.load.losses;
  }

  acknowledged(): Promise<Committed> {
    return Promise.resolve({ acked: this.load.snapshotAcked() });
  }

  get pid(): number | undefined {
    return this.server.pid;
  }

  /** The postmaster's process id, also when it was not started by us a moment ago. */
  async #postmaster(): Promise<number | undefined> {
    const file = join(this.server.options.dataDir, 'postmaster.pid');
    const pid = Number((await readFile(file, 'utf8').catch(() => '')).split('\n')[0]);
    return pid > 0 && existsSync(`/proc/${pid}`) ? pid : undefined;
  }

  serve(): Promise<void> {
    this.#serving ??= this.#serve().finally(() => (this.#serving = undefined));
    return this.#serving;
  }

  async #serve(): Promise<void> {
    const { server } = this;
    // The children of a killed server end when they notice it, and keep its shared memory until then.
    const deadline = performance.now() + SERVED_WITHIN_MS;
    while ((await this.#postmaster()) !== server.pid || !server.pid) {
      try {
        await server.start();
        return;
      } catch (error) {
        if (performance.now() > deadline) throw error;
        await sleep(200);
      }
    }
  }

  async inject(kind: string, lastsMs: number, session: number | undefined): Promise<boolean> {
    if (kind === 'kill-backend') return send(session, 'SIGKILL');
    if (kind === 'end-backend') return send(session, 'SIGTERM');
    if (kind === 'pause-backend') return await pause([session], lastsMs);
    throw new Error(`no fault is called ${kind}`);
  }

  async drop({ path }: Copy): Promise<void> {
    await dropSnapshot(this.options.volume, path);
  }

  async leftovers(ended: readonly Receipt[]): Promise<string[]> {
    const { major, dataDir } = this.server.options;
    const found: string[] = [];
    const [row] = await query<{ slots: number; busy: number; sessions: number; open: boolean }>(
      this.server,
      `SELECT (SELECT count(*)::int FROM pg_replication_slots) AS slots,
              (SELECT count(*)::int FROM pg_stat_activity
                WHERE usename = 'quiesce' AND state <> 'idle') AS busy,
              (SELECT count(*)::int FROM pg_stat_activity WHERE usename = 'quiesce') AS sessions,
              ${major < 15 ? 'pg_is_in_backup()' : 'false'} AS open`,
    );
    const kept = this.keeps(ended) ? 1 : 0;
    if (!row || row.slots > kept) found.push(`${row?.slots} replication slots`);
    if (!row || row.busy > kept) found.push(`${row?.busy} sessions that are not idle`);
    // The monitor of the sidecar may be connected at this moment.
    if (!row || row.sessions > 1 + kept) found.push(`${row?.sessions} sessions`);
    if (!row || row.open) found.push('a backup that is open');
    for (const name of ['backup_label', 'tablespace_map']) {
      if (existsSync(join(dataDir, name))) found.push(`${name} in the live data directory`);
    }
    return found;
  }

  /** Whether a successful freeze intentionally keeps a session and its slot for a while. */
  protected keeps(_ended: readonly Receipt[]): boolean {
    return false;
  }

  /** The adversary: writes every page in memory to disk. Gives up if the server does not answer. */
  protected async flush(...servers: readonly EmbeddedPostgres[]): Promise<void> {
    const flushed = servers.map((server) => query(server, 'CHECKPOINT').catch(() => undefined));
    await Promise.race([Promise.all(flushed), sleep(1_500)]);
  }

  log(): string {
    return this.server.log.slice(-4_000);
  }

  async close(): Promise<void> {
    await this.#load?.stop(1_000).catch(() => undefined);
    await this.server.stop('immediate').catch(() => undefined);
  }

  /** Starts a second server on the copy. @returns what is wrong with its data. */
  protected async examine(copy: Copy, acked: Acked | undefined): Promise<Restored> {
    const { major } = this.server.options;
    const socketDir = join(this.options.dir, 'r');
    const atLeast = acked ?? { ...this.load.snapshotAcked(), upTo: [] };
    const dataDir = join(copy.path, 'pgdata');
    const wrong = await examineCopy({ major, dataDir, socketDir }, atLeast);
    return { wrong, all: acked !== undefined };
  }
}

/** Removes hundreds of files that no run needs but every file-by-file copy would contain. */
async function dropTemplate(server: EmbeddedPostgres, name: string): Promise<void> {
  await query(server, `ALTER DATABASE ${name} IS_TEMPLATE false`);
  await query(server, `DROP DATABASE ${name}`);
}
