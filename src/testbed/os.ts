import { execFile } from 'node:child_process';
import { readdir, readFile } from 'node:fs/promises';
import { promisify } from 'node:util';

const execFileAsync = promisify(execFile);

/** Runs a system tool and returns its output; rejects with what it wrote to stderr. */
export async function tool(command: string, ...args: string[]): Promise<string> {
  try {
    return (await execFileAsync(command, args)).stdout;
  } catch (error) {
    const { stderr, message } = error as { stderr?: string; message: string };
    throw new Error(`${command}: ${stderr?.trim() || message}`, { cause: error });
  }
}

export interface ProcessInfo {
  readonly pid: number;
  readonly parent: number;
  /** As in ps: `R`, `S`, `D`, `T` (stopped), `Z` … */
  readonly state: string;
}

/** Lists all processes of the system: from /proc on Linux, otherwise from ps. */
export async function listProcesses(): Promise<ProcessInfo[]> {
  if (process.platform !== 'linux') {
    const lines = (await tool('ps', '-axo', 'pid=,ppid=,state=')).trim().split('\n');
    return lines.map((line) => {
      const [pid, parent, state] = line.trim().split(/\s+/);
      return { pid: Number(pid), parent: Number(parent), state: state?.[0] ?? '?' };
    });
  }
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name));
  const found = await Promise.all(pids.map((pid) => statFields(Number(pid))));
  return found.flatMap((entry) => (entry ? [entry.info] : []));
}

async function statFields(
  pid: number,
): Promise<{ info: ProcessInfo; startedAt: string } | undefined> {
  const text = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => undefined);
  if (text === undefined) return undefined;
  // The command, in parentheses, may itself hold spaces and parentheses.
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  const info = { pid, parent: Number(fields[1]), state: fields[0] ?? '?' };
  return { info, startedAt: fields[19] ?? '' };
}

/**
 * The start time of a process, which tells it from a later process with the same id; `undefined` when
 * no such process runs.
 */
export async function processStart(pid: number): Promise<string | undefined> {
  if (process.platform === 'linux') {
    const entry = await statFields(pid);
    return entry === undefined || entry.info.state === 'Z' ? undefined : entry.startedAt;
  }
  const text = await tool('ps', '-o', 'lstart=', '-p', String(pid)).catch(() => '');
  return text.trim().replaceAll(/\s+/g, '_') || undefined;
}

/** `PID START`: identifies a process for a later {@link isAlive}, also across runs. */
export async function fingerprint(pid: number): Promise<string> {
  return `${pid} ${(await processStart(pid)) ?? 'gone'}`;
}

/** Whether the same process that {@link fingerprint} saw still runs. */
export async function isAlive(recorded: string): Promise<boolean> {
  const [pid, startedAt] = recorded.trim().split(' ');
  return startedAt !== undefined && (await processStart(Number(pid))) === startedAt;
}
