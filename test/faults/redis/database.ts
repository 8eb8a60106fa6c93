import { readFile, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { freePort } from '../../../src/testbed/postgres/server.ts';
import type { Receipt } from '../../../src/receipt/receipt.ts';
import { copyFileByFile } from '../../support/file-copy.ts';
import {
  aclLine,
  changedSince,
  cutSessionsOf,
  missingOn,
  pauseOf,
  RedisLoad,
  RedisServer,
  sessionsOf,
  settingsOf,
  USER,
  writeOnce,
} from '../../support/redis.ts';
import { dropSnapshot, prepare } from '../copies.ts';
import type { Copy, Database, DatabaseOptions, RestoreOptions, Restored } from '../engine.ts';
import { wire } from './wire.ts';

const WRITERS = 4;
const THINK_MS = 8;
const WRITE_WITHIN_MS = 5_000;

export interface Setup {
  /** How the server persists its data. */
  readonly config: readonly string[];
  readonly copy: 'snapshot' | 'files';
}

interface Ledger {
  readonly acked: readonly number[];
  /**
   * The run of the server. No freeze can bring back what a crash of the server loses (RDB only: all since
   * the last save; everysec: what was not yet in the AOF).
   */
  readonly runId: string;
}

/** A primary under write load. */
export class RedisDatabase implements Database {
  readonly wire = wire;
  readonly port: number;
  readonly #options: DatabaseOptions;
  readonly #setup: Setup;
  #server: RedisServer | undefined;
  #load: RedisLoad | undefined;
  #before: ReadonlyMap<string, string> = new Map();
  #runId = '';
  #serving: Promise<void> | undefined;

  private constructor(options: DatabaseOptions, setup: Setup, port: number) {
    this.#options = options;
    this.#setup = setup;
    this.port = port;
  }

  static async make(options: DatabaseOptions, setup: Setup): Promise<RedisDatabase> {
    return new RedisDatabase(options, setup, await freePort());
  }

  get #running(): RedisServer {
    if (!this.#server) throw new Error('the server has not been started');
    return this.#server;
  }

  env(port: number): Record<string, string> {
    return {
      QUIESCE_ENGINE: 'redis',
      QUIESCE_COPY: this.#setup.copy,
      REDIS_HOST: '127.0.0.1',
      REDIS_PORT: String(port),
      REDIS_USERNAME: USER.name,
      REDIS_PASSWORD: USER.password,
    };
  }

  async start(): Promise<void> {
    const { version, volume } = this.#options;
    const server = await RedisServer.start({
      binary: version,
      dir: join(volume.path, 'data'),
      config: [...this.#setup.config, await aclLine()],
      port: this.port,
    });
    this.#server = server;
    this.#before = await settingsOf(server);
    this.#runId = await server.info('run_id');
    this.#load = new RedisLoad(server, WRITERS, { thinkMs: THINK_MS });
    this.#load.start();
  }

  writes(): number {
    return this.#load?.total ?? 0;
  }

  async write(): Promise<void> {
    // After a save failed on a full volume, the server refuses writes until a save succeeds
    // (stop-writes-on-bgsave-error): an operator who has freed space saves again.
    const server = this.#running;
    if ((await server.info('rdb_last_bgsave_status')) === 'err') {
      await server.admin.call('BGSAVE').catch(() => undefined);
    }
    const late = sleep(WRITE_WITHIN_MS, 'late', { ref: false });
    const write = writeOnce(server).then(() => 'acknowledged');
    if ((await Promise.race([write, late])) === 'late') throw new Error('a write waits');
  }

  /** Writes that a server loses in its own crash are not losses here: it never promised them. */
  losses(): readonly string[] {
    return [];
  }

  acknowledged(): Promise<Ledger> {
    return Promise.resolve({ acked: [...(this.#load?.acked ?? [])], runId: this.#runId });
  }

  get pid(): number | undefined {
    return this.#server?.pid || undefined;
  }

  async serve(): Promise<void> {
    this.#serving ??= this.#serve().finally(() => (this.#serving = undefined));
    await this.#serving;
  }

  async #serve(): Promise<void> {
    const server = this.#running;
    for (let attempt = 1; this.pid === undefined;) {
      try {
        await server.start();
        this.#runId = await server.info('run_id');
      } catch (error) {
        attempt += 1;
        if (attempt > 20) throw error;
        await sleep(200);
      }
    }
  }

  async inject(kind: string): Promise<boolean> {
    const server = this.#running;
    if (kind === 'cut-clients') return (await cutSessionsOf(server).catch(() => 0)) > 0;
    const command = { unpause: ['CLIENT', 'UNPAUSE'], rewrite: ['BGREWRITEAOF'], save: ['BGSAVE'] };
    const [name, ...args] = command[kind as keyof typeof command];
    return await server.admin.call(name as string, ...args).then(
      () => true,
      () => false,
    );
  }

  async cut(name: string): Promise<Copy> {
    const { volume } = this.#options;
    if (this.#setup.copy === 'snapshot') return await volume.snapshot(name);
    const path = join(dirname(volume.path), name);
    const seed = Number(name.replaceAll(/\D/g, ''));
    await copyFileByFile(volume.path, path, { between: () => sleep(30), seed });
    return { path };
  }

  async restore({ path }: Copy, { acknowledged, receipt }: RestoreOptions): Promise<Restored> {
    const text = await readFile(join(path, '.quiesce/receipt.json'), 'utf8').catch(() => '');
    const refused = await prepare(path);
    if (refused !== undefined) return { refused };
    const promise = text === '' ? receipt : (JSON.parse(text) as Receipt);
    const ledger = acknowledged as Ledger | undefined;
    const same = ledger !== undefined && promise?.position?.['runId'] === ledger.runId;
    return { wrong: await this.#examine(path, same ? ledger.acked : []), all: same };
  }

  /** Starts a second server on the copy. @returns what is wrong with its data. */
  async #examine(path: string, acked: readonly number[]): Promise<string[]> {
    let server: RedisServer | undefined;
    try {
      server = await RedisServer.start({
        binary: this.#options.version,
        dir: join(path, 'data'),
        // An AOF that a hold has made durable ends with a complete command.
        config: [...this.#setup.config, 'aof-load-truncated no'],
      });
      const missing = await missingOn(server, acked);
      return missing === 0 ? [] : [`${missing} acknowledged writes are missing`];
    } catch (error) {
      return [(error as Error).message.slice(-1_500)];
    } finally {
      await server?.kill();
    }
  }

  async drop({ path }: Copy): Promise<void> {
    if (this.#setup.copy === 'snapshot') await dropSnapshot(this.#options.volume, path);
    else await rm(path, { recursive: true, force: true });
  }

  async leftovers(): Promise<readonly string[]> {
    const server = this.#running;
    const found = [...(await pauseOf(server)), ...(await changedSince(server, this.#before))];
    const sessions = await sessionsOf(server);
    // The monitor of the sidecar may be connected at this moment.
    if (sessions > 1) found.push(`${sessions} sessions`);
    return found;
  }

  log(): string {
    return this.#server?.output.slice(-4_000) ?? '';
  }

  async close(): Promise<void> {
    await this.#load?.stop();
    await this.#server?.kill();
  }
}
