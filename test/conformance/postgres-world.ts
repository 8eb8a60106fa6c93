import { existsSync } from 'node:fs';
import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { EmbeddedPostgres, freePort } from '../../src/testbed/postgres/server.ts';
import { ROLE_PASSWORD, roleSql } from '../support/postgres.ts';
import { examine, query, roleEnv } from '../support/superuser.ts';
import { addLine, type Edit } from './configuration.ts';
import type { Backup, Blank, Restored, ServerControl, StartOptions, World } from './fixture.ts';
import { controlOf, loadOf, type PostgresLedger, trespassOn } from './postgres-server.ts';
import { waitForArrival, startPrimaryFor, startStandbyOf } from './postgres-standby.ts';
import { type DataVolume, PostgresVolumes } from './postgres-volumes.ts';

interface Setup {
  readonly options: StartOptions;
  readonly volumes: PostgresVolumes;
  /** The server that the sidecar freezes. */
  readonly frozen: EmbeddedPostgres;
  /** The server that applications write to: the same one, or its primary. */
  readonly primary: EmbeddedPostgres;
}

export class PostgresWorld implements World<PostgresLedger> {
  readonly volume: DataVolume;
  readonly marked: readonly string[];
  readonly server: ServerControl;
  readonly load: ReturnType<typeof loadOf>;
  readonly secrets = [ROLE_PASSWORD];
  readonly wrongCredentials = { PGPASSWORD: 'wrong-secret-4b1e' };
  readonly #setup: Setup;
  readonly #undo: (() => Promise<unknown>)[] = [];
  #copies = 0;

  private constructor(setup: Setup) {
    const { volumes, frozen, primary } = setup;
    this.#setup = setup;
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
    return await new PostgresWorld({ options, volumes, frozen, primary: frozen }).#ready(
      async () => {
        await frozen.initdb();
        await volumes.sync();
        await frozen.start();
      },
    );
  }

  /** A standby that streams from a primary without a sidecar. */
  static async startStandby(major: number, options: StartOptions): Promise<PostgresWorld> {
    const { frozen, volumes } = await serverOnVolumes(major, options);
    const primary = await startPrimaryFor(major, options.dir);
    const world = new PostgresWorld({ options, volumes, frozen, primary });
    return await world.#ready(async () => {
      await startStandbyOf(primary, frozen);
      await volumes.sync();
    });
  }

  async #ready(start: () => Promise<void>): Promise<this> {
    const { primary, volumes } = this.#setup;
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
      await this.#waitForStandby();
      return this;
    } catch (error) {
      await this.dispose();
      throw error;
    }
  }

  /** Waits until the frozen server has what was written on the primary. */
  async #waitForStandby(): Promise<void> {
    const { primary, frozen } = this.#setup;
    if (primary !== frozen) await waitForArrival(primary, frozen, 'replay');
  }

  get env(): Readonly<Record<string, string>> {
    return roleEnv(this.#setup.frozen);
  }

  async write(): Promise<void> {
    await query(this.#setup.primary, 'INSERT INTO app VALUES (1)');
  }

  async held(): Promise<readonly string[]> {
    const { frozen } = this.#setup;
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

  /** A freeze of PostgreSQL changes no setting. */
  changed(): Promise<readonly string[]> {
    return Promise.resolve([]);
  }

  async sessions(): Promise<number> {
    const sql = `SELECT pid FROM pg_stat_activity WHERE usename = 'quiesce'`;
    return (await query(this.#setup.frozen, sql)).length;
  }

  async cutSessions(): Promise<void> {
    await query(
      this.#setup.frozen,
      `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'quiesce'`,
    );
  }

  async revoke(): Promise<void> {
    const { primary } = this.#setup;
    const call =
      primary.options.major >= 15
        ? 'pg_backup_start(text, boolean)'
        : 'pg_start_backup(text, boolean, boolean)';
    await query(primary, `REVOKE EXECUTE ON FUNCTION ${call} FROM quiesce`);
    await this.#waitForStandby();
  }

  async trespass(): Promise<readonly string[]> {
    const { primary, frozen } = this.#setup;
    const able: string[] = [];
    // A standby refuses every change, so each attempt must fail on its primary too.
    for (const server of new Set([primary, frozen])) able.push(...(await trespassOn(server)));
    return able;
  }

  async configure(): Promise<Edit> {
    const edit = { file: 'pgdata/postgresql.conf', line: "work_mem = '7MB'" };
    await addLine(join(this.volume.path, edit.file), edit.line);
    // The next line lets the server's clients in; without it, or with NUL bytes, it locks them out.
    await addLine(join(this.volume.path, 'pgdata/pg_hba.conf'), '# hello');
    return edit;
  }

  backup(name: string): Backup {
    const { volumes, primary, frozen } = this.#setup;
    // Page writes and recycling of WAL, as during a long freeze.
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
      return await this.#setup.volumes.copyNow(name);
    } finally {
      await this.server.resume();
    }
  }

  async restore(dataDir: string): Promise<Restored<PostgresLedger>> {
    const { frozen, options } = this.#setup;
    this.#copies += 1;
    const server = await EmbeddedPostgres.at({
      major: frozen.options.major,
      dataDir: join(dataDir, 'pgdata'),
      port: await freePort(),
      socketDir: join(options.dir, `s${this.#copies}`),
    });
    this.#undo.push(() => server.stop('immediate'));
    // postmaster.pid has the process of the source, which runs on this machine. With
    // standby.signal, a standby would go on following its primary.
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
      configured: async () => {
        const [row] = await query<{ mem: string }>(
          server,
          `SELECT current_setting('work_mem') AS mem`,
        );
        return row?.mem === '7MB';
      },
      stop: () => server.stop('fast'),
    };
  }

  async blank(name: string): Promise<Blank> {
    const { frozen, options } = this.#setup;
    const dataDir = join(options.dir, name);
    await mkdir(dataDir);
    const server = await EmbeddedPostgres.at({
      major: frozen.options.major,
      dataDir: join(dataDir, 'pgdata'),
      port: await freePort(),
      socketDir: join(options.dir, `s${name}`),
    });
    this.#undo.push(() => server.stop('immediate'));
    await server.own(dataDir);
    await server.initdb();
    await server.start();
    await query(server, await roleSql());
    await query(server, `ALTER ROLE quiesce PASSWORD '${ROLE_PASSWORD}'`);
    return { dataDir, env: roleEnv(server), stop: () => server.stop('fast') };
  }

  async dispose(): Promise<void> {
    for (const undo of this.#undo.splice(0).toReversed()) await undo().catch(() => undefined);
  }
}

async function serverOnVolumes(
  major: number,
  options: StartOptions,
): Promise<Pick<Setup, 'frozen' | 'volumes'>> {
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
