import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Document, MongoClient } from 'mongodb';
import { makeVolume } from '../../src/testbed/volume/make-volume.ts';
import type { Volume } from '../../src/testbed/volume/volume.ts';
import { makeBlockVolume } from '../support/block-volume.ts';
import { type Acked, LEDGER_DB, missing, MongoLoad } from '../support/mongo-load.ts';
import {
  Mongod,
  MongoSet,
  restoreAlone,
  ROLE,
  ROOT,
  startStandalone,
  until,
} from '../support/mongod.ts';
import { Relay } from '../support/relay.ts';
import { addLine, type Edit, oldFile } from './configuration.ts';
import {
  type Backup,
  type Blank,
  type Ledger,
  type Load,
  type Restored,
  type ServerControl,
  fileBackup,
  snapshotBackup,
  type StartOptions,
  type Subject,
  type World,
} from './fixture.ts';

interface MongoLedger extends Ledger {
  readonly acked: Acked;
}

type Kind = 'standalone' | 'primary';

/** In the data directory: a restored server starts with it. */
const CONF = 'mongod.conf';
const WRITE_WITHIN_MS = 15_000;

/** A standalone server, or the primary of a set of three; with authentication and the documented role. */
export function mongodb(kind: Kind): Subject<MongoLedger> {
  return {
    name: kind === 'standalone' ? 'MongoDB alone' : 'MongoDB, the primary of three',
    engine: 'mongodb',
    blocksWrites: true,
    mode: 'locked',
    replica: 'run',
    claims: ['snapshot', 'files'],
    copies: ['snapshot', 'files'],
    copy: 'snapshot',
    deadManMs: null,
    seenInServer: true,
    holdDiesWithItsSession: false,
    outlivesServer: false,
    marksFurtherVolumes: false,
    remembers: true,
    keptAfterThaw: null,
    withoutRight: 'ENGINE_PRIVILEGE',
    right: /fsync/,
    reasons: { killed: 'server-gone', restarted: 'server-restarted' },
    refusals: [],
    start: (options) => MongoWorld.start(kind, options),
  };
}

interface Parts {
  readonly volume: Pick<Volume, 'path' | 'snapshot'>;
  readonly server: Mongod;
  readonly set: MongoSet | undefined;
  /** The relay between sidecar and server, at which connections are cut. */
  readonly relay: Relay;
  readonly undo: (() => Promise<unknown>)[];
}

class MongoWorld implements World<MongoLedger> {
  readonly volume: Pick<Volume, 'path' | 'snapshot'>;
  readonly marked = [];
  readonly env: Readonly<Record<string, string>>;
  readonly secrets = [ROLE.password];
  readonly wrongCredentials = { MONGODB_PASSWORD: 'wrong-secret-7d20' };
  readonly server: ServerControl;
  readonly load: Load<MongoLedger>;
  readonly #parts: Parts;
  readonly #options: StartOptions;

  private constructor(options: StartOptions, parts: Parts) {
    const { server, relay, undo } = parts;
    this.#options = options;
    this.#parts = parts;
    this.volume = parts.volume;
    this.env = envOf(relay.port);
    this.server = controlOf(server, relay);
    const client = parts.set?.client() ?? server.client({ auth: ROOT });
    undo.push(() => client.close());
    this.load = loadOf(client);
    undo.push(() => server.signal('SIGCONT'));
    undo.push(() => this.load.stop());
  }

