import { Redis } from 'ioredis';
import { readSequences, verifyWrites } from '../../../src/testbed/redis/ledger.ts';
import { RedisLoad } from '../../../src/testbed/redis/load.ts';
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

const MANIFEST = 'test/velero/manifests/redis.yaml';
const PORT = 6379;
const CONNECT_WITHIN_MS = 10_000;

/** A Redis with an append-only file and a password. */
export function redis(...edits: readonly Edit[]): App {
  return new RedisApp(edits);
}

class RedisApp extends ManifestApp implements App {
  readonly engine = 'redis';
  readonly #password: string;

  constructor(edits: readonly Edit[]) {
    super(MANIFEST, edits);
    this.#password = this.objects.secret('redis', 'REDIS_PASSWORD');
  }

  /** There is nothing to do by hand. */
  initialise(): Promise<void> {
    return Promise.resolve();
  }

  async startLoad(access: Access, path: string, options: LoadOptions = {}): Promise<Load> {
    const { clients = CLIENTS, thinkMs = THINK_MS } = options;
    const server = await this.#server(access);
    return await startWriters(path, { engine: this.engine, clients }, async (onAcknowledged) => {
      const after = await lastNumbers(await login(server), clients);
      const load = new RedisLoad(server, clients, {
        keep: 'every',
        thinkMs,
        after,
        onAcknowledged,
      });
      return {
        start: async () => load.start(),
        total: () => load.total,
        trouble: () => load.errors,
        stop: (withinMs) => load.stop(withinMs),
      };
    });
  }

  afterRestore(): Promise<void> {
    return Promise.resolve();
  }

  compare(access: Access, ledger: Ledger, hold: Hold): Promise<Comparison> {
    const open = async (): Promise<Session> => {
      const server = await this.#server(access);
      return new RedisSession(server, await login(server));
    };
    return compareWith(open, ledger, hold);
  }

  async #server({ reach }: Access): Promise<Server> {
    const { host, port } = splitAddress(await reach(this.pod), PORT);
    return new Server(host, port, this.#password);
  }
}

/** Makes connections of the application. */
class Server {
  readonly #to: { readonly host: string; readonly port: number; readonly password: string };

  constructor(host: string, port: number, password: string) {
    this.#to = { host, port, password };
  }

  /** A connection that comes back by itself. */
  connect({ queue = true }: { readonly queue?: boolean } = {}): Redis {
    const client = new Redis({
      ...this.#to,
      connectTimeout: CONNECT_WITHIN_MS,
      maxRetriesPerRequest: 1,
      enableOfflineQueue: queue,
      retryStrategy: () => 50,
    });
    client.on('error', () => undefined);
    return client;
  }

  /** A connection of which the first error is the answer. */
  once(): Redis {
    const client = new Redis({
      ...this.#to,
      connectTimeout: CONNECT_WITHIN_MS,
      maxRetriesPerRequest: 0,
      retryStrategy: () => null,
      lazyConnect: true,
    });
    client.on('error', () => undefined);
    return client;
  }
}

/** @throws the server's error if it refuses the password */
async function login(server: Server): Promise<Redis> {
  const client = server.once();
  try {
    await client.connect();
    await client.ping();
    return client;
  } catch (error) {
    client.disconnect();
    throw error;
  }
}

/** The last number of each writer; closes the connection. */
async function lastNumbers(client: Redis, clients: number): Promise<number[]> {
  try {
    const found = await readSequences(client, clients);
    return found.map((numbers) => [...numbers].reduce((most, one) => Math.max(most, one), 0));
  } finally {
    client.disconnect();
  }
}

class RedisSession implements Session {
  readonly #server: Server;
  readonly #client: Redis;

  constructor(server: Server, client: Redis) {
    this.#server = server;
    this.#client = client;
  }

  verify(acked: readonly number[]): ReturnType<Session['verify']> {
    return verifyWrites(this.#client, acked);
  }

  async write(): Promise<void> {
    const wrote = await this.#client.incr('after-restore');
    const other = await login(this.#server);
    try {
      const read = Number(await other.get('after-restore'));
      if (read !== wrote) throw new Error(`a second connection reads ${read}, not ${wrote}`);
    } finally {
      other.disconnect();
    }
  }

  close(): Promise<void> {
    this.#client.disconnect();
    return Promise.resolve();
  }
}
