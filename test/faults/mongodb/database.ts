import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { MongoClient } from 'mongodb';
import { tool } from '../../../src/testbed/os.ts';
import { type Acked, LEDGER_DB, missing, MongoLoad } from '../../support/mongo-load.ts';
import {
  Mongod,
  mongoEnv,
  MongoSet,
  restoreAlone,
  ROOT,
  startStandalone,
  until,
} from '../../support/mongod.ts';
import type { Copy, Database, DatabaseOptions, RestoreOptions, Restored, Wire } from '../engine.ts';
import { prepare } from '../copies.ts';

/** The server that is frozen. */
export type Member = 'alone' | 'primary' | 'secondary';

const WRITE_WITHIN_MS = 5_000;
const START_ATTEMPTS = 20;

/** Commands by their names in BSON: text that ends with a zero byte. */
const wire: Wire = {
  steps: [
    ['fsyncUnlock\0', 'unlock asked', 'unlocked'],
    ['fsync\0', 'lock asked', 'locked'],
    ['dbStats\0', 'count asked', 'counted'],
  ],
};

interface Committed {
  readonly acked: Acked;
}

interface Running {
  readonly server: Mongod;
  readonly set: MongoSet | undefined;
  /** Of the writers: follows the primary. */
  readonly client: MongoClient;
  readonly load: MongoLoad;
}

/** The data is in `db` on the volume, and copies are atomic. */
export class MongoDatabase implements Database {
  readonly wire = wire;
  readonly #options: DatabaseOptions;
  readonly #running: Running;
  readonly #losses: string[] = [];
  #serving: Promise<void> | undefined;

  private constructor(options: DatabaseOptions, running: Running) {
    this.#options = options;
    this.#running = running;
  }

  /** The port must be known from the start, so the server runs when this resolves. */
  static async make(options: DatabaseOptions, member: Member): Promise<MongoDatabase> {
    const dbPath = join(options.volume.path, 'db');
    const set = member === 'alone' ? undefined : await startSet(options.dir, dbPath, member);
    const server = set?.member(member === 'secondary' ? 1 : 0) ?? (await startStandalone(dbPath));
    const client = set?.client() ?? server.client({ auth: ROOT });
    const load = new MongoLoad(client, 4, 12);
    return new MongoDatabase(options, { server, set, client, load });
  }

  get port(): number {
    return this.#running.server.port;
  }

