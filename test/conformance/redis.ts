import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Redis } from 'ioredis';
import { makeVolume } from '../../src/testbed/volume/make-volume.ts';
import type { Volume } from '../../src/testbed/volume/volume.ts';
import { makeBlockVolume } from '../support/block-volume.ts';
import {
  aclLine,
  changedSince,
  cutSessionsOf,
  missingOn,
  pauseOf,
  type Policy,
  POLICIES,
  RedisLoad,
  RedisServer,
  sessionsOf,
  settingsOf,
  USER,
  writeOnce,
} from '../support/redis.ts';
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

interface RedisLedger extends Ledger {
  readonly acked: readonly number[];
}

/** A primary with one of the kinds of persistence. */
export function redis(binary: string, policy: Policy): Subject<RedisLedger> {
  return {
    name: `${binary}, ${policy}`,
    engine: 'redis',
    blocksWrites: true,
    mode: policy.startsWith('AOF') ? 'paused-fsynced' : 'paused-saved',
    replica: 'run',
    claims: ['snapshot', 'volumes', 'files'],
    copies: ['snapshot', 'volumes', 'files'],
    copy: 'snapshot',
    deadManMs: 1_500,
    seenInServer: true,
    holdDiesWithItsSession: false,
    outlivesServer: false,
    marksFurtherVolumes: false,
    remembers: true,
    keptAfterThaw: null,
    withoutRight: 'ENGINE_PRIVILEGE',
    right: /ACL SETUSER quiesce \+client\|pause/,
    reasons: { killed: 'server-lost', restarted: 'server-restarted' },
    refusals: [],
    start: (options) => RedisWorld.start(binary, policy, options),
  };
}

class RedisWorld implements World<RedisLedger> {
  readonly volume: Pick<Volume, 'path' | 'snapshot'>;
  readonly marked = [];
  readonly env: Readonly<Record<string, string>>;
  readonly secrets = [USER.password];
  readonly wrongCredentials = { REDIS_PASSWORD: 'wrong-secret-91aa' };
  readonly server: ServerControl;
  readonly load: Load<RedisLedger>;
  readonly #redis: RedisServer;
  readonly #options: StartOptions;
  readonly #before: ReadonlyMap<string, string>;
  readonly #undo: (() => Promise<unknown>)[];

  private constructor(
    options: StartOptions,
    volume: Pick<Volume, 'path' | 'snapshot'>,
    server: RedisServer,
    before: ReadonlyMap<string, string>,
    undo: (() => Promise<unknown>)[],
  ) {
    this.#options = options;
    this.volume = volume;
    this.#redis = server;
    this.#before = before;
    this.#undo = undo;
    this.env = server.env(USER);
    this.server = controlOf(server);
    this.load = loadOf(server);
    undo.push(() => server.kill());
    undo.push(() => this.load.stop());
  }

  static async start(binary: string, policy: Policy, options: StartOptions): Promise<RedisWorld> {
    const undo: (() => Promise<unknown>)[] = [];
    let server: RedisServer | undefined;
    const postmaster = (): number | undefined => server?.pid || undefined;
    const volume =
      options.copy === 'files' && options.disk !== 'block'
        ? await makeVolume(options.dir, { postmaster })
        : await makeBlockVolume(options.dir, { postmaster });
    undo.push(() => volume.dispose());
    try {
      await oldFile(join(volume.path, 'data', EXTRA), '# further settings\n');
      server = await RedisServer.start({
        binary,
        dir: join(volume.path, 'data'),
        config: [...POLICIES[policy], await aclLine(), `include ${EXTRA}`],
      });
      const before = await settingsOf(server);
      return new RedisWorld(options, volume, server, before, undo);
    } catch (error) {
      await server?.kill();
      await volume.dispose();
      throw error;
    }
  }

