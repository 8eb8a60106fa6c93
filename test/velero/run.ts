import { spawn } from 'node:child_process';

export interface RunOptions {
  readonly input?: string;
  /** In addition to this process's own. */
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
  /** SIGKILL after this time; 10 minutes by default. */
  readonly timeoutMs?: number;
  /** Gets what it prints on stderr, as it comes. */
  readonly onStderr?: (text: string) => void;
  /** Instead of SIGKILL. */
  readonly killSignal?: NodeJS.Signals;
}

export interface Ran {
  /** `null` when a signal ended it, the timeout included. */
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

const TIMEOUT_MS = 600_000;

/** Runs a program to its end. @throws Error only where it cannot be started */
export async function tryRun(
  program: string,
  args: readonly string[],
  options: RunOptions = {},
): Promise<Ran> {
  const child = spawn(program, args, {
    env: { ...process.env, ...options.env },
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
    timeout: options.timeoutMs ?? TIMEOUT_MS,
    killSignal: options.killSignal ?? 'SIGKILL',
    stdio: ['pipe', 'pipe', 'pipe'],
  });
  const output = { stdout: '', stderr: '' };
  child.stdout.setEncoding('utf8').on('data', (text: string) => (output.stdout += text));
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    output.stderr += text;
    options.onStderr?.(text);
  });
  // A program that ends without reading its input closes the pipe: its exit code says more.
  child.stdin.on('error', () => undefined);
  child.stdin.end(options.input ?? '');
  return await new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (status) => resolve({ status, ...output }));
  });
}

/** Runs a program. @throws Error with the end of what it printed, unless it exits with 0 */
export async function run(
  program: string,
  args: readonly string[],
  options: RunOptions = {},
): Promise<Ran> {
  const ran = await tryRun(program, args, options);
  if (ran.status === 0) return ran;
  const said = (ran.stderr.trim() || ran.stdout.trim()).slice(-2_000);
  const end = ran.status === null ? 'was killed' : `exited with ${ran.status}`;
  throw new Error(`${program} ${args.join(' ')} ${end}: ${said}`);
}
