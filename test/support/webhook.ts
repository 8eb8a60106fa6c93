import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { request } from 'node:https';
import { createServer } from 'node:net';
import { resolve } from 'node:path';

/** Relative to the root of the checkout, where tests and benchmarks run. */
const CLI = resolve('dist/cli.js');

export interface RunningWebhook {
  readonly port: number;
  readonly metricsPort: number;
  readonly process: ChildProcess;
  /** Everything it has logged so far. */
  log(): string;
  /** Polls /readyz until it has the expected answer. */
  ready(expected?: boolean): Promise<void>;
  metrics(): Promise<string>;
  stop(signal?: NodeJS.Signals): Promise<number | null>;
}

/** Starts `quiesce webhook` as shipped, on free ports. */
export async function startWebhook(
  flags: readonly string[],
  env: Readonly<Record<string, string>> = {},
  cli = CLI,
): Promise<RunningWebhook> {
  const [port, metricsPort] = [await freePort(), await freePort()];
  const args = [
    'webhook',
    '--addr',
    `127.0.0.1:${port}`,
    '--metrics-addr',
    `127.0.0.1:${metricsPort}`,
  ];
  const child = spawn(
    process.execPath,
    [cli, ...args, '--image', 'quiesce:test', '--shutdown-delay', '200ms', ...flags],
    {
      env: { PATH: process.env['PATH'], ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    },
  );
  let log = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => (log += text));
  }
  const get = async (path: string) => fetch(`http://127.0.0.1:${metricsPort}${path}`);
  return {
    port,
    metricsPort,
    process: child,
    log: () => log,
    async ready(expected = true) {
      const end = Date.now() + 60_000;
      while (Date.now() < end) {
        const status = await get('/readyz').then(
          (answer) => answer.status,
          () => 0,
        );
        if (status === (expected ? 200 : 503)) return;
        if (child.exitCode !== null) break;
        await new Promise((resolve) => setTimeout(resolve, 100));
      }
      throw new Error(`the webhook is not ${expected ? 'ready' : 'unready'}: ${log}`);
    },
    metrics: async () => (await get('/metrics')).text(),
    async stop(signal = 'SIGTERM') {
      if (child.exitCode !== null || child.signalCode !== null) return child.exitCode;
      child.kill(signal);
      const [code] = (await once(child, 'exit')) as [number | null];
      return code;
    },
  };
}

export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  const port = typeof address === 'object' ? (address?.port ?? 0) : 0;
  server.close();
  await once(server, 'close');
  return port;
}

export interface Posted {
  readonly status: number;
  readonly body: string;
  /** SHA-256 of the server's certificate. */
  readonly fingerprint: string;
}

/** Sends one request on a new connection, and verifies the certificate. */
export function post(
  port: number,
  ca: string,
  body: string,
  path = '/mutate',
  host = 'localhost',
): Promise<Posted> {
  return new Promise((resolve, reject) => {
    const sent = request(
      {
        host: '127.0.0.1',
        servername: host,
        port,
        path,
        method: 'POST',
        ca,
        agent: false,
        headers: { 'content-type': 'application/json' },
      },
      (answer) => {
        const socket = answer.socket as unknown as {
          getPeerCertificate(): { fingerprint256: string };
        };
        const fingerprint = socket.getPeerCertificate().fingerprint256;
        let text = '';
        answer.setEncoding('utf8').on('data', (part: string) => (text += part));
        answer.on('end', () =>
          resolve({ status: answer.statusCode ?? 0, body: text, fingerprint }),
        );
      },
    );
    sent.on('error', reject);
    sent.end(body);
  });
}
