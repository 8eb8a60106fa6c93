import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { access, constants, mkdir, readFile, stat, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { QuiesceError } from '../errors.ts';
import type { Receipt } from '../receipt/receipt.ts';
import type { DemoCheck } from './checks.ts';
import type { Acknowledged, Comparison, DemoDatabase, DemoLoad, DemoServer } from './database.ts';
import { tool } from '../testbed/os.ts';
import { aclPath, startSidecarIn, type SidecarProcess } from '../testbed/processes.ts';
import { verifyWrites } from '../testbed/redis/ledger.ts';
import { RedisLoad } from '../testbed/redis/load.ts';
import { RedisServer } from '../testbed/redis/server.ts';
import type { Workspace } from '../testbed/workspace.ts';

const NAMES = ['redis-server', 'valkey-server'] as const;
const DATA = 'data';
const DEFAULTS = ['appendonly yes', 'appendfsync everysec', 'save ""'] as const;
/** Keeps eight writers from saturating the processors of a small machine. */
const THINK_MS = 6;
const WRITERS = 8;
const REWRITE_WITHIN_MS = 30_000;

/** The sidecar's user, created as an administrator would with roles/redis.acl. */
interface User {
  readonly name: 'quiesce';
  /** The line for the configuration; contains the password. */
  readonly acl: string;
  readonly passwordFile: string;
}

/** The demo on a Redis or Valkey of this machine. */
export class RedisDemo implements DemoDatabase {
  readonly engine = 'redis';
  readonly words = { writers: 'write', writes: 'writes', commits: 'writes', rate: 'writes/s' };
  readonly product: string;
  readonly title: string;
  readonly #binary: string;
  #source: RedisServer | undefined;
  #user: User | undefined;

  private constructor(binary: string, product: string, version: string) {
    this.#binary = binary;
    this.product = product;
    this.title = `${product} ${version}`;
  }

  /**
   * @param wanted a server's name on PATH, or its path; default: redis-server, else valkey-server.
   * @throws QuiesceError `USAGE` if none is found, with the command that installs one.
   */
  static async find(wanted: string | undefined): Promise<RedisDemo> {
    for (const name of wanted === undefined ? NAMES : [wanted]) {
      const path = await onPath(name);
      const version = path === undefined ? '' : await tool(path, '--version').catch(() => '');
      const match = /^(Redis|Valkey) server v=(\S+)/.exec(version);
      if (path !== undefined && match) return new RedisDemo(path, match[1] ?? '', match[2] ?? '');
    }
    const reason =
      wanted === undefined
        ? 'neither redis-server nor valkey-server is on PATH'
        : `'${wanted}' is not a Redis or Valkey server that runs here`;
    throw new QuiesceError(
      'USAGE',
      `${wanted === undefined ? '--engine redis' : '--server'}: ${reason}.`,
      {
        field: wanted === undefined ? '--engine' : '--server',
        hint: 'Install one: apt-get install redis-server (or valkey-server); dnf install valkey; brew install redis.',
      },
    );
  }

  get pid(): number | undefined {
    return this.#source?.pid;
  }

  async start(workspace: Workspace, volume: string): Promise<DemoServer> {
    this.#user ??= await makeUser(workspace);
    const made = await this.#start(workspace, { name: 'source', volume, config: DEFAULTS });
    this.#source = made.server;
    return made;
  }

  /** Takes the settings of the receipt: a server set to load files that the copy lacks starts empty. */
  async startOn(workspace: Workspace, copy: string, { restore }: Receipt): Promise<DemoServer> {
    const names = ['appendonly', 'save', 'dbfilename', 'appendfilename', 'appenddirname'];
    const config = names.flatMap((name) => {
      const value = restore?.[name];
      return typeof value === 'string' ? [`${name} ${value === '' ? '""' : value}`] : [];
    });
    return await this.#start(workspace, { name: 'restored', volume: copy, config });
  }

  async #start(
    workspace: Workspace,
    place: { readonly name: string; readonly volume: string; readonly config: readonly string[] },
  ): Promise<RedisDemoServer> {
    const user = (this.#user ??= await makeUser(workspace));
    const dir = join(place.volume, DATA);
    await mkdir(dir, { recursive: true });
    const server = await RedisServer.start({
      binary: this.#binary,
      dir,
      config: [...place.config, user.acl],
      logFile: join(workspace.dir, `${place.name}.log`),
    });
    await workspace.defer(() => server.kill());
    await workspace.record(server.pid);
    return new RedisDemoServer(workspace, server, place.volume, user);
  }
}

class RedisDemoServer implements DemoServer {
  readonly server: RedisServer;
  readonly port: number;
  readonly load: DemoLoad;
  readonly shell: string;
  readonly #workspace: Workspace;
  readonly #volume: string;
  readonly #user: User;

  constructor(workspace: Workspace, server: RedisServer, volume: string, user: User) {
    this.#workspace = workspace;
    this.server = server;
    this.#volume = volume;
    this.#user = user;
    this.port = server.port;
    this.shell = `${clientOf(server.options.binary)} -p ${this.port}`;
    this.load = makeLoad(server);
  }

  startSidecar(name: string): Promise<SidecarProcess> {
    return startSidecarIn(this.#workspace, name, {
      engine: 'redis',
      dataDir: this.#volume,
      app: 'demo',
      connection: {
        REDIS_HOST: '127.0.0.1',
        REDIS_PORT: String(this.port),
        REDIS_USERNAME: this.#user.name,
        REDIS_PASSWORD_FILE: this.#user.passwordFile,
      },
    });
  }

  async describeData(): Promise<string> {
    const keys = await this.server.admin.dbsize();
    const bytes = Number(await this.server.info('used_memory_dataset'));
    return `${(bytes / 2 ** 20).toFixed(1)} MB in ${keys} keys`;
  }

  async compare(acknowledged: Acknowledged): Promise<Comparison> {
    const { acked } = acknowledged as RedisAcknowledged;
    const report = await verifyWrites(this.server.admin, acked);
    return { checks: report.checks, found: report.rows, beyond: report.beyond };
  }

  async examine(): Promise<readonly DemoCheck[]> {
    return [await checkAof(this.server), await checkWritable(this.server)];
  }

  async leftovers(): Promise<readonly string[]> {
    const receipt = join(this.#volume, '.quiesce/receipt.json');
    const found = await stat(receipt).catch(() => undefined);
    const expected = { 'auto-aof-rewrite-percentage': '100', appendfsync: 'everysec', save: '' };
    const settings = await Promise.all(
      Object.entries(expected).map(async ([name, was]) => {
        const now = await this.server.config(name);
        return now === was ? [] : [`${name} ${now}`];
      }),
    );
    return [...(found ? [receipt] : []), ...settings.flat()];
  }

  leave(): void {
    this.server.leave();
  }
}

interface RedisAcknowledged extends Acknowledged {
  readonly acked: readonly number[];
}

function makeLoad(server: RedisServer): DemoLoad {
  const load = new RedisLoad(server, WRITERS, { keep: 'every', thinkMs: THINK_MS });
  return {
    clients: WRITERS,
    latencies: load.latencies,
    prepare: () => Promise.resolve(),
    start: async () => load.start(),
    stop: (withinMs = 5_000) => load.stop(withinMs),
    acknowledged: (): RedisAcknowledged => ({ count: load.total, acked: [...load.acked] }),
    trouble: () => load.errors,
  };
}

async function makeUser(workspace: Workspace): Promise<User> {
  const password = randomBytes(18).toString('base64url');
  const passwordFile = join(workspace.dir, 'user-password');
  await writeFile(passwordFile, `${password}\n`, { mode: 0o600 });
  const text = await readFile(aclPath(), 'utf8');
  const line = text.split('\n').find((each) => each.startsWith('user quiesce ')) ?? '';
  return { name: 'quiesce', acl: line.replace('<password>', password), passwordFile };
}

/** Runs `redis-check-aof`: the server's own binary under that name, as its argv[0] decides. */
async function checkAof(server: RedisServer): Promise<DemoCheck> {
  const { binary, dir } = server.options;
  const checker = `${/valkey/i.test(basename(binary)) ? 'valkey' : 'redis'}-check-aof`;
  const manifest = join(dir, 'appendonlydir', 'appendonly.aof.manifest');
  const multiPart = (await stat(manifest).catch(() => undefined)) !== undefined;
  const file = multiPart ? manifest : join(dir, 'appendonly.aof');
  const child = spawn(binary, [file], { argv0: checker, stdio: ['ignore', 'pipe', 'ignore'] });
  let output = '';
  child.stdout.on('data', (chunk: Buffer) => (output += chunk.toString()));
  const [code] = (await once(child, 'close')) as [number | null];
  const why = output.trim().split('\n').at(-1) ?? '';
  const message = code === 0 ? `${basename(file)} is valid` : `exit ${code}: ${why}`;
  return { name: 'check-aof', ok: code === 0, message: `${checker}: ${message}` };
}

async function checkWritable(server: RedisServer): Promise<DemoCheck> {
  const { admin } = server;
  await admin.set('written-after-restore', '1');
  await admin.call('BGREWRITEAOF');
  const deadline = performance.now() + REWRITE_WITHIN_MS;
  for (;;) {
    const [running, scheduled] = [
      await server.info('aof_rewrite_in_progress'),
      await server.info('aof_rewrite_scheduled'),
    ];
    if (running === '0' && scheduled === '0') break;
    if (performance.now() > deadline) break;
    await sleep(20);
  }
  const ok = (await server.info('aof_last_bgrewrite_status')) === 'ok';
  const good = 'the restored server accepts writes and a BGREWRITEAOF';
  return {
    name: 'writable',
    ok,
    message: ok ? good : 'the BGREWRITEAOF of the restored server failed',
  };
}

function clientOf(binary: string): string {
  return /valkey/i.test(basename(binary)) ? 'valkey-cli' : 'redis-cli';
}

async function onPath(name: string): Promise<string | undefined> {
  const folders = (process.env['PATH'] ?? '').split(':').filter((folder) => folder !== '');
  const paths = name.includes('/') ? [name] : folders.map((folder) => join(folder, name));
  for (const path of paths) {
    const runs = await access(path, constants.X_OK).then(
      () => true,
      () => false,
    );
    if (runs) return path;
  }
  return undefined;
}
