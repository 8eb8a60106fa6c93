import { type ChildProcess, spawn, type SpawnOptions } from 'node:child_process';
import { once } from 'node:events';
import { constants, existsSync, readFileSync } from 'node:fs';
import {
  chmod,
  chown,
  cp,
  mkdir,
  mkdtemp,
  open,
  readFile,
  rename,
  rm,
  stat,
  symlink,
  writeFile,
} from 'node:fs/promises';
import { createRequire } from 'node:module';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import type { ClientConfig } from 'pg';

/** The user that a server runs as: PostgreSQL refuses to run as root. */
export interface ServerUser {
  readonly name: string;
  readonly uid: number;
  readonly gid: number;
}

/** The unprivileged user for servers if this process is root; otherwise `undefined`. */
export async function serverUser(): Promise<ServerUser | undefined> {
  if (process.getuid?.() !== 0) return undefined;
  const passwd = await readFile('/etc/passwd', 'utf8');
  for (const wanted of ['postgres', 'nobody', 'daemon']) {
    const line = passwd.split('\n').find((entry) => entry.startsWith(`${wanted}:`));
    const [name, , uid, gid] = line?.split(':') ?? [];
    if (name && Number(uid) > 0) return { name, uid: Number(uid), gid: Number(gid) };
  }
  throw new Error(
    'This process is root, and /etc/passwd has no unprivileged user that PostgreSQL could run as.',
  );
}

/**
 * Makes the platform package's binaries runnable by `serverUser()`. Copies them out of the checkout,
 * which may be in a folder that only root may enter, and makes the library links that the package's
 * install script makes, as npm may be configured to skip scripts.
 *
 * @returns the folder that holds `bin/`, `lib/`, `share/`.
 */
export async function stageBinaries(major: number): Promise<string> {
  const name = `pg${major}-${process.platform}-${process.arch}`;
  const manifest = resolvePackage(name);
  if (!manifest) {
    throw new Error(
      `No PostgreSQL ${major} binaries for ${process.platform}-${process.arch}: the optional package ${name} is not installed. Run npm ci.`,
    );
  }
  const { version } = JSON.parse(await readFile(manifest, 'utf8')) as { version: string };
  const target = join(tmpdir(), `quiesce-pg-${process.getuid?.() ?? 0}-${version}`);
  if (await isOurs(target)) return join(target, 'native');
  const staging = await mkdtemp(`${target}-`);
  await cp(dirname(manifest), staging, { recursive: true, mode: constants.COPYFILE_FICLONE });
  await linkLibraries(staging);
  await chmod(staging, 0o755);
  try {
    await rename(staging, target);
  } catch {
    // Another process staged the same version first, or another user owns the name.
    if (!(await isOurs(target))) return join(staging, 'native');
    await rm(staging, { recursive: true, force: true });
  }
  return join(target, 'native');
}

function resolvePackage(name: string): string | undefined {
  try {
    return createRequire(import.meta.url).resolve(`${name}/package.json`);
  } catch {
    // The package's `exports` hides its manifest from resolve(), so look where npm puts it.
    for (const base of createRequire(import.meta.url).resolve.paths(name) ?? []) {
      try {
        return createRequire(import.meta.url).resolve(join(base, name, 'package.json'));
      } catch {
        continue;
      }
    }
    return undefined;
  }
}

async function isOurs(dir: string): Promise<boolean> {
  const info = await stat(dir).catch(() => undefined);
  return info !== undefined && info.uid === process.getuid?.() && (info.mode & 0o022) === 0;
}

async function linkLibraries(root: string): Promise<void> {
  const text = await readFile(join(root, 'native/pg-symlinks.json'), 'utf8').catch(() => '[]');
  for (const link of JSON.parse(text) as { source: string; target: string }[]) {
    await symlink(basename(link.source), join(root, link.target)).catch(() => undefined);
  }
}

