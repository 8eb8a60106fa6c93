import { readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Client } from 'pg';
import { EmbeddedPostgres, freePort } from '../../src/testbed/postgres/server.ts';
import { roleSqlPath } from '../../src/testbed/processes.ts';
import { makeTempDir } from './temp-dir.ts';

export { makeTempDir } from './temp-dir.ts';

/** The major versions that tests run on: two by default, all with QUIESCE_TEST_MATRIX=all. */
export const MAJORS =
  process.env['QUIESCE_TEST_MATRIX'] === 'all' ? [13, 14, 15, 16, 17, 18] : [13, 17];

export const ROLE_PASSWORD = 'rolepw-7d1f0c';

export interface TestServerOptions {
  readonly major: number;
  readonly settings?: Readonly<Record<string, string>>;
  /** Run roles/postgres.sql and give the role a password; default true. */
  readonly role?: boolean;
  readonly initdbArgs?: readonly string[];
  /** Lines inserted at the top of pg_hba.conf. */
  readonly hba?: readonly string[];
  /** Called with PGDATA after initdb, before the first start. */
  readonly beforeStart?: (dataDir: string, server: EmbeddedPostgres) => Promise<void>;
  /** PGDATA relative to the volume `dir`; default `data`. */
  readonly dataFolder?: string;
}

export interface TestServer {
  readonly server: EmbeddedPostgres;
  /** Connected as the superuser, to the database `postgres`. */
  readonly admin: Client;
  /** libpq's environment of the least-privileged role, over TCP. */
  readonly roleEnv: Record<string, string>;
  /** As `roleEnv`, over the Unix socket. */
  readonly socketEnv: Record<string, string>;
  readonly dir: string;
  readonly dataDir: string;
  /** Opens a new connection as the superuser; `stop` closes it. */
  connect(database?: string): Promise<Client>;
  /** Reconnects `admin` after a restart of the server. */
  reconnect(): Promise<Client>;
  stop(): Promise<void>;
}

export async function roleSql(): Promise<string> {
  return await readFile(roleSqlPath(), 'utf8');
}

/** Starts a real PostgreSQL in its own folder; `stop` removes everything. */
export async function startServer(options: TestServerOptions): Promise<TestServer> {
  const { major, settings = {}, role = true, initdbArgs = [], hba = [], beforeStart } = options;
  const dir = await makeTempDir();
  const dataDir = join(dir, options.dataFolder ?? 'data');
  const server = await EmbeddedPostgres.at({
    major,
    dataDir,
    port: await freePort(),
    socketDir: join(dir, 's'),
    settings: { fsync: 'off', ...settings },
    initdbArgs,
  });
  await server.own(dir);
  await server.initdb();
  if (hba.length > 0) {
    const file = join(dataDir, 'pg_hba.conf');
    await writeFile(file, `${hba.join('\n')}\n${await readFile(file, 'utf8')}`);
  }
  await beforeStart?.(dataDir, server);
  await server.start();
  const running = new Running(server, dir);
  await running.reconnect();
  if (role) {
    await running.admin.query(await roleSql());
    await running.admin.query(`ALTER ROLE quiesce PASSWORD '${ROLE_PASSWORD}'`);
  }
  return running;
}

class Running implements TestServer {
  readonly server: EmbeddedPostgres;
  readonly dir: string;
  #admin: Client | undefined;
  readonly #clients: Client[] = [];

  constructor(server: EmbeddedPostgres, dir: string) {
    this.server = server;
    this.dir = dir;
  }

  get admin(): Client {
    if (!this.#admin) throw new Error('not connected');
    return this.#admin;
  }

  get dataDir(): string {
    return this.server.options.dataDir;
  }

  get roleEnv(): Record<string, string> {
    return { ...this.server.env('tcp'), PGUSER: 'quiesce', PGPASSWORD: ROLE_PASSWORD };
  }

  get socketEnv(): Record<string, string> {
    return { ...this.server.env('socket'), PGUSER: 'quiesce', PGPASSWORD: ROLE_PASSWORD };
  }

  async connect(database = 'postgres'): Promise<Client> {
    const client = new Client(this.server.superuser(database));
    client.on('error', () => undefined);
    await client.connect();
    this.#clients.push(client);
    return client;
  }

  async reconnect(): Promise<Client> {
    this.#admin = await this.connect();
    return this.#admin;
  }

  async stop(): Promise<void> {
    await Promise.all(this.#clients.map((client) => client.end().catch(() => undefined)));
    await this.server.stop('immediate');
    await rm(this.dir, { recursive: true, force: true });
  }
}
