import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { amcheck } from '../testbed/postgres/amcheck.ts';
import type { DemoCheck } from './checks.ts';
import type { Acknowledged, Comparison, DemoDatabase, DemoLoad, DemoServer } from './database.ts';
import type { EmbeddedPostgres } from '../testbed/postgres/server.ts';
import { verifyLedger } from '../testbed/postgres/ledger.ts';
import { type Acked, countAcked, WriterLoad } from '../testbed/postgres/load.ts';
import { tool } from '../testbed/os.ts';
import type { SidecarProcess } from '../testbed/processes.ts';
import {
  connectionTo,
  DATABASE,
  makeRole,
  makeServer,
  startServer,
  startSidecar,
  withClient,
} from './source.ts';
import type { Workspace } from '../testbed/workspace.ts';

const RECYCLED_SEGMENTS = 4;
/** Keeps eight writers from saturating the processors of a small machine. */
const THINK_MS = 8;

interface PostgresAcknowledged extends Acknowledged {
  readonly acked: Acked;
}

/** The demo on an embedded PostgreSQL. */
export class PostgresDemo implements DemoDatabase {
  readonly engine = 'postgres';
  readonly product = 'PostgreSQL';
  readonly words = {
    writers: 'move money',
    writes: 'transactions',
    commits: 'commits',
    rate: 'tx/s',
  };
  readonly title: string;
  readonly #major: number;
  #source: EmbeddedPostgres | undefined;
  #role: Readonly<Record<string, string>> = {};

  constructor(major: number) {
    this.#major = major;
    this.title = `an embedded PostgreSQL ${major}`;
  }

  get pid(): number | undefined {
    return this.#source?.pid;
  }

  async start(workspace: Workspace, volume: string): Promise<DemoServer> {
    this.#source = await makeServer(workspace, 'source', this.#major, volume);
    await this.#source.initdb();
    await startServer(workspace, this.#source);
    this.#role = await makeRole(workspace, this.#source);
    return new PostgresServer(workspace, this.#source, volume, this.#role);
  }

  async startOn(workspace: Workspace, copy: string): Promise<DemoServer> {
    const server = await makeServer(workspace, 'restored', this.#major, copy);
    await startServer(workspace, server);
    return new PostgresServer(workspace, server, copy, this.#role);
  }
}

class PostgresServer implements DemoServer {
  readonly port: number;
  readonly load: DemoLoad;
  readonly shell: string;
  readonly #workspace: Workspace;
  readonly #server: EmbeddedPostgres;
  readonly #volume: string;
  readonly #role: Readonly<Record<string, string>>;

  constructor(
    workspace: Workspace,
    server: EmbeddedPostgres,
    volume: string,
    role: Readonly<Record<string, string>>,
  ) {
    this.#workspace = workspace;
    this.#server = server;
    this.#volume = volume;
    this.#role = role;
    this.port = server.options.port;
    this.shell = `psql postgres://postgres:postgres@127.0.0.1:${this.port}/${DATABASE}`;
    this.load = makeLoad(server, volume);
  }

  startSidecar(name: string): Promise<SidecarProcess> {
    return startSidecar(this.#workspace, name, this.#server, this.#volume, this.#role);
  }

  async describeData(): Promise<string> {
    return await withClient(this.#server, DATABASE, async (client) => {
      const { rows } = await client.query<{ bytes: string; databases: string }>(
        `SELECT sum(pg_database_size(oid)) AS bytes, count(*) AS databases
           FROM pg_database WHERE datallowconn`,
      );
      const [row] = rows;
      return `${Math.round(Number(row?.bytes) / 2 ** 20)} MB in ${row?.databases} databases`;
    });
  }

  async compare(acknowledged: Acknowledged): Promise<Comparison> {
    const { acked } = acknowledged as PostgresAcknowledged;
    const report = await withClient(this.#server, DATABASE, (c) => verifyLedger(c, acked));
    return { checks: report.checks, found: report.rows, beyond: report.beyond };
  }

  async examine(): Promise<readonly DemoCheck[]> {
    const found = await withClient(this.#server, DATABASE, (client) => amcheck(client));
    const tables = found.tables > 0 ? ` and ${found.tables} tables` : '';
    const ok = found.problems.length === 0;
    const message = ok
      ? `amcheck: ${found.indexes} indexes${tables} clean`
      : `amcheck: ${found.problems.slice(0, 3).join('; ')}`;
    await withClient(this.#server, DATABASE, async (client) => {
      await client.query(`UPDATE bank.accounts SET balance = balance WHERE id = 1`);
      await client.query(`INSERT INTO bank.ledger_0 VALUES (-1, 1, 1, 1, 0, '')`);
      await client.query('VACUUM');
    });
    const writable = 'the restored server accepts writes and a VACUUM';
    return [
      { name: 'amcheck', ok, message },
      { name: 'writable', ok: true, message: writable },
    ];
  }

  async leftovers(): Promise<readonly string[]> {
    const { dataDir } = this.#server.options;
    const names = ['receipt.json', 'postgres.backup_label'];
    const paths = [
      ...['backup_label', 'tablespace_map'].map((name) => join(dataDir, name)),
      ...names.map((name) => join(this.#volume, '.quiesce', name)),
    ];
    const found = await Promise.all(paths.map((path) => stat(path).catch(() => undefined)));
    return paths.filter((_, i) => found[i] !== undefined);
  }

  leave(): void {
    this.#server.leave();
  }
}

function makeLoad(server: EmbeddedPostgres, volume: string): DemoLoad {
  const load = new WriterLoad({ connection: connectionTo(server, DATABASE), thinkMs: THINK_MS });
  return {
    clients: load.shape.clients,
    latencies: load.latencies,
    prepare: async () => {
      await load.prepare();
      await age(server, volume);
    },
    start: () => load.start(),
    stop: (withinMs) => load.stop(withinMs),
    acknowledged: (): PostgresAcknowledged => {
      const acked = load.snapshotAcked();
      return { count: countAcked(acked), acked };
    },
    trouble: () => [...load.errors, ...load.losses],
  };
}

/**
 * Brings the new server into the state of one that has run for a while: everything written out, and
 * WAL segments to recycle. Otherwise the measured freeze would write what `initdb` and the load left
 * in memory, and fill new segments with zeros.
 */
async function age(server: EmbeddedPostgres, volume: string): Promise<void> {
  await withClient(server, DATABASE, async (client) => {
    for (let segment = 0; segment < RECYCLED_SEGMENTS; segment += 1) {
      await client.query(`SELECT pg_logical_emit_message(false, 'demo', ''), pg_switch_wal()`);
    }
    await client.query('CHECKPOINT');
  });
  await tool('sync', '-f', volume).catch(() => undefined);
}
