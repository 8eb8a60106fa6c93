import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { resolve } from 'node:path';
import { freePort } from './webhook.ts';

/** Relative to the root of the checkout, where tests run. */
const CLI = resolve('dist/cli.js');

export interface RunningExporter {
  readonly process: ChildProcess;
  /** `HOST:PORT` of its metrics. */
  readonly address: string;
  /** Everything it has logged so far. */
  log(): string;
  get(path: string): Promise<{ readonly status: number; readonly text: string }>;
  /** The value of one series, as it stands in the exposition; `undefined`: there is none. */
  value(series: string): Promise<number | undefined>;
  stop(signal?: NodeJS.Signals): Promise<number | null>;
}

/** Starts `quiesce exporter` as shipped, on a free port. */
export async function startExporter(
  kubeconfig: string,
  flags: readonly string[] = [],
): Promise<RunningExporter> {
  const port = await freePort();
  const address = `127.0.0.1:${port}`;
  const child = spawn(process.execPath, [CLI, 'exporter', '--metrics-addr', address, ...flags], {
    env: { PATH: process.env['PATH'], KUBECONFIG: kubeconfig },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let log = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => (log += text));
  }
  const get = async (path: string): Promise<{ status: number; text: string }> => {
    try {
      const answer = await fetch(`http://${address}${path}`);
      return { status: answer.status, text: await answer.text() };
    } catch {
      return { status: 0, text: '' };
    }
  };
  return {
    process: child,
    address,
    log: () => log,
    get,
    async value(series) {
      const { text } = await get('/metrics');
      const line = text.split('\n').find((one) => one.startsWith(`${series} `));
      return line === undefined ? undefined : Number(line.slice(series.length + 1));
    },
    async stop(signal = 'SIGTERM') {
      if (child.exitCode !== null || child.signalCode !== null) return child.exitCode;
      child.kill(signal);
      const [code] = (await once(child, 'exit')) as [number | null];
      return code;
    },
  };
}