/** A TCP port on 127.0.0.1 that was free just now; another process may still take it. */
export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  server.close();
  await once(server, 'close');
  if (address === null || typeof address === 'string') throw new Error('no TCP address');
  return address.port;
}

export interface EmbeddedOptions {
  /** 13 … 18 (12 for tests of refusals). */
  readonly major: number;
  /** PGDATA, which `initdb` creates. Its parent must exist. */
  readonly dataDir: string;
  readonly port: number;
  /** Folder for the Unix socket, created if missing; keep it short, as socket paths are limited. */
  readonly socketDir: string;
  /** Settings of postgresql.conf that the server gets as arguments at each start. */
  readonly settings?: Readonly<Record<string, string>>;
  readonly initdbArgs?: readonly string[];
  /**
   * A file for the server's output, instead of this process. The server then runs in its own session:
   * Ctrl-C does not reach it, and it outlives this process unless it is stopped.
   */
  readonly logFile?: string;
}

const READY_WITHIN_MS = 30_000;

/** A real PostgreSQL from the npm platform packages. Superuser `postgres`, password `postgres`. */
export class EmbeddedPostgres {
  readonly options: EmbeddedOptions;
  readonly native: string;
  readonly user: ServerUser | undefined;
  #child: ChildProcess | undefined;
  #log = '';

  private constructor(options: EmbeddedOptions, native: string, user: ServerUser | undefined) {
    this.options = options;
    this.native = native;
    this.user = user;
  }

  /** Prepares binaries and folders; does not start and does not `initdb`. */
  static async at(options: EmbeddedOptions): Promise<EmbeddedPostgres> {
    const server = new EmbeddedPostgres(
      options,
      await stageBinaries(options.major),
      await serverUser(),
    );
    await mkdir(options.socketDir, { recursive: true });
    await server.own(options.socketDir);
    return server;
  }

  /** Makes the server's user the owner of a path, if that is another user. */
  async own(path: string): Promise<void> {
    if (this.user) await chown(path, this.user.uid, this.user.gid);
  }

  /** The output of the server and its tools so far; at most the last 200,000 characters of each. */
  get log(): string {
    const { logFile } = this.options;
    if (logFile === undefined || !existsSync(logFile)) return this.#log;
    return this.#log + readFileSync(logFile, 'utf8').slice(-200_000);
  }

  /** The postmaster's process id. */
  get pid(): number | undefined {
    return this.#child?.pid;
  }

  /** libpq's environment for a superuser connection. */
  env(over: 'tcp' | 'socket' = 'tcp'): Record<string, string> {
    const { port, socketDir } = this.options;
    return {
      PGHOST: over === 'tcp' ? '127.0.0.1' : socketDir,
      PGPORT: String(port),
      PGUSER: 'postgres',
      PGPASSWORD: 'postgres',
      PGDATABASE: 'postgres',
    };
  }

  /** Settings for a superuser connection over TCP. */
  superuser(database = 'postgres'): ClientConfig {
    const { port } = this.options;
    return { host: '127.0.0.1', port, user: 'postgres', password: 'postgres', database };
  }

