import { existsSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { EmbeddedPostgres, freePort } from '../../src/testbed/postgres/server.ts';
import { ROLE_PASSWORD, roleSql } from '../support/postgres.ts';
import { examine, query, roleEnv } from '../support/superuser.ts';
import type { Backup, Restored, ServerControl, StartOptions, World } from './fixture.ts';
import { controlOf, loadOf, type PostgresLedger, trespassOn } from './postgres-server.ts';
import { arrived, startPrimaryFor, startStandbyOf } from './postgres-standby.ts';
import { type DataVolume, PostgresVolumes } from './postgres-volumes.ts';

interface Parts {
  readonly options: StartOptions;
  readonly volumes: PostgresVolumes;
  /** Beside which the sidecar is. */
  readonly frozen: EmbeddedPostgres;
  /** To which applications write: the same, or the primary of it. */
  readonly primary: EmbeddedPostgres;
}

export class PostgresWorld implements World<PostgresLedger> {
  readonly volume: DataVolume;
  readonly marked: readonly string[];
  readonly server: ServerControl;
  readonly load: ReturnType<typeof loadOf>;
  readonly secrets = [ROLE_PASSWORD];
  readonly wrongCredentials = { PGPASSWORD: 'wrong-secret-4b1e' };
  readonly #parts: Parts;
  readonly #undo: (() => Promise<unknown>)[] = [];
  #copies = 0;

  private constructor(parts: Parts) {
    const { volumes, frozen, primary } = parts;
    this.#parts = parts;
    this.volume = volumes.data;
    this.marked = volumes.spaces;
    this.server = controlOf(frozen);
    this.load = loadOf(primary, frozen);
    this.#undo.push(() => volumes.dispose());
    for (const server of new Set([primary, frozen])) {
      this.#undo.push(() => server.stop('immediate'));
    }
    this.#undo.push(() => this.server.resume());
    this.#undo.push(() => this.load.stop());
  }

  static async start(major: number, options: StartOptions): Promise<PostgresWorld> {
    const { frozen, volumes } = await serverOnVolumes(major, options);
    return await new PostgresWorld({ options, volumes, frozen, primary: frozen }).#begun(
      async () => {
        await frozen.initdb();
        await volumes.sync();
        await frozen.start();
      },
    );
  }

  /** A standby that streams from a primary, which has no sidecar. */
  static async startStandby(major: number, options: StartOptions): Promise<PostgresWorld> {
    const { frozen, volumes } = await serverOnVolumes(major, options);
    const primary = await startPrimaryFor(major, options.dir);
    const world = new PostgresWorld({ options, volumes, frozen, primary });
    return await world.#begun(async () => {
      await startStandbyOf(primary, frozen);
      await volumes.sync();
    });
  }

  async #begun(start: () => Promise<void>): Promise<this> {
    const { primary, volumes } = this.#parts;
    try {
      await start();
      await query(primary, await roleSql());
      await query(primary, `ALTER ROLE quiesce PASSWORD '${ROLE_PASSWORD}'`);
      const [space] = volumes.spaces;
      if (space !== undefined) await query(primary, `CREATE TABLESPACE fast LOCATION '${space}'`);
      await query(
        primary,
        `CREATE TABLE app (n int)${space === undefined ? '' : ' TABLESPACE fast'}`,
      );
      await this.load.prepare();
      await this.#onPrimary();
      return this;
    } catch (error) {
      await this.dispose();
      throw error;
    }
  }

  /** What the primary has been told is true of the server that is frozen, too. */
  async #onPrimary(): Promise<void> {
    const { primary, frozen } = this.#parts;
    if (primary !== frozen) await arrived(primary, frozen, 'replay');
  }

  get env(): Readonly<Record<string, string>> {
    return roleEnv(this.#parts.frozen);
  }

  async write(): Promise<void> {
    await query(this.#parts.primary, 'INSERT INTO app VALUES (1)');
  }

  async held(): Promise<readonly string[]> {
    const { frozen } = this.#parts;
    const rows = await query<{ what: string }>(
      frozen,
      `SELECT 'the replication slot ' || slot_name AS what FROM pg_replication_slots
       UNION ALL SELECT 'a session in ' || query FROM pg_stat_activity
                  WHERE usename = 'quiesce' AND state <> 'idle'
       UNION ALL SELECT 'a pause of replay'
                  WHERE CASE WHEN pg_is_in_recovery() THEN pg_is_wal_replay_paused() END`,
    );
    const left = rows.map(({ what }) => what);
    if (existsSync(join(frozen.options.dataDir, 'backup_label'))) left.push('backup_label');
    return left;
  }

  /** None is ever changed. */
  changed(): Promise<readonly string[]> {
    return Promise.resolve([]);
  }

  async sessions(): Promise<number> {
    const sql = `SELECT pid FROM pg_stat_activity WHERE usename = 'quiesce'`;
    return (await query(this.#parts.frozen, sql)).length;
  }

  async cutSessions(): Promise<void> {
    await query(
      this.#parts.frozen,
      `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'quiesce'`,
    );
  }

  async revoke(): Promise<void> {
    const { primary } = this.#parts;
    const call =
      primary.options.major >= 15
        ? 'pg_backup_start(text, boolean)'
        : 'pg_start_backup(text, boolean, boolean)';
    await query(primary, `REVOKE EXECUTE ON FUNCTION ${call} FROM quiesce`);
    await this.#onPrimary();
  }

  async trespass(): Promise<readonly string[]> {
    const { primary, frozen } = this.#parts;
    const able: string[] = [];
    // On a standby nobody can change anything: what is tried there must fail on its primary as well.
    for (const server of new Set([primary, frozen])) able.push(...(await trespassOn(server)));
    return able;
  }

  backup(name: string): Backup {
    const { volumes, primary, frozen } = this.#parts;
    // The page writes and the recycling of a long freeze.
    return volumes.backup(name, async () => {
      await sleep(200);
      await query(primary, 'SELECT pg_switch_wal()');
      for (const server of new Set([primary, frozen])) await query(server, 'CHECKPOINT');
      await sleep(200);
    });
  }

  async copyNow(name: string): Promise<string> {
    await this.server.stall();
    try {
      return await this.#parts.volumes.copyNow(name);
    } finally {
      await this.server.resume();
    }
  }

  async restore(dataDir: string): Promise<Restored<PostgresLedger>> {
    const { frozen, options } = this.#parts;
    this.#copies += 1;
    const server = await EmbeddedPostgres.at({
      major: frozen.options.major,
      dataDir: join(dataDir, 'pgdata'),
      port: await freePort(),
      socketDir: join(options.dir, `s${this.#copies}`),
    });
    this.#undo.push(() => server.stop('immediate'));
    // The one names the process of the source, which lives on this machine; by the other a standby would
    // go on to follow its primary.
    for (const name of ['postmaster.pid', 'standby.signal']) {
      await rm(join(dataDir, 'pgdata', name), { force: true });
    }
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

async function serverOnVolumes(
  major: number,
  options: StartOptions,
): Promise<Pick<Parts, 'frozen' | 'volumes'>> {
  let server: EmbeddedPostgres | undefined;
  const volumes = await PostgresVolumes.make(options, () => server?.pid);
  try {
    server = await EmbeddedPostgres.at({
      major,
      dataDir: volumes.pgdata,
      port: await freePort(),
      socketDir: join(options.dir, 's'),
      settings: { max_wal_size: '128MB' },
      initdbArgs: volumes.initdbArgs,
    });
    await volumes.giveTo(server);
    return { frozen: server, volumes };
  } catch (error) {
    await volumes.dispose();
    throw error;
  }
}