  write(): Promise<void> {
    return writeOnce(this.#redis);
  }

  held(): Promise<readonly string[]> {
    return pauseOf(this.#redis);
  }

  changed(): Promise<readonly string[]> {
    return changedSince(this.#redis, this.#before);
  }

  sessions(): Promise<number> {
    return sessionsOf(this.#redis);
  }

  async cutSessions(): Promise<void> {
    await cutSessionsOf(this.#redis);
  }

  async revoke(): Promise<void> {
    await this.#redis.admin.call('ACL', 'SETUSER', USER.name, '-client|pause');
  }

  async trespass(): Promise<readonly string[]> {
    const client = new Redis({
      host: '127.0.0.1',
      port: this.#redis.port,
      protocol: 2,
      username: USER.name,
      password: USER.password,
      enableReadyCheck: false,
      disableClientInfo: true,
    });
    client.on('error', () => undefined);
    const able: string[] = [];
    for (const [command = '', ...args] of TRESPASSES) {
      await client.call(command, ...args).then(
        () => able.push(`may ${command} ${args.join(' ')}`),
        () => undefined,
      );
    }
    client.disconnect();
    return able;
  }

  async configure(): Promise<Edit> {
    const edit = { file: `data/${EXTRA}`, line: 'slowlog-max-len 177' };
    await addLine(join(this.volume.path, edit.file), edit.line);
    return edit;
  }

  backup(name: string): Backup {
    const { copy, dir } = this.#options;
    if (copy !== 'files') return snapshotBackup(this.volume, name);
    return fileBackup(this.volume, join(dir, name), 300);
  }

  async copyNow(name: string): Promise<string> {
    return (await this.volume.snapshot(name)).path;
  }

  async restore(dataDir: string): Promise<Restored<RedisLedger>> {
    const { binary, config = [] } = this.#redis.options;
    const server = await RedisServer.start({ binary, config, dir: join(dataDir, 'data') });
    this.#undo.push(() => server.kill());
    return {
      env: server.env(USER),
      missing: async ({ acked }) => {
        const missing = await missingOn(server, acked);
        return missing === 0 ? [] : [`${missing} acknowledged writes are missing`];
      },
      configured: async () => (await server.config('slowlog-max-len')) === '177',
      stop: () => server.kill(),
    };
  }

  async blank(name: string): Promise<Blank> {
    const dataDir = join(this.#options.dir, name);
    await mkdir(join(dataDir, 'data'), { recursive: true });
    await writeFile(join(dataDir, 'data', EXTRA), '');
    const server = await this.restore(dataDir);
    return { dataDir, env: server.env, stop: () => server.stop() };
  }

  async dispose(): Promise<void> {
    for (const undo of this.#undo.splice(0).toReversed()) await undo().catch(() => undefined);
  }
}

/** In the server's folder, in which it looks for files that its configuration includes. */
const EXTRA = 'extra.conf';

const TRESPASSES = [
  ['GET', 'writer:0'],
  ['SET', 'writer:0', 'x'],
  ['DEL', 'writer:0'],
  ['KEYS', '*'],
  ['SCAN', '0'],
  ['FLUSHALL'],
  ['EVAL', 'return 1', '0'],
  ['ACL', 'SETUSER', 'other', 'on'],
  ['REPLICAOF', 'NO', 'ONE'],
  ['DEBUG', 'SLEEP', '0'],
  ['PUBLISH', 'c', 'x'],
  ['SUBSCRIBE', 'c'],
];

function loadOf(server: RedisServer): Load<RedisLedger> {
  const load = new RedisLoad(server);
  return {
    start: () => Promise.resolve(load.start()),
    stop: () => load.stop(),
    acked: () => ({ count: load.total, acked: [...load.acked] }),
  };
}

function controlOf(server: RedisServer): ServerControl {
  return {
    kill: () => server.kill(),
    start: () => server.start(),
    stall: () => server.signal('SIGSTOP'),
    resume: () => server.signal('SIGCONT'),
  };
}
