import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { Client, type QueryResult } from 'pg';
import { amcheck } from '../../src/demo/amcheck.ts';
import { EmbeddedPostgres, freePort } from '../../src/demo/embedded-postgres.ts';
import { type LedgerReport, verifyLedger } from '../../src/demo/ledger.ts';
import { type Acked, type LoadOptions, WriterLoad } from '../../src/demo/load.ts';
import { makeVolume, type Snapshot, type Volume } from '../../src/demo/volume.ts';
import { makeTempDir, ROLE_PASSWORD, roleSql } from './postgres.ts';
import { TestSidecar } from './sidecar.ts';

export interface RigOptions {
  readonly major: number;
  readonly settings?: Readonly<Record<string, string>>;
  readonly initdbArgs?: readonly string[];
  readonly load?: Partial<LoadOptions>;
  /** Default: the best there is. */
  readonly volume?: (dir: string, postmaster: () => number | undefined) => Promise<Volume>;
  /** Settings of the sidecar. */
  readonly env?: Readonly<Record<string, string>>;
}

/**
 * The main job on real parts: a server on a volume that can be copied atomically, a writer load, and
 * a sidecar that connects as the least-privileged role.
 */
export class Rig {
  readonly dir: string;
  readonly volume: Volume;
  readonly server: EmbeddedPostgres;
  readonly load: WriterLoad;
  readonly sidecar: TestSidecar;
  readonly #undo: (() => Promise<unknown>)[] = [];
  #copies = 0;

  private constructor(dir: string, volume: Volume, server: EmbeddedPostgres, load: WriterLoad) {
    this.dir = dir;
    this.volume = volume;
    this.server = server;
    this.load = load;
    this.sidecar = new TestSidecar(join(dir, 'q'), {
      ...roleEnv(server),
      QUIESCE_DATA_DIR: volume.path,
    });
  }

  /** Everything is up; the load and the sidecar are started by the test. */
  static async make({
    major,
    settings = {},
    initdbArgs = [],
    load = {},
    volume: make = (dir, postmaster) => makeVolume(dir, { postmaster }),
    env = {},
  }: RigOptions): Promise<Rig> {
    const dir = await makeTempDir();
    let server: EmbeddedPostgres | undefined;
    const volume = await make(dir, () => server?.pid);
    server = await EmbeddedPostgres.at({
      major,
      dataDir: join(volume.path, 'pgdata'),
      port: await freePort(),
      socketDir: join(dir, 's'),
      settings: { max_wal_size: '256MB', ...settings },
      initdbArgs,
    });
    const writer = new WriterLoad({ connection: server.superuser(), ...load });
    const rig = new Rig(dir, volume, server, writer);
    rig.defer(() => rm(dir, { recursive: true, force: true }));
    rig.defer(() => volume.dispose());
    rig.defer(() => server.stop('immediate'));
    rig.defer(() => writer.stop());
    rig.defer(() => rig.sidecar.signal('SIGKILL'));
    Object.assign(rig.sidecar.env, env);
    try {
      await rig.#begin();
      return rig;
    } catch (error) {
      await rig.dispose();
      throw error;
    }
  }

  async #begin(): Promise<void> {
    await mkdir(this.sidecar.dir);
    await this.server.initdb();
    await this.server.start();
    await this.sql(await roleSql());
    await this.sql(`ALTER ROLE quiesce PASSWORD '${ROLE_PASSWORD}'`);
    await this.load.prepare();
  }

  defer(undo: () => Promise<unknown>): void {
    this.#undo.unshift(undo);
  }

  async dispose(): Promise<void> {
    for (const undo of this.#undo.splice(0)) await undo().catch(() => undefined);
  }

  /** One statement (or script) as the superuser. */
  sql<T extends object = Record<string, unknown>>(text: string): Promise<T[]> {
    return query<T>(this.server, text);
  }

  async snapshot(name: string): Promise<Snapshot> {
    return await this.volume.snapshot(name);
  }

  /** A second server on a copy. Not started. */
  async serverOn(copy: string): Promise<EmbeddedPostgres> {
    this.#copies += 1;
    const server = await EmbeddedPostgres.at({
      major: this.server.options.major,
      dataDir: join(copy, 'pgdata'),
      port: await freePort(),
      socketDir: join(this.dir, `c${this.#copies}`),
    });
    this.defer(() => server.stop('immediate'));
    return server;
  }

  /** A sidecar beside a copy, with state of its own. Not started. */
  async sidecarOn(copy: string, server: EmbeddedPostgres): Promise<TestSidecar> {
    const dir = join(this.dir, `q${this.#copies}`);
    await mkdir(dir);
    const sidecar = new TestSidecar(dir, { ...roleEnv(server), QUIESCE_DATA_DIR: copy });
    this.defer(() => sidecar.signal('SIGKILL'));
    return sidecar;
  }
}

export function roleEnv(server: EmbeddedPostgres): Record<string, string> {
  return { ...server.env('tcp'), PGUSER: 'quiesce', PGPASSWORD: ROLE_PASSWORD };
}

export async function query<T extends object>(
  server: EmbeddedPostgres,
  text: string,
): Promise<T[]> {
  return await withSuperuser(server, async (client) => {
    const result = (await client.query<T>(text)) as QueryResult<T> | QueryResult<T>[];
    return Array.isArray(result) ? (result.at(-1)?.rows ?? []) : result.rows;
  });
}

async function withSuperuser<T>(
  server: EmbeddedPostgres,
  use: (client: Client) => Promise<T>,
): Promise<T> {
  const client = new Client(server.superuser());
  client.on('error', () => undefined);
  await client.connect();
  try {
    return await use(client);
  } finally {
    await client.end().catch(() => undefined);
  }
}

/** Every acknowledged transaction, no gap, sums, payloads; then amcheck, a write and a VACUUM. */
export async function examine(
  server: EmbeddedPostgres,
  acked: Acked,
): Promise<LedgerReport & { readonly amcheck: readonly string[] }> {
  return await withSuperuser(server, async (client) => {
    const ledger = await verifyLedger(client, acked);
    const { problems } = await amcheck(client);
    await client.query('CREATE TABLE after_restore AS SELECT 1 AS one');
    await client.query('VACUUM');
    return { ...ledger, amcheck: problems };
  });
}
