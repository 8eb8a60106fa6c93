import { type ChildProcess, spawn, type StdioOptions } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, open, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Redis } from 'ioredis';
import { freePort } from '../postgres/server.ts';

export interface RedisServerOptions {
  /** A name on PATH, or a path. */
  readonly binary: string;
  readonly dir: string;
  /** Lines of configuration, after this class's own. */
  readonly config?: readonly string[];
  readonly port?: number;
  /** Reads the configuration from `redis.conf` in `dir`, as CONFIG REWRITE needs a file. */
  readonly file?: boolean;
  /** The password of the user `default`, for the admin connection. */
  readonly password?: string;
  readonly tls?: { readonly ca: string };
  /**
   * A file for the server's output, instead of this process. The server then runs in its own session:
   * Ctrl-C does not reach it, and it outlives this process unless it is stopped.
   */
  readonly logFile?: string;
}

const READY_WITHIN_MS = 60_000;
const START_ATTEMPTS = 5;

/** A real Redis or Valkey on a loopback port. */
export class RedisServer {
  readonly options: RedisServerOptions;
  #port: number;
  #child: ChildProcess | undefined;
  #admin: Redis | undefined;
  output = '';

  private constructor(options: RedisServerOptions, port: number) {
    this.options = options;
    this.#port = port;
  }

  static async start(options: RedisServerOptions): Promise<RedisServer> {
    await mkdir(options.dir, { recursive: true });
    const server = new RedisServer(options, options.port ?? (await freePort()));
    for (let attempt = 1; ; attempt += 1) {
      try {
        await server.start();
        return server;
      } catch (error) {
        // Another process may have taken the port since it was found free.
        const taken = /address already in use/i.test(await server.#allOutput());
        if (options.port !== undefined || attempt === START_ATTEMPTS || !taken) throw error;
        server.#port = await freePort();
      }
    }
  }

  /** Fixed after the first start: a restart keeps it. */
  get port(): number {
    return this.#port;
  }

  /** 0 while the server does not run. */
  get pid(): number {
    const child = this.#child;
    return child?.exitCode === null && child.signalCode === null ? (child.pid ?? 0) : 0;
  }

  /** A superuser connection, opened again at each start. */
  get admin(): Redis {
    if (!this.#admin) throw new Error('the server is not running');
    return this.#admin;
  }

  /**
   * Starts the server and waits until it has loaded its data. Rejects with the end of its output if it
   * exits or is not ready after 60 s.
   */
  async start(): Promise<void> {
    const { binary, dir, config = [] } = this.options;
    const port = this.options.tls ? [`port 0`, `tls-port ${this.port}`] : [`port ${this.port}`];
    const lines = [...port, 'bind 127.0.0.1', `dir ${dir}`, 'daemonize no', ...config];
    this.output = '';
    const file = join(dir, 'redis.conf');
    if (this.options.file) await writeFile(file, `${lines.join('\n')}\n`, { mode: 0o600 });
    const child = await this.#spawn(binary, this.options.file ? file : '-');
    this.#child = child;
    child.on('error', (error) => (this.output += error.message));
    child.stdin?.on('error', () => undefined);
    // Not as arguments, which other users can see: the configuration may contain a password.
    child.stdin?.end(`${lines.join('\n')}\n`);
    this.#admin?.disconnect();
    this.#admin = this.connect();
    const deadline = Date.now() + READY_WITHIN_MS;
    for (;;) {
      const answer = await this.#admin.info().catch(() => '');
      // Another server may have taken the port first: accept only the answer of this process.
      const ours = answer.includes(`process_id:${child.pid}\r`);
      if (ours && /^loading:0/m.test(answer)) return;
      if (child.exitCode !== null || Date.now() > deadline) {
        this.#admin.disconnect();
        child.kill('SIGKILL');
        throw new Error(`${binary} does not start: ${(await this.#allOutput()).slice(-2_000)}`);
      }
      await sleep(20);
    }
  }

  async #spawn(binary: string, config: string): Promise<ChildProcess> {
    const { logFile } = this.options;
    if (logFile !== undefined) {
      const log = await open(logFile, 'a', 0o600);
      try {
        const stdio: StdioOptions = ['pipe', log.fd, log.fd];
        return spawn(binary, [config], { stdio, detached: true, cwd: '/' });
      } finally {
        await log.close();
      }
    }
    const child = spawn(binary, [config], { stdio: 'pipe' });
    const collect = (chunk: Buffer): void => void (this.output += chunk.toString());
    child.stdout.on('data', collect);
    child.stderr.on('data', collect);
    return child;
  }

  async #allOutput(): Promise<string> {
    const { logFile } = this.options;
    const logged = logFile === undefined ? '' : await readFile(logFile, 'utf8').catch(() => '');
    return this.output + logged;
  }

  /** A superuser connection that reconnects by itself. */
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

  /** Lets this process exit while the server keeps running; needs a `logFile`. */
  leave(): void {
    this.#admin?.disconnect();
    this.#child?.unref();
  }

  /** The environment of a sidecar for this server. */
  env(user?: { readonly name: string; readonly password: string }): Record<string, string> {
    return {
      QUIESCE_ENGINE: 'redis',
      REDIS_HOST: '127.0.0.1',
      REDIS_PORT: String(this.port),
      ...(user ? { REDIS_USERNAME: user.name, REDIS_PASSWORD: user.password } : {}),
    };
  }
}