  env(port: number): Record<string, string> {
    const { MONGODB_URI = '', ...env } = mongoEnv(this.#running.server);
    const at = `@127.0.0.1:${port}/`;
    return { ...env, MONGODB_URI: MONGODB_URI.replace(/@[^/]*\//, at), QUIESCE_COPY: 'snapshot' };
  }

  async start(): Promise<void> {
    const { client, load } = this.#running;
    await client.db('app').createCollection('canary');
    load.start();
    await load.progress(20);
  }

  writes(): number {
    return this.#running.load.total;
  }

  async write(): Promise<void> {
    const { client } = this.#running;
    const options = { writeConcern: { w: 'majority', j: true } } as const;
    const canary = client.db('app').collection('canary');
    const written = canary.insertOne({ at: new Date() }, options);
    written.catch(() => undefined);
    const late = sleep(WRITE_WITHIN_MS, 'late', { ref: false });
    if ((await Promise.race([written, late])) === 'late') {
      throw new Error(`a write was not acknowledged within ${WRITE_WITHIN_MS} ms`);
    }
  }

  losses(): readonly string[] {
    return this.#losses;
  }

  acknowledged(): Promise<Committed> {
    return Promise.resolve({ acked: this.#running.load.acked() });
  }

  get pid(): number | undefined {
    const { server } = this.#running;
    return server.exited === undefined ? server.pid : undefined;
  }

  /** Starts the server once at a time: several faults may restart it. */
  serve(): Promise<void> {
    this.#serving ??= this.#serve().finally(() => {
      this.#serving = undefined;
    });
    return this.#serving;
  }

  async #serve(): Promise<void> {
    if (this.pid !== undefined) return;
    const { server, load } = this.#running;
    const acked = load.acked();
    for (let attempt = 1; ; attempt += 1) {
      try {
        await server.start();
        break;
      } catch (error) {
        // On a full volume the server cannot start either.
        if (attempt === START_ATTEMPTS) throw error;
        await sleep(200);
      }
    }
    await until(async () => {
      const { isWritablePrimary, secondary } = await server.ask({ hello: 1 });
      return isWritablePrimary === true || secondary === true;
    });
    await this.#compare(acked);
  }

  /** Checks that writes acknowledged before a server died are there after its start. */
  async #compare(acked: Acked): Promise<void> {
    const { client } = this.#running;
    for (const [index, count] of acked.entries()) {
      const ledger = client.db(LEDGER_DB).collection<{ _id: number }>(`ledger${index}`);
      const found = await ledger.countDocuments({ _id: { $lte: count } });
      if (found < count) this.#losses.push(`ledger${index} has ${found} of ${count}`);
    }
  }

  async inject(kind: string, lastsMs: number): Promise<boolean> {
    const { server } = this.#running;
    switch (kind) {
      case 'foreign-unlock':
        // Other clients may hold locks as well: then the server is still locked.
        return await server.admin({ fsyncUnlock: 1 }).then(
          (answer) => answer['lockCount'] === 0,
          () => false,
        );
      case 'foreign-lock': {
        const locked = await server.admin({ fsync: 1, lock: true }).catch(() => undefined);
        if (!locked) return false;
        await sleep(lastsMs);
        // The lock ended with its server.
        await server.admin({ fsyncUnlock: 1 }).catch(() => undefined);
        return true;
      }
      case 'step-down':
        return await server
          .admin({ replSetStepDown: 2, secondaryCatchUpPeriodSecs: 0, force: true })
          .then(
            () => true,
            () => false,
          );
      default:
        throw new Error(`no fault is called ${kind}`);
    }
  }

  cut(name: string): Promise<Copy> {
    return this.#options.volume.snapshot(name);
  }

  async restore(copy: Copy, { acknowledged }: RestoreOptions): Promise<Restored> {
    const refused = await prepare(copy.path);
    if (refused !== undefined) return { refused };
    const committed = acknowledged as Committed | undefined;
    const server = new Mongod({ dbPath: join(copy.path, 'db'), auth: false });
    try {
      if (this.#running.set) await restoreAlone(server);
      else await server.start();
      const wrong = await missing(server.client(), committed?.acked ?? []);
      return { wrong, all: committed !== undefined };
    } catch (error) {
      return { wrong: [(error as Error).message.slice(-1_500)], all: committed !== undefined };
    } finally {
      await server.stop();
    }
  }

  async drop({ path }: Copy): Promise<void> {
    if (this.#options.volume.kind === 'btrfs') {
      await tool('btrfs', 'subvolume', 'delete', path);
    } else {
      await rm(path, { recursive: true, force: true });
    }
  }

  async leftovers(): Promise<string[]> {
    return (await this.#running.server.locked()) ? ['the fsync lock'] : [];
  }

  log(): string {
    return this.#running.server.output.slice(-4_000);
  }

  async close(): Promise<void> {
    const { server, set, client, load } = this.#running;
    const stopped = load.stop();
    await Promise.race([stopped, sleep(1_000)]);
    await (set ?? server).stop();
    await client.close();
    await stopped;
  }
}

function startSet(dir: string, dbPath: string, member: Member): Promise<MongoSet> {
  const dbPaths = member === 'primary' ? [dbPath] : [join(dir, 'm0'), dbPath];
  const configure = (index: number): object => (index === 0 ? {} : { priority: 0 });
  return MongoSet.start(dir, { dbPaths, configure });
}
