import { Client, type ClientConfig } from 'pg';
import { verifyLedger } from '../../../src/testbed/postgres/ledger.ts';
import { countAcked, type LedgerShape, WriterLoad } from '../../../src/testbed/postgres/load.ts';
import {
  type Access,
  type App,
  CLIENTS,
  type Load,
  type LoadOptions,
  splitAddress,
  THINK_MS,
} from './app.ts';
import { type Comparison, compareWith, type Hold, type Session } from './compare.ts';
import type { Ledger } from './ledger.ts';
import { startWriters } from './load.ts';
import type { Edit } from './manifest.ts';
import { ManifestApp } from './manifest-app.ts';
import { TABLESPACE } from './postgres-edits.ts';
import { until } from '../wait.ts';

const EXAMPLE = 'docs/examples/postgres.yaml';
const PORT = 5432;
/** The application's own login and database; it is no superuser. */
const APP = { user: 'shop', password: 'shop/p@ss:word', database: 'shop' };
const CONNECT_WITHIN_MS = 10_000;

/** The PostgreSQL of the documentation; without edits, its file as it is. */
export function postgres(...edits: readonly Edit[]): App {
  return new PostgresApp(edits);
}

class PostgresApp extends ManifestApp implements App {
  readonly engine = 'postgres';
  readonly #superuser: Pick<ClientConfig, 'user' | 'password' | 'database'>;

  constructor(edits: readonly Edit[]) {
    super(EXAMPLE, edits);
    const password = this.objects.secret('db', 'password');
    this.#superuser = { user: 'postgres', password, database: 'postgres' };
  }

  /** Creates the application's role and its database. */
  async initialise(access: Access): Promise<void> {
    const address = { ...(await this.#host(access)), ...this.#superuser };
    // The image's first start ends a server that only its own socket reaches: `pg_isready` is content with it.
    const client = await until('PostgreSQL takes connections', 60_000, () => connect(address));
    try {
      const password = client.escapeLiteral(APP.password);
      await client.query(`CREATE ROLE ${APP.user} LOGIN PASSWORD ${password}`);
      const spaces = await client.query('SELECT FROM pg_tablespace WHERE spcname = $1', [
        TABLESPACE,
      ]);
      const place = spaces.rowCount === 0 ? 'pg_default' : TABLESPACE;
      await client.query(`CREATE DATABASE ${APP.database} OWNER ${APP.user} TABLESPACE ${place}`);
    } finally {
      await client.end();
    }
  }

  async startLoad(access: Access, path: string, options: LoadOptions = {}): Promise<Load> {
    const { clients = CLIENTS, thinkMs = THINK_MS } = options;
    const connection = { ...(await this.#host(access)), ...APP };
    return await startWriters(path, { engine: this.engine, clients }, async (onAcknowledged) => {
      const load = new WriterLoad({ connection, clients, thinkMs, onAcknowledged });
      if (!(await hasTables(connection))) await load.prepare();
      return {
        start: () => load.start(),
        total: () => countAcked(load.snapshotAcked()),
        trouble: () => [...load.errors, ...load.losses],
        stop: (withinMs) => load.stop(withinMs),
      };
    });
  }

  afterRestore(): Promise<void> {
    return Promise.resolve();
  }

  compare(access: Access, ledger: Ledger, hold: Hold): Promise<Comparison> {
    const open = async (): Promise<Session> => {
      const connection = { ...(await this.#host(access)), ...APP };
      return new PostgresSession(connection, await connect(connection), ledger.clients);
    };
    return compareWith(open, ledger, hold);
  }

  async #host({ reach }: Access): Promise<{ host: string; port: number }> {
    return splitAddress(await reach(this.pod), PORT);
  }
}

async function connect(connection: ClientConfig): Promise<Client> {
  const client = new Client({ connectionTimeoutMillis: CONNECT_WITHIN_MS, ...connection });
  // Without a handler, losing an idle connection would end the process; the next query reports it.
  client.on('error', () => undefined);
  await client.connect();
  return client;
}

async function hasTables(connection: ClientConfig): Promise<boolean> {
  const client = await connect(connection);
  try {
    return (
      (await client.query('SELECT FROM pg_namespace WHERE nspname = $1', ['bank'])).rowCount === 1
    );
  } finally {
    await client.end();
  }
}

class PostgresSession implements Session {
  readonly #connection: ClientConfig;
  readonly #client: Client;
  readonly #shape: LedgerShape;

  constructor(connection: ClientConfig, client: Client, clients: number) {
    this.#connection = connection;
    this.#client = client;
    this.#shape = new WriterLoad({ connection, clients }).shape;
  }

  async verify(upTo: readonly number[]): ReturnType<Session['verify']> {
    const acked = { shape: this.#shape, at: 0, upTo, unknown: [] };
    return await verifyLedger(this.#client, acked);
  }

  async write(): Promise<void> {
    await this.#client.query(
      'CREATE TABLE IF NOT EXISTS bank.after_restore (id bigserial PRIMARY KEY, at timestamptz)',
    );
    const insert = 'INSERT INTO bank.after_restore (at) VALUES (now()) RETURNING id';
    const { rows } = await this.#client.query<{ id: string }>(insert);
    const other = await connect(this.#connection);
    try {
      const read = 'SELECT FROM bank.after_restore WHERE id = $1';
      const { rowCount } = await other.query(read, [rows[0]?.id]);
      if (rowCount !== 1) throw new Error('a second connection does not see the new row');
    } finally {
      await other.end();
    }
  }

  close(): Promise<void> {
    return this.#client.end();
  }
}
