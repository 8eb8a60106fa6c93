import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { EmbeddedPostgres, freePort } from '../../src/testbed/postgres/server.ts';
import type { WriterLoad } from '../../src/testbed/postgres/load.ts';
import { ROLE_PASSWORD, roleSql } from './postgres.ts';
import { query, roleEnv } from './superuser.ts';
import { TestSidecar } from './sidecar.ts';

/** A server with a writer load and a sidecar, and the servers started on its copies. Stops all of them at the end. */
export abstract class ServerRig {
  readonly dir: string;
  readonly server: EmbeddedPostgres;
  readonly load: WriterLoad;
  readonly sidecar: TestSidecar;
  readonly #undo: (() => Promise<unknown>)[] = [];
  #count = 0;

  protected constructor(
    dir: string,
    server: EmbeddedPostgres,
    load: WriterLoad,
    env: Readonly<Record<string, string>>,
  ) {
    this.dir = dir;
    this.server = server;
    this.load = load;
    this.sidecar = new TestSidecar(join(dir, 'q'), { ...roleEnv(server), ...env });
  }

  /** Runs `begin`, which starts the rig. If it fails, everything is undone. */
  protected async started(begin: () => Promise<void>): Promise<this> {
    this.defer(() => this.server.stop('immediate'));
    this.defer(() => this.load.stop());
    this.defer(() => this.sidecar.signal('SIGKILL'));
    try {
      await mkdir(this.sidecar.dir);
      await begin();
      return this;
    } catch (error) {
      await this.dispose();
      throw error;
    }
  }

  /** The server runs, and has the sidecar’s role and the tables of the load. */
  protected async startServer(): Promise<void> {
    await this.server.initdb();
    await this.server.start();
    await this.sql(await roleSql());
    await this.sql(`ALTER ROLE quiesce PASSWORD '${ROLE_PASSWORD}'`);
    await this.load.prepare();
  }

  /** Steps to undo at the end, in reverse order. */
  defer(undo: () => Promise<unknown>): void {
    this.#undo.unshift(undo);
  }

  async dispose(): Promise<void> {
    for (const undo of this.#undo.splice(0)) await undo().catch(() => undefined);
  }

  /** Runs a statement or a script as the superuser. */
  sql<T extends object = Record<string, unknown>>(text: string): Promise<T[]> {
    return query<T>(this.server, text);
  }

  /** A different number on each call, for names in `dir`. */
  protected next(): number {
    this.#count += 1;
    return this.#count;
  }

  /** A second server on a copy; not started. */
  async serverOn(copy: string): Promise<EmbeddedPostgres> {
    const server = await EmbeddedPostgres.at({
      major: this.server.options.major,
      dataDir: join(copy, 'pgdata'),
      port: await freePort(),
      socketDir: join(this.dir, `c${this.next()}`),
    });
    this.defer(() => server.stop('immediate'));
    return server;
  }

  /** A sidecar for a copy, with its own state; not started. */
  async sidecarOn(
    copy: string,
    server: EmbeddedPostgres,
    env: Readonly<Record<string, string>> = {},
  ): Promise<TestSidecar> {
    const dir = join(this.dir, `q${this.next()}`);
    await mkdir(dir);
    const sidecar = new TestSidecar(dir, { ...roleEnv(server), QUIESCE_DATA_DIR: copy, ...env });
    this.defer(() => sidecar.signal('SIGKILL'));
    return sidecar;
  }
}
