import { appendFile, cp, readFile, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { EmbeddedPostgres, freePort } from '../../../src/testbed/postgres/server.ts';
import { tool } from '../../../src/testbed/os.ts';
import { parseLsn } from '../../../src/engines/postgres/lsn.ts';
import type { PostgresPosition } from '../../../src/engines/postgres/receipt.ts';
import type { Receipt } from '../../../src/receipt/receipt.ts';
import { copyFileByFile } from '../../support/file-copy.ts';
import { query } from '../../support/superuser.ts';
import type { Copy, DatabaseOptions, FaultMode, RestoreOptions, Restored } from '../engine.ts';
import { type Committed, PostgresDatabase, SETTINGS } from './database.ts';
import { prepare } from '../copies.ts';
import { primaryOn, sealed } from './sealed.ts';

/**
 * `QUIESCE_REPLICA=pause`: the replay of a standby is paused while its volume is copied file by file.
 * Writers write to its primary, which nothing that happens to the standby may affect.
 */
export const paused: FaultMode = {
  freezeSteps: [
    'journal rewritten',
    'pause asked',
    'pause answered',
    'switch asked',
    'backup start asked',
    'backup started',
    'backup stop asked',
    'backup stopped',
    'label written',
  ],
  thawSteps: ['check asked', 'check answered', 'resume asked', 'resume answered'],
  evidenceSteps: { 'postgres.backup_label': 'label written' },
  faults: [...sealed.faults, 'resume-replay'],
  endsHold: [...sealed.endsHold, 'resume-replay'],
  stallsWriters: [],
  timeoutsMs: sealed.timeoutsMs,
  blocksWriters: false,
  holdsUntil: 'freeze',
  make: async (options) =>
    new PausedDatabase(options, await primaryOn(options), await away(options)),
};

/** The primary, on another file system than the standby. */
async function away({ dir, version }: DatabaseOptions): Promise<EmbeddedPostgres> {
  return await EmbeddedPostgres.at({
    major: Number(version),
    dataDir: join(dir, 'primary'),
    port: await freePort(),
    socketDir: join(dir, 'p'),
    logFile: join(dir, 'primary.log'),
    settings: { ...SETTINGS, wal_keep_size: '256MB' },
  });
}

class PausedDatabase extends PostgresDatabase {
  protected readonly settings = { QUIESCE_COPY: 'files', QUIESCE_REPLICA: 'pause' };
  readonly #primary: EmbeddedPostgres;
  /** The position that replay must reach to show that it has resumed. */
  #target: string | undefined;

  constructor(options: DatabaseOptions, standby: EmbeddedPostgres, primary: EmbeddedPostgres) {
    super(options, standby);
    this.#primary = primary;
  }

  protected override get primary(): EmbeddedPostgres {
    return this.#primary;
  }

  protected override async follow(): Promise<void> {
    const { dataDir } = this.server.options;
    await this.#primary.stop('fast');
    await cp(this.#primary.options.dataDir, dataDir, { recursive: true });
    await writeFile(join(dataDir, 'standby.signal'), '');
    const { port } = this.#primary.options;
    const conninfo = `host=127.0.0.1 port=${port} user=postgres password=postgres`;
    await appendFile(join(dataDir, 'postgresql.auto.conf'), `primary_conninfo = '${conninfo}'\n`);
    const { user } = this.server;
    if (user) await tool('chown', '-R', `${user.uid}:${user.gid}`, dataDir);
    await this.#primary.start();
    await this.server.start();
  }

  async #flushed(): Promise<string> {
    const sql = 'SELECT pg_current_wal_flush_lsn()::text AS lsn';
    const [row] = await query<{ lsn: string }>(this.#primary, sql);
    if (!row) throw new Error('no position');
    return row.lsn;
  }

  override async acknowledged(): Promise<Committed> {
    const acked = this.load.snapshotAcked();
    return { acked, lsn: await this.#flushed() };
  }

  override async inject(
    kind: string,
    lastsMs: number,
    session: number | undefined,
  ): Promise<boolean> {
    if (kind !== 'resume-replay') return await super.inject(kind, lastsMs, session);
    const sql = `SELECT CASE WHEN pg_is_wal_replay_paused()
                             THEN pg_wal_replay_resume()::text IS NOT NULL ELSE false END AS hit`;
    const [row] = await query<{ hit: boolean }>(this.server, sql).catch(() => []);
    return row?.hit === true;
  }

  async cut(name: string): Promise<Copy> {
    const { path } = this.options.volume;
    const copy = join(dirname(path), name);
    const seed = Number(name.replaceAll(/\D/g, ''));
    const between = (): Promise<void> => this.flush(this.#primary, this.server);
    await copyFileByFile(path, copy, { between, seed });
    return { path: copy };
  }

  async restore(copy: Copy, { acknowledged, receipt }: RestoreOptions): Promise<Restored> {
    const carried = await readFile(join(copy.path, '.quiesce/receipt.json'), 'utf8').catch(
      () => '',
    );
    const refused = await prepare(copy.path);
    if (refused !== undefined) return { refused };
    const promise = carried === '' ? receipt : (JSON.parse(carried) as Receipt);
    const committed = acknowledged as Committed | undefined;
    return await this.examine(copy, reported(promise, committed) ? committed?.acked : undefined);
  }

  override async drop({ path }: Copy): Promise<void> {
    await rm(path, { recursive: true, force: true });
  }

  override async leftovers(ended: readonly Receipt[]): Promise<string[]> {
    const found = await super.leftovers(ended);
    this.#target ??= await this.#flushed();
    const [row] = await query<{ paused: boolean; there: boolean }>(
      this.server,
      `SELECT pg_is_wal_replay_paused() AS paused,
              pg_last_wal_replay_lsn() >= '${this.#target}'::pg_lsn AS there`,
    );
    if (row?.paused !== false) found.push('replay is paused');
    if (row?.there === true) this.#target = undefined;
    else found.push(`replay has not reached ${this.#target}`);
    return found;
  }

  override async close(): Promise<void> {
    await super.close();
    await this.#primary.stop('immediate').catch(() => undefined);
  }
}

/** Whether these commits are promised: the promise covers what the primary had reported to the standby. */
function reported(receipt: Receipt | undefined, committed: Committed | undefined): boolean {
  const { replica } = (receipt?.position ?? {}) as Partial<PostgresPosition>;
  if (!replica || committed?.lsn === undefined) return false;
  return parseLsn(replica.primaryLsn) >= parseLsn(committed.lsn);
}
