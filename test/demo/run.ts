import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, expect } from 'vitest';
import { isAlive } from '../../src/testbed/os.ts';
import { cliPath } from '../../src/testbed/processes.ts';
import { tempDir } from './server.ts';

const cleanups: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).toReversed()) await cleanup();
});

/** A demo that runs, as a process of its own. */
export interface Demo {
  readonly child: ChildProcess;
  /** The TMPDIR of this run: all it makes lies in there. */
  readonly tmp: string;
  readonly ended: Promise<number | null>;
  text(): string;
  /** Resolves when the output contains this. */
  printed(text: string): Promise<void>;
}

export const start = (...args: string[]): Promise<Demo> => startWith({}, ...args);

export async function startWith(
  extra: Readonly<Record<string, string>>,
  ...args: string[]
): Promise<Demo> {
  const { dir, remove } = await tempDir();
  cleanups.push(remove);
  const env = { ...process.env, TMPDIR: dir, ...extra };
  const child = spawn(process.execPath, [cliPath(), 'demo', '--seconds', '1', ...args], { env });
  const closed = once(child, 'close') as Promise<[number | null]>;
  cleanups.push(async () => {
    child.kill('SIGTERM');
    await closed;
  });
  let text = '';
  const heard = (chunk: Buffer): void => void (text += chunk.toString());
  child.stdout.on('data', heard);
  child.stderr.on('data', heard);
  const printed = async (wanted: string): Promise<void> => {
    while (!text.includes(wanted)) {
      if (child.exitCode !== null) throw new Error(`ended without '${wanted}': ${text}`);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  };
  return { child, tmp: dir, ended: closed.then(([code]) => code), text: () => text, printed };
}

export const workspaces = async (tmp: string): Promise<string[]> =>
  (await readdir(tmp)).filter((name) => name.startsWith('quiesce-demo-'));

/** Fingerprints of what a demo started, in order: source, its sidecar, the restored pair. */
export async function processesOf({ tmp }: Demo): Promise<string[]> {
  const [name] = await workspaces(tmp);
  const text = await readFile(join(tmp, name ?? '', 'processes'), 'utf8');
  return text.trim().split('\n');
}

export async function expectNothingLeft(demo: Demo, prints: readonly string[]): Promise<void> {
  expect(await workspaces(demo.tmp)).toEqual([]);
  expect(await readFile('/proc/self/mounts', 'utf8').catch(() => '')).not.toContain(demo.tmp);
  expect(await Promise.all(prints.map(isAlive))).toEqual(prints.map(() => false));
}

export const kill = (print: string | undefined): void => {
  process.kill(Number(print?.split(' ')[0]), 'SIGKILL');
};
