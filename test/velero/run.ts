import { spawn } from 'node:child_process';

export interface RunOptions {
  readonly input?: string;
  /** In addition to this process's own environment. */
  readonly env?: Readonly<Record<string, string>>;
  readonly timeoutMs?: number;
  readonly cwd?: string;
}

export interface Output {
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a program to its end. @throws Error with the end of its stderr, unless it exits with 0 */
export async function run(
  program: string,
  args: readonly string[],
  options: RunOptions = {},
): Promise<Output> {
  const { status, stdout, stderr } = await tryRun(program, args, options);
  if (status === 0) return { stdout, stderr };
  const line = [program, ...args].join(' ').slice(0, 300);
  throw new Error(`${line} failed (${status}): ${(stderr.trim() || stdout).slice(-2_000)}`);
}

/** Runs a program to its end, whatever that is. A program that a signal ends has the status -1. */
export function tryRun(
  program: string,
  args: readonly string[],
  { input, env, timeoutMs, cwd }: RunOptions = {},
): Promise<Output & { readonly status: number }> {
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, {
      stdio: ['pipe', 'pipe', 'pipe'],
      env: { ...process.env, ...env },
      ...(cwd !== undefined && { cwd }),
      ...(timeoutMs !== undefined && { timeout: timeoutMs, killSignal: 'SIGKILL' }),
    });
    let stdout = '';
    let stderr = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text));
    child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text));
    child.on('error', reject);
    child.on('close', (code) => resolve({ status: code ?? -1, stdout, stderr }));
    child.stdin.on('error', () => undefined);
    child.stdin.end(input);
  });
}
