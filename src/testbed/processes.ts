import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, open, readFile } from 'node:fs/promises';
import { request } from 'node:http';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { packageFile } from './package-file.ts';
import { freePort } from './postgres/server.ts';
import type { Workspace } from './workspace.ts';

export const cliPath = (): string => packageFile('dist/cli.js', 'cli.js');
export const roleSqlPath = (): string => packageFile('roles/postgres.sql');
export const aclPath = (): string => packageFile('roles/redis.acl');

/** The environment without settings that belong to another sidecar or server. */
export function cleanEnv(extra: Readonly<Record<string, string>>): Record<string, string> {
  const inherited = Object.entries(process.env).filter(
    (entry): entry is [string, string] =>
      entry[1] !== undefined && !/^(QUIESCE_|PG|REDIS_|MONGODB_)/.test(entry[0]),
  );
  return { ...Object.fromEntries(inherited), ...extra };
}

export interface Finished {
  /** `null` when a signal ended it. */
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
  /** When it started and when it ended, on the clock of `performance.now()`. */
  readonly begunAt: number;
  readonly endedAt: number;
}

/** Runs the real command line, as a user or a hook does. `signal` sends it SIGTERM. */
export async function runCli(
  args: readonly string[],
  env: Readonly<Record<string, string>>,
  signal?: AbortSignal,
): Promise<Finished> {
  const begunAt = performance.now();
  const child = spawn(process.execPath, [cliPath(), ...args], {
    env: cleanEnv(env),
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const kill = (): void => void child.kill('SIGTERM');
  signal?.addEventListener('abort', kill, { once: true });
  const output = { stdout: '', stderr: '' };
  child.stdout.on('data', (chunk: Buffer) => (output.stdout += chunk.toString()));
  child.stderr.on('data', (chunk: Buffer) => (output.stderr += chunk.toString()));
  try {
    const [code] = (await once(child, 'close')) as [number | null];
    return { code, ...output, begunAt, endedAt: performance.now() };
  } finally {
    signal?.removeEventListener('abort', kill);
  }
}

export interface Answer {
  readonly status: number;
  readonly body: string;
}

/** Sends one GET over a Unix socket or to a loopback port; rejects after 5 s without an answer. */
export async function get(
  where: { readonly socketPath: string } | { readonly host: string; readonly port: number },
  path: string,
): Promise<Answer> {
  return await new Promise((resolve, reject) => {
    const call = request({ ...where, path, timeout: 5_000 }, (response) => {
      let body = '';
      response.on('data', (chunk: Buffer) => (body += chunk.toString()));
      response.on('end', () => resolve({ status: response.statusCode ?? 0, body }));
      response.on('error', reject);
    });
    call.on('timeout', () => call.destroy(new Error('no answer in 5 s')));
    call.on('error', reject);
    call.end();
  });
}

export interface SidecarOptions {
  /** The folder for socket, journal and log. Must exist; keep it short, as socket paths are limited. */
  readonly dir: string;
  /** Where the data is mounted: `QUIESCE_DATA_DIR`. */
  readonly dataDir: string;
  /** The value of QUIESCE_ENGINE. */
  readonly engine: string;
  /** The engine's connection settings; other settings of the sidecar may be among them. */
  readonly connection: Readonly<Record<string, string>>;
  readonly app: string;
}

const READY_WITHIN_MS = 20_000;

/** A real `quiesce sidecar` in its own session, with its log in `sidecar.log`. */
export class SidecarProcess {
  readonly socket: string;
  readonly controlPort: number;
  readonly metricsPort: number;
  readonly logFile: string;
  readonly #child: ChildProcess;

  private constructor(child: ChildProcess, dir: string, controlPort: number, metricsPort: number) {
    this.#child = child;
    this.socket = join(dir, 'control.sock');
    this.logFile = join(dir, 'sidecar.log');
    this.controlPort = controlPort;
    this.metricsPort = metricsPort;
  }

  /** Starts a sidecar; wait for {@link ready} before use. */
  static async start(options: SidecarOptions): Promise<SidecarProcess> {
    const { dir, dataDir, engine, connection, app } = options;
    const [controlPort, metricsPort] = [await freePort(), await freePort()];
    const env = cleanEnv({
      ...connection,
      QUIESCE_ENGINE: engine,
      QUIESCE_APP: app,
      QUIESCE_DATA_DIR: dataDir,
      QUIESCE_STATE_DIR: join(dir, 'state'),
      QUIESCE_SOCKET: join(dir, 'control.sock'),
      QUIESCE_CONTROL_ADDR: `127.0.0.1:${controlPort}`,
      QUIESCE_METRICS_ADDR: `127.0.0.1:${metricsPort}`,
    });
    const output = await open(join(dir, 'sidecar.log'), 'a', 0o600);
    try {
      const child = spawn(process.execPath, [cliPath(), 'sidecar'], {
        env,
        cwd: '/',
        detached: true,
        stdio: ['ignore', output.fd, output.fd],
      });
      return new SidecarProcess(child, dir, controlPort, metricsPort);
    } finally {
      await output.close();
    }
  }

  get pid(): number | undefined {
    return this.#child.pid;
  }

  /** The settings with which the command line reaches it. */
  get env(): Record<string, string> {
    return { QUIESCE_SOCKET: this.socket };
  }

  /**
   * Resolves when `/readyz` answers 200; rejects with the end of the log when the sidecar ends or is not
   * ready after 20 s.
   */
  async ready(signal?: AbortSignal): Promise<void> {
    const deadline = performance.now() + READY_WITHIN_MS;
    const where = { host: '127.0.0.1', port: this.metricsPort };
    for (;;) {
      signal?.throwIfAborted();
      const answer = await get(where, '/readyz').catch(() => undefined);
      if (answer?.status === 200) return;
      const ended = this.#child.exitCode ?? this.#child.signalCode;
      if (ended !== null || performance.now() > deadline) {
        const why = ended === null ? 'is not ready' : `ended (${ended})`;
        throw new Error(`the sidecar ${why}: ${await this.logTail()}`);
      }
      await sleep(30);
    }
  }

  async logTail(lines = 8): Promise<string> {
    const text = await readFile(this.logFile, 'utf8').catch(() => '');
    return text.trimEnd().split('\n').slice(-lines).join('\n');
  }

  /** Lets this process exit while the sidecar keeps running. */
  leave(): void {
    this.#child.unref();
  }

  /** Sends SIGTERM, on which it thaws and exits; kills it after 8 s. */
  async stop(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const closed = once(this.#child, 'close');
    this.#child.kill('SIGTERM');
    const late = setTimeout(() => this.#child.kill('SIGKILL'), 8_000);
    await closed;
    clearTimeout(late);
  }
}

/** Starts a sidecar in its own folder of the workspace, which stops it. It may not be ready yet. */
export async function startSidecarIn(
  workspace: Workspace,
  name: string,
  options: Omit<SidecarOptions, 'dir'>,
): Promise<SidecarProcess> {
  const dir = join(workspace.dir, name);
  await mkdir(dir, { mode: 0o700 });
  const sidecar = await SidecarProcess.start({ ...options, dir });
  await workspace.defer(() => sidecar.stop());
  await workspace.record(sidecar.pid);
  return sidecar;
}
