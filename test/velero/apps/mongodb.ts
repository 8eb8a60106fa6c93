import { MongoClient } from 'mongodb';
import { LEDGER_DB, MongoLoad, readNumbers, verifyInserts } from '../../support/mongo-load.ts';
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
import { startWriters, within } from './load.ts';
import type { Edit } from './manifest.ts';
import { ManifestApp } from './manifest-app.ts';
import { createSet, type Login, rejoinSet, SET } from './mongodb-set.ts';

const MANIFEST = 'test/velero/manifests/mongodb.yaml';
const PORT = 27_017;
/** For finding a primary: an election takes some 12 s. */
const SELECT_WITHIN_MS = 30_000;
const MAJORITY = { w: 'majority', j: true } as const;

/**
 * A replica set of three, each pod with the label: a backup freezes one after the other, and a restore
 * brings each back as the same member.
 */
export function mongodb(...edits: readonly Edit[]): App {
  return new MongoApp(edits);
}

class MongoApp extends ManifestApp implements App {
  readonly engine = 'mongodb';
  readonly #root: Login;
  readonly #app: Login;
  readonly #sidecar: Login;

  constructor(edits: readonly Edit[]) {
    super(MANIFEST, edits);
    this.#root = { username: 'root', password: this.objects.secret('mongo', 'root-password') };
    this.#app = { username: 'app', password: this.objects.secret('mongo', 'app-password') };
    this.#sidecar = {
      username: this.objects.secret('quiesce-login', 'username'),
      password: this.objects.secret('quiesce-login', 'password'),
    };
  }

  /** Initiates the set, creates the administrator, the sidecar's role and user, and the application's. */
  async initialise(access: Access): Promise<void> {
    await createSet({
      members: this.#members(access),
      forward: (pod) => access.forward(pod, PORT),
      root: this.#root,
      sidecar: this.#sidecar,
      app: { ...this.#app, database: LEDGER_DB },
    });
  }

  async startLoad(access: Access, path: string, options: LoadOptions = {}): Promise<Load> {
    const { clients = CLIENTS, thinkMs = THINK_MS } = options;
    const client = await this.#connect(access);
    return await startWriters(path, { engine: this.engine, clients }, async (onAcknowledged) => {
      const found = await readNumbers(client, clients);
      const after = found.map((one) => [...one].reduce((most, n) => Math.max(most, n), 0));
      const load = new MongoLoad(client, clients, thinkMs, undefined, { after, onAcknowledged });
      return {
        start: async () => void load.start(),
        total: () => load.total,
        trouble: () => load.errors,
        // Without a client, a writer that waits for the server fails, and then ends.
        stop: async (withinMs) => {
          const stopped = load.stop();
          await within(stopped, withinMs);
          await client.close(true);
          await stopped;
        },
      };
    });
  }

  async afterRestore(access: Access): Promise<void> {
    const forward = (pod: string): ReturnType<Access['forward']> => access.forward(pod, PORT);
    await rejoinSet({ members: this.#members(access), forward, root: this.#root });
  }

  compare(access: Access, ledger: Ledger, hold: Hold): Promise<Comparison> {
    const connect = (): Promise<MongoClient> => this.#connect(access);
    const open = async (): Promise<Session> => new MongoSession(connect, await connect());
    return compareWith(open, ledger, hold);
  }

  /** Each pod with the name by which the other members reach it. */
  #members({ namespace, memberName }: Access): ReadonlyMap<string, string> {
    const named = memberName ?? ((pod) => `${pod}.mongo.${namespace}.svc.cluster.local:${PORT}`);
    return new Map(this.pods.map((pod) => [pod, named(pod)]));
  }

  /** Logs in to the set as the application. The members' own names must resolve where the runner is. */
  async #connect({ reach }: Access): Promise<MongoClient> {
    const seeds = await Promise.all(
      this.pods.map(async (pod) => {
        const { host, port } = splitAddress(await reach(pod), PORT);
        return `${host}:${port}`;
      }),
    );
    const client = new MongoClient(`mongodb://${seeds.join(',')}/?replicaSet=${SET}`, {
      auth: this.#app,
      authSource: 'admin',
      serverSelectionTimeoutMS: SELECT_WITHIN_MS,
      readConcern: { level: 'majority' },
    });
    try {
      await client.connect();
      // Connecting checks the login only with the first command.
      await client.db(LEDGER_DB).command({ ping: 1 });
      return client;
    } catch (error) {
      await client.close().catch(() => undefined);
      throw error;
    }
  }
}

class MongoSession implements Session {
  readonly #connect: () => Promise<MongoClient>;
  readonly #client: MongoClient;

  constructor(connect: () => Promise<MongoClient>, client: MongoClient) {
    this.#connect = connect;
    this.#client = client;
  }

  verify(acked: readonly number[]): ReturnType<Session['verify']> {
    return verifyInserts(this.#client, acked);
  }

  async write(): Promise<void> {
    const after = this.#client.db(LEDGER_DB).collection('after-restore');
    const { insertedId: _id } = await after.insertOne(
      { at: new Date() },
      { writeConcern: MAJORITY },
    );
    const other = await this.#connect();
    try {
      const read = await other.db(LEDGER_DB).collection('after-restore').findOne({ _id });
      if (read === null) throw new Error('a second client does not see the new document');
    } finally {
      await other.close();
    }
  }

  close(): Promise<void> {
    return this.#client.close();
  }
}
