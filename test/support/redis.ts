import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Redis } from 'ioredis';
import { freePort } from '../../src/demo/embedded-postgres.ts';

/**
 * The servers tests run on: those of the distribution, and whatever else QUIESCE_TEST_REDIS_SERVERS
 * names (paths, separated by colons).
 */
export const SERVERS: readonly string[] = [
  'redis-server',
  'valkey-server',
  ...(process.env['QUIESCE_TEST_REDIS_SERVERS']?.split(':').filter((path) => path !== '') ?? []),
];

export interface RedisServerOptions {
  /** Name on PATH, or path. */
  readonly binary: string;
  readonly dir: string;
  /** Lines of the configuration file, after those of the fixture. */
  readonly config?: readonly string[];
  readonly port?: number;
  /** Password of the user `default`, for the admin connection. */
  readonly password?: string;
  readonly tls?: { readonly ca: string };
}

/** A real server on a random port, killed with the test. */
export class RedisServer {
  readonly options: RedisServerOptions;
  readonly port: number;
  #child: ChildProcess | undefined;
  #admin: Redis | undefined;
  output = '';

  private constructor(options: RedisServerOptions, port: number) {
    this.options = options;
    this.port = port;
  }

  static async start(options: RedisServerOptions): Promise<RedisServer> {
    await mkdir(options.dir, { recursive: true });
    const server = new RedisServer(options, options.port ?? (await freePort()));
    await server.start();
    return server;
  }

  get pid(): number {
    return this.#child?.pid ?? 0;
  }

  /** As the superuser. Opened anew after a restart. */
  get admin(): Redis {
    if (!this.#admin) throw new Error('the server is not running');
    return this.#admin;
  }

  async start(): Promise<void> {
    const { binary, dir, config = [] } = this.options;
    const port = this.options.tls ? [`port 0`, `tls-port ${this.port}`] : [`port ${this.port}`];
    const lines = [...port, 'bind 127.0.0.1', `dir ${dir}`, 'daemonize no', ...config];
    const child = spawn(binary, ['-'], { stdio: ['pipe', 'pipe', 'pipe'], detached: false });
    this.#child = child;
    const collect = (chunk: Buffer): void => void (this.output += chunk.toString());
    child.stdout.on('data', collect);
    child.stderr.on('data', collect);
    child.on('error', (error) => (this.output += error.message));
    child.stdin.end(`${lines.join('\n')}\n`);
    this.#admin = this.connect();
    const deadline = Date.now() + 20_000;
    for (;;) {
      const answer = await this.#admin.info('persistence').catch(() => '');
      if (/loading:0/.test(answer)) return;
      if (child.exitCode !== null || Date.now() > deadline) {
        throw new Error(`${binary} does not start: ${this.output.slice(-2_000)}`);
      }
      await sleep(20);
    }
  }

  /** A connection as the superuser; it connects again by itself. */
  connect(options: { readonly queue?: boolean } = {}): Redis {
    const { password, tls } = this.options;
    const redis = new Redis({
      host: '127.0.0.1',
      port: this.port,
      protocol: 2,
      maxRetriesPerRequest: 1,
      enableOfflineQueue: options.queue ?? true,
      retryStrategy: () => 50,
      ...(password === undefined ? {} : { password }),
      ...(tls ? { tls: { ca: tls.ca } } : {}),
    });
    redis.on('error', () => undefined);
    return redis;
  }

  async config(name: string): Promise<string> {
    const reply = (await this.admin.call('CONFIG', 'GET', name)) as string[];
    return reply[1] ?? '';
  }

  async info(field: string): Promise<string> {
    const text = await this.admin.info();
    return new RegExp(`^${field}:(.*)$`, 'm').exec(text)?.[1]?.trim() ?? '';
  }

  async signal(name: NodeJS.Signals): Promise<void> {
    const child = this.#child;
    if (!child || child.exitCode !== null || child.signalCode !== null) return;
    const ends = name !== 'SIGSTOP' && name !== 'SIGCONT';
    const closed = ends ? once(child, 'close') : undefined;
    child.kill(name);
    await closed;
    if (ends) this.#admin?.disconnect();
  }

  async kill(): Promise<void> {
    await this.signal('SIGKILL');
  }

  /** The environment of a sidecar beside it. */
  env(user?: { readonly name: string; readonly password: string }): Record<string, string> {
    return {
      QUIESCE_ENGINE: 'redis',
      REDIS_HOST: '127.0.0.1',
      REDIS_PORT: String(this.port),
      ...(user ? { REDIS_USERNAME: user.name, REDIS_PASSWORD: user.password } : {}),
    };
  }
}

/** Eight writers, each counting up its own key, and what the server has acknowledged to them. */
export class RedisLoad {
  readonly acked: number[];
  /** The longest that a write waited for its answer, in milliseconds. */
  longestMs = 0;
  readonly #server: RedisServer;
  readonly #clients: Redis[] = [];
  #running = false;
  #done: Promise<unknown> = Promise.resolve();

  constructor(server: RedisServer, writers = 8) {
    this.#server = server;
    this.acked = Array.from({ length: writers }, () => 0);
  }

  start(): void {
    this.#running = true;
    this.#done = Promise.all(this.acked.map((_none, writer) => this.#write(writer)));
  }

  async stop(): Promise<void> {
    this.#running = false;
    for (const client of this.#clients.splice(0)) client.disconnect();
    await this.#done;
  }

  get total(): number {
    return this.acked.reduce((sum, count) => sum + count, 0);
  }

  async #write(writer: number): Promise<void> {
    // Without a queue: what is not sent at once fails at once.
    const client = this.#server.connect({ queue: false });
    this.#clients.push(client);
    const padding = 'x'.repeat(100);
    while (this.#running) {
      const next = (this.acked[writer] ?? 0) + 1;
      const begun = performance.now();
      const answer = await client.set(`writer:${writer}`, `${next}:${padding}`).catch(() => null);
      this.longestMs = Math.max(this.longestMs, performance.now() - begun);
      if (answer === 'OK') this.acked[writer] = next;
      else await sleep(10);
    }
  }
}

/** How many acknowledged writes a server lacks. */
export async function missingOn(server: RedisServer, acked: readonly number[]): Promise<number> {
  let missing = 0;
  for (const [writer, count] of acked.entries()) {
    const value = await server.admin.get(`writer:${writer}`);
    missing += Math.max(0, count - Number(value?.split(':')[0] ?? 0));
  }
  return missing;
}

/** Removed with everything in it by the function returned. */
export async function redisFolder(): Promise<{ dir: string; remove: () => Promise<void> }> {
  const dir = await mkdtemp(join(tmpdir(), 'quiesce-redis-'));
  await chmod(dir, 0o755);
  return { dir, remove: () => rm(dir, { recursive: true, force: true }) };
}