  static async start(kind: Kind, options: StartOptions): Promise<MongoWorld> {
    const { dir, copy, disk } = options;
    const undo: (() => Promise<unknown>)[] = [];
    let server: Mongod | undefined;
    const postmaster = (): number | undefined => server?.pid;
    try {
      const volume =
        copy === 'files' && disk !== 'block'
          ? await makeVolume(dir, { postmaster })
          : await makeBlockVolume(dir, { postmaster });
      undo.push(() => volume.dispose());
      const dbPath = join(volume.path, 'db');
      await oldFile(join(dbPath, CONF), '# mongod\n');
      const set = kind === 'primary' ? await startSet(dir, dbPath) : undefined;
      server = set?.first ?? (await startStandalone(dbPath));
      const started = set ?? server;
      undo.push(() => started.stop());
      await server.client({ auth: ROOT }).db('app').createCollection('writes');
      const port = server.port;
      const relay = await Relay.to(() => port);
      undo.push(() => relay.close());
      return new MongoWorld(options, { volume, server, set, relay, undo });
    } catch (error) {
      for (const step of undo.toReversed()) await step().catch(() => undefined);
      throw error;
    }
  }

  /** Retries, like an application, when a primary stepped down or a connection broke. */
  async write(): Promise<void> {
    const { server } = this.#parts;
    const deadline = performance.now() + WRITE_WITHIN_MS;
    for (;;) {
      const client = server.client({ auth: ROOT });
      try {
        const writes = client.db('app').collection('writes');
        await writes.insertOne({}, { writeConcern: { w: 'majority', j: true } });
        return;
      } catch (error) {
        if (performance.now() > deadline) throw error;
        await sleep(100);
      } finally {
        await client.close();
      }
    }
  }

