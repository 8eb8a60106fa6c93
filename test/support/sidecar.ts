import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { request } from 'node:http';
import { join } from 'node:path';
import type { Status } from '../../src/http/control.ts';
import { freePort } from '../../src/testbed/postgres/server.ts';
import { cleanEnv, cliPath, type Finished, get, runCli } from '../../src/testbed/processes.ts';

const START_ATTEMPTS = 5;
/** What the log says once it listens. */
const RUNS = 'the sidecar runs';

export interface Reply {
  readonly status: number;
  // oxlint-disable-next-line typescript/no-explicit-any -- tests read answers of any shape
  readonly body: any;
}

/**
 * A real `quiesce sidecar` of the built command, in its own folder. It can be killed and restarted on
 * the same state.
 */
export class TestSidecar {
  readonly dir: string;
  readonly socket: string;
  readonly env: Record<string, string>;
  output = '';
  controlPort = 0;
  metricsPort = 0;
  #child: ChildProcess | undefined;
  readonly #user: { readonly uid: number; readonly gid: number } | undefined;

  /** @param user the user it runs as; default: that of this process */
  constructor(
    dir: string,
    env: Readonly<Record<string, string>>,
    user?: { readonly uid: number; readonly gid: number },
  ) {
    this.dir = dir;
    this.#user = user;
    this.socket = join(dir, 'control.sock');
    this.env = {
      QUIESCE_ENGINE: 'postgres',
      QUIESCE_STATE_DIR: join(dir, 'state'),
      QUIESCE_SOCKET: this.socket,
      ...env,
    };
  }

  get pid(): number {
    return this.#child?.pid ?? 0;
  }

  /** The log's lines, parsed. */
  get log(): Record<string, unknown>[] {
    const lines = this.output.split('\n').filter((line) => line.startsWith('{'));
    return lines.map((line) => JSON.parse(line) as Record<string, unknown>);
  }

  /** Starts it and waits until it answers (`live`) or could freeze (`ready`). */
  async start(until: 'live' | 'ready' = 'ready'): Promise<this> {
    for (let attempt = 1; ; attempt += 1) {
      const before = this.output.length;
      try {
        return await this.#start(until);
      } catch (error) {
        // Another process may have taken a port that was free a moment ago.
        const [, taken] = /:(\d+) \(EADDRINUSE\)/.exec(this.output.slice(before)) ?? [];
        const chosen = [this.controlPort, this.metricsPort].includes(Number(taken));
        if (!chosen || attempt === START_ATTEMPTS) throw error;
      }
    }
  }

  async #start(until: 'live' | 'ready'): Promise<this> {
    this.controlPort = await freePort();
    do this.metricsPort = await freePort();
    while (this.metricsPort === this.controlPort);
    const child = spawn(process.execPath, [cliPath(), 'sidecar'], {
      env: cleanEnv({
        QUIESCE_CONTROL_ADDR: `127.0.0.1:${this.controlPort}`,
        QUIESCE_METRICS_ADDR: `127.0.0.1:${this.metricsPort}`,
        ...this.env,
      }),
      stdio: ['ignore', 'pipe', 'pipe'],
      ...(this.#user && { uid: this.#user.uid, gid: this.#user.gid }),
    });
    this.#child = child;
    const collect = (chunk: Buffer): void => void (this.output += chunk.toString());
    child.stdout.on('data', collect);
    child.stderr.on('data', collect);
    const path = until === 'ready' ? '/readyz' : '/healthz';
    const began = this.output.length;
    // Another's sidecar may have taken the port meanwhile, and would answer in the place of this one.
    const runs = (): boolean =>
      this.output.slice(began).includes(RUNS) || this.env['QUIESCE_LOG_LEVEL'] === 'error';
    const deadline = Date.now() + 45_000;
    for (;;) {
      const answer = await get({ host: '127.0.0.1', port: this.metricsPort }, path).catch(
        () => null,
      );
      if (answer?.status === 200 && runs()) return this;
      if (child.exitCode !== null || Date.now() > deadline) {
        throw new Error(
          `the sidecar is not ${until} (exit ${child.exitCode}): ${this.output.slice(-2_000)}`,
        );
      }
      await new Promise((resolve) => setTimeout(resolve, 25));
    }
  }

  /** Runs it until it ends, for starts that must fail. */
  async refuse(): Promise<Finished> {
    const addresses = { QUIESCE_CONTROL_ADDR: 'off', QUIESCE_METRICS_ADDR: 'off' };
    return await runCli(['sidecar'], { ...addresses, ...this.env }, AbortSignal.timeout(10_000));
  }

  async signal(name: NodeJS.Signals): Promise<void> {
    const child = this.#child;
    if (!child || child.exitCode !== null || child.signalCode !== null) return;
    const closed = name === 'SIGSTOP' || name === 'SIGCONT' ? undefined : once(child, 'close');
    child.kill(name);
    await closed;
  }

  async stop(): Promise<void> {
    await this.signal('SIGTERM');
  }

  cli(...args: string[]): Promise<Finished> {
    return runCli(args, { QUIESCE_SOCKET: this.socket });
  }

  /** Sends one request over the control socket, or over loopback TCP. */
  async api(
    method: string,
    path: string,
    body?: unknown,
    over: 'socket' | 'tcp' = 'socket',
  ): Promise<Reply> {
    const where =
      over === 'socket'
        ? { socketPath: this.socket }
        : { host: '127.0.0.1', port: this.controlPort };
    return await new Promise((resolve, reject) => {
      const headers = body === undefined ? {} : { 'content-type': 'application/json' };
      const call = request({ ...where, method, path, headers, agent: false }, (response) => {
        let text = '';
        response.on('data', (chunk: Buffer) => (text += chunk.toString()));
        response.on('end', () => {
          let parsed: unknown = text;
          try {
            parsed = JSON.parse(text);
          } catch {
            // Not every answer is JSON: /metrics is text.
          }
          resolve({ status: response.statusCode ?? 0, body: parsed });
        });
      });
      call.on('error', reject);
      call.end(body === undefined ? undefined : JSON.stringify(body));
    });
  }

  async status(): Promise<Status> {
    return (await this.api('GET', '/v1/status')).body as Status;
  }

  async metrics(): Promise<string> {
    return (await get({ host: '127.0.0.1', port: this.metricsPort }, '/metrics')).body;
  }
}