  /** Creates a new cluster. Local connections are trusted; TCP connections need a SCRAM password. */
  async initdb(): Promise<void> {
    const { dataDir, initdbArgs = [] } = this.options;
    await mkdir(dataDir, { recursive: true, mode: 0o700 });
    await this.own(dataDir);
    const password = `${this.options.socketDir}/pw`;
    await writeFile(password, 'postgres\n', { mode: 0o600 });
    await this.own(password);
    const fixed = ['--locale=C', '-E', 'UTF8', '--auth-local=trust', '--auth-host=scram-sha-256'];
    const child = this.#spawn('initdb', [
      '-D',
      dataDir,
      '-U',
      'postgres',
      `--pwfile=${password}`,
      '-N',
      ...fixed,
      ...initdbArgs,
    ]);
    const [code] = (await once(child, 'close')) as [number | null];
    await rm(password, { force: true });
    if (code !== 0) throw new Error(`initdb failed (${code}): ${this.#log.slice(-2_000)}`);
  }

  /**
   * Starts the server and waits until it accepts connections. Rejects with the end of its log if it
   * exits or is not ready after 30 s.
   */
  async start(): Promise<void> {
    const { dataDir, port, socketDir, settings = {} } = this.options;
    const args = [
      '-D',
      dataDir,
      '-p',
      String(port),
      '-k',
      socketDir,
      '-c',
      'listen_addresses=127.0.0.1',
    ];
    for (const [name, value] of Object.entries(settings)) args.push('-c', `${name}=${value}`);
    this.#log = '';
    const child = await this.#spawnServer(args);
    this.#child = child;
    const deadline = Date.now() + READY_WITHIN_MS;
    while (!(await this.#accepts())) {
      if (child.exitCode !== null || child.signalCode !== null) {
        throw new Error(`PostgreSQL did not start: ${this.log.slice(-3_000)}`);
      }
      if (Date.now() > deadline)
        throw new Error(`PostgreSQL is not ready: ${this.log.slice(-3_000)}`);
      await new Promise((resolve) => setTimeout(resolve, 30));
    }
  }

  /** Line 8 of postmaster.pid is `ready` (or `standby`) once connections are accepted. */
  async #accepts(): Promise<boolean> {
    const pidFile = await readFile(join(this.options.dataDir, 'postmaster.pid'), 'utf8').catch(
      () => '',
    );
    const lines = pidFile.split('\n');
    return Number(lines[0]) === this.#child?.pid && /^(ready|standby)/.test(lines[7] ?? '');
  }

  /** Lets this process exit while the server keeps running; needs a `logFile`. */
  leave(): void {
    this.#child?.unref();
  }

  /** Stops the server as `pg_ctl stop -m MODE` does, and waits until it has exited. */
  async stop(mode: 'smart' | 'fast' | 'immediate' = 'fast'): Promise<void> {
    await this.#endWith(
      { smart: 'SIGTERM', fast: 'SIGINT', immediate: 'SIGQUIT' }[mode] as NodeJS.Signals,
    );
  }

  /** Kills the postmaster with SIGKILL; its children then exit by themselves. */
  async kill(): Promise<void> {
    await this.#endWith('SIGKILL');
  }

  async #endWith(signal: NodeJS.Signals): Promise<void> {
    const child = this.#child;
    if (!child || child.exitCode !== null || child.signalCode !== null) return;
    const closed = once(child, 'close');
    child.kill(signal);
    await closed;
    this.#child = undefined;
  }

  async #spawnServer(args: readonly string[]): Promise<ChildProcess> {
    const { logFile } = this.options;
    if (logFile === undefined) return this.#spawn('postgres', args);
    const output = await open(logFile, 'a', 0o600);
    try {
      const options: SpawnOptions = { detached: true, stdio: ['ignore', output.fd, output.fd] };
      return spawn(join(this.native, 'bin', 'postgres'), args, {
        ...this.#spawnOptions(),
        ...options,
      });
    } finally {
      await output.close();
    }
  }

  #spawnOptions(): SpawnOptions {
    const owner = this.user ? { uid: this.user.uid, gid: this.user.gid } : {};
    const path = process.env['PATH'] ?? '';
    const env = { PATH: path, LD_LIBRARY_PATH: join(this.native, 'lib'), LC_ALL: 'C', TZ: 'UTC' };
    return { ...owner, env, cwd: '/' };
  }

  #spawn(tool: 'initdb' | 'postgres', args: readonly string[]): ChildProcess {
    const child = spawn(join(this.native, 'bin', tool), args, {
      ...this.#spawnOptions(),
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const collect = (chunk: Buffer): void => {
      this.#log = (this.#log + chunk.toString()).slice(-200_000);
    };
    child.stdout.on('data', collect);
    child.stderr.on('data', collect);
    return child;
  }
}