  async held(): Promise<readonly string[]> {
    return (await this.#parts.server.locked()) ? ['the fsync lock'] : [];
  }

  /** A freeze of MongoDB changes no settings. */
  changed(): Promise<readonly string[]> {
    return Promise.resolve([]);
  }

  async sessions(): Promise<number> {
    const command = { currentOp: 1, $all: true, appName: { $regex: '^quiesce' } };
    return ((await this.#parts.server.admin(command))['inprog'] as Document[]).length;
  }

  cutSessions(): Promise<void> {
    this.#parts.relay.reset();
    return Promise.resolve();
  }

  async revoke(): Promise<void> {
    const privileges = [{ resource: { cluster: true }, actions: ['fsync'] }];
    await this.#parts.server.admin({ revokePrivilegesFromRole: 'quiesce', privileges });
  }

  async trespass(): Promise<readonly string[]> {
    const client = this.#parts.server.client({ auth: ROLE });
    const able: string[] = [];
    for (const [db, command] of TRESPASSES) {
      await client
        .db(db)
        .command(command)
        .then(
          () => able.push(`may ${JSON.stringify(command)} on ${db}`),
          ({ code, message }: { code?: number; message: string }) => {
            // A failure for any other reason proves nothing about the right.
            if (code !== UNAUTHORIZED) able.push(`${JSON.stringify(command)} on ${db}: ${message}`);
          },
        );
    }
    await client.close();
    return able;
  }

  async configure(): Promise<Edit> {
    const edit = { file: `db/${CONF}`, line: 'systemLog: { verbosity: 1 }' };
    await addLine(join(this.volume.path, edit.file), edit.line);
    return edit;
  }

  backup(name: string): Backup {
    const { copy, dir } = this.#options;
    if (copy !== 'files') return snapshotBackup(this.volume, name);
    // Long enough for a server that is not held to write a checkpoint.
    return fileBackup(this.volume, join(dir, name), 1_500);
  }

  async copyNow(name: string): Promise<string> {
    return (await this.volume.snapshot(name)).path;
  }

  async restore(dataDir: string): Promise<Restored<MongoLedger>> {
    const { set, undo } = this.#parts;
    const dbPath = join(dataDir, 'db');
    const server = new Mongod({ dbPath, args: [`--config=${join(dbPath, CONF)}`] });
    undo.push(() => server.stop());
    if (set) await restoreAlone(server);
    else await server.start();
    return {
      env: envOf(server.port),
      missing: ({ acked }) => missing(server.client({ auth: ROOT }), acked),
      configured: async () => {
        const { parsed } = await server.admin({ getCmdLineOpts: 1 });
        return (parsed as { systemLog?: Document }).systemLog?.['verbosity'] === 1;
      },
      stop: () => server.stop(),
    };
  }

  async blank(name: string): Promise<Blank> {
    const dataDir = join(this.#options.dir, name);
    const server = await startStandalone(join(dataDir, 'db'));
    this.#parts.undo.push(() => server.stop());
    return { dataDir, env: envOf(server.port), stop: () => server.stop() };
  }

  async dispose(): Promise<void> {
    for (const undo of this.#parts.undo.splice(0).toReversed()) await undo().catch(() => undefined);
  }
}

/** A set in which only the first member is ever elected; that member is frozen. */
function startSet(dir: string, dbPath: string): Promise<MongoSet> {
  return MongoSet.start(dir, {
    dbPaths: [dbPath],
    args: ['--syncdelay', '1'],
    configure: (index) => (index === 0 ? {} : { priority: 0 }),
  });
}

function envOf(port: number): Record<string, string> {
  return {
    MONGODB_URI: `mongodb://127.0.0.1:${port}/`,
    MONGODB_USERNAME: ROLE.username,
    MONGODB_PASSWORD: ROLE.password,
    MONGODB_AUTH_SOURCE: 'admin',
  };
}

const UNAUTHORIZED = 13;

const TRESPASSES: readonly (readonly [db: string, command: Document])[] = [
  [LEDGER_DB, { find: 'ledger0' }],
  [LEDGER_DB, { count: 'ledger0' }],
  [LEDGER_DB, { insert: 'ledger0', documents: [{ _id: -1 }] }],
  [LEDGER_DB, { update: 'ledger0', updates: [{ q: {}, u: { $set: { n: 0 } }, multi: true }] }],
  [LEDGER_DB, { delete: 'ledger0', deletes: [{ q: {}, limit: 0 }] }],
  [LEDGER_DB, { drop: 'ledger0' }],
  [LEDGER_DB, { create: 'mine' }],
  [LEDGER_DB, { dropDatabase: 1 }],
  ['admin', { find: 'system.users' }],
  ['admin', { aggregate: 'system.users', pipeline: [], cursor: {} }],
  ['admin', { usersInfo: 1 }],
  ['admin', { usersInfo: 1, showCredentials: true }],
  ['admin', { usersInfo: { forAllDBs: true }, showCredentials: true }],
  ['admin', { usersInfo: { user: ROOT.username, db: 'admin' }, showCredentials: true }],
  ['local', { find: 'oplog.rs' }],
  ['admin', { createUser: 'other', pwd: 'other', roles: ['root'] }],
  ['admin', { grantRolesToUser: 'quiesce', roles: ['root'] }],
  ['admin', { updateUser: 'root', pwd: 'mine' }],
  ['admin', { setParameter: 1, logLevel: 0 }],
  ['admin', { setDefaultRWConcern: 1, defaultReadConcern: { level: 'local' } }],
  ['admin', { killOp: 1, op: 1 }],
  ['admin', { replSetStepDown: 1 }],
  ['admin', { shutdown: 1 }],
];

function loadOf(client: MongoClient): Load<MongoLedger> {
  const load = new MongoLoad(client, 4);
  return {
    start: async () => {
      load.start();
      await load.progress(20);
    },
    stop: () => load.stop(),
    acked: () => ({ count: load.total, acked: load.acked() }),
  };
}

function controlOf(server: Mongod, relay: Relay): ServerControl {
  const writable = (): Promise<void> =>
    until(async () => (await server.ask({ hello: 1 }))['isWritablePrimary'] === true);
  return {
    kill: async () => {
      await server.signal('SIGKILL');
      await relay.close();
    },
    start: async () => {
      await server.start();
      await relay.open();
      await writable();
    },
    stall: () => server.signal('SIGSTOP'),
    resume: async () => {
      await server.signal('SIGCONT');
      await writable();
    },
  };
}
