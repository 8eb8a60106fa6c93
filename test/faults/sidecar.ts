import { type ChildProcess, spawn } from 'node:child_process';
import { request } from 'node:http';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Status } from '../../src/http/control.ts';
import { freePort } from '../../src/testbed/postgres/server.ts';
import { cleanEnv, cliPath, get } from '../../src/testbed/processes.ts';

export interface ApiOptions {
  readonly withinMs?: number;
  readonly headers?: Readonly<Record<string, string>>;
}

export interface Reply {
  readonly status: number;
  readonly body: Readonly<Record<string, unknown>>;
}

const READY_WITHIN_MS = 25_000;

/**
 * A real sidecar that is restarted as a kubelet does: whenever its process ends, a new one starts on the
 * same state a moment later, until `close`.
 */
export class Sidecar {
  readonly socket: string;
  readonly stateDir: string;
  readonly #env: Readonly<Record<string, string>>;
  #child: ChildProcess | undefined;
  #metricsPort = 0;
  #closing = false;
  #ended: Promise<void> = Promise.resolve();
  /** Log lines since this was last emptied. */
  log: string[] = [];
  restarts = 0;
  onLine: (line: string) => void = () => undefined;
  onExit: () => void = () => undefined;
  /** Delay before a restart, in milliseconds. */
  backoffMs = 100;

  constructor(dir: string, env: Readonly<Record<string, string>>) {
    this.socket = join(dir, 'control.sock');
    this.stateDir = join(dir, 'state');
    this.#env = env;
  }

  get pid(): number | undefined {
    const child = this.#child;
    return child?.exitCode === null && child.signalCode === null ? child.pid : undefined;
  }

  async start(): Promise<void> {
    this.#metricsPort = await freePort();
    this.#spawn();
  }

  #spawn(): void {
    const child = spawn(process.execPath, [cliPath(), 'sidecar'], {
      env: cleanEnv({
        QUIESCE_STATE_DIR: this.stateDir,
        QUIESCE_SOCKET: this.socket,
        QUIESCE_CONTROL_ADDR: 'off',
        QUIESCE_METRICS_ADDR: `127.0.0.1:${this.#metricsPort}`,
        ...this.#env,
      }),
      // In a session of its own: Ctrl-C ends the harness, which then ends what it started.
      detached: true,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    this.#child = child;
    let rest = '';
    const collect = (chunk: Buffer): void => {
      const lines = (rest + chunk.toString()).split('\n');
      rest = lines.pop() ?? '';
      for (const line of lines) {
        this.log.push(line);
        this.onLine(line);
      }
    };
    child.stdout.on('data', collect);
    child.stderr.on('data', collect);
    this.#ended = new Promise((resolve) => {
      child.once('close', () => {
        resolve();
        this.onExit();
        if (!this.#closing) void this.#again();
      });
    });
  }

  async #again(): Promise<void> {
    this.restarts += 1;
    await sleep(this.backoffMs);
    if (!this.#closing) this.#spawn();
  }

  signal(name: NodeJS.Signals): void {
    this.#child?.kill(name);
  }

  /** Its answer about readiness; `undefined`: it does not answer. */
  async readiness(): Promise<{ readonly status: number; readonly body: string } | undefined> {
    const where = { host: '127.0.0.1', port: this.#metricsPort };
    return await get(where, '/readyz').catch(() => undefined);
  }

  /** Resolves when it is ready; rejects with the end of its log after 25 s. */
  async ready(): Promise<void> {
    const deadline = performance.now() + READY_WITHIN_MS;
    for (;;) {
      const answer = await this.readiness();
      if (answer?.status === 200) return;
      if (performance.now() > deadline) {
        throw new Error(
          `the sidecar is not ready (${answer?.body}): ${this.log.slice(-8).join('\n')}`,
        );
      }
      await sleep(20);
    }
  }

  async close(): Promise<void> {
    this.#closing = true;
    this.signal('SIGCONT');
    this.signal('SIGKILL');
    if (this.pid !== undefined) await this.#ended;
  }

  /** Sends one request over the control socket. Rejects if no answer comes in time. */
  async api(
    method: string,
    path: string,
    body?: unknown,
    { withinMs = 30_000, headers = {} }: ApiOptions = {},
  ): Promise<Reply> {
    const payload = body === undefined ? undefined : JSON.stringify(body);
    return await new Promise((resolve, reject) => {
      const call = request(
        {
          socketPath: this.socket,
          method,
          path,
          agent: false,
          headers:
            payload === undefined ? headers : { 'content-type': 'application/json', ...headers },
          signal: AbortSignal.timeout(withinMs),
        },
        (response) => {
          let text = '';
          response.on('data', (chunk: Buffer) => (text += chunk.toString()));
          response.on('error', reject);
          response.on('end', () => {
            const parsed = JSON.parse(text) as Reply['body'];
            resolve({ status: response.statusCode ?? 0, body: parsed });
          });
        },
      );
      call.on('error', reject);
      call.end(payload);
    });
  }

  async status(): Promise<Status | undefined> {
    const reply = await this.api('GET', '/v1/status', undefined, { withinMs: 3_000 }).catch(
      () => undefined,
    );
    return reply?.status === 200 ? (reply.body as unknown as Status) : undefined;
  }
}
