import { readFile } from 'node:fs/promises';
import { fingerprint, isAlive, listProcesses } from '../../../src/testbed/os.ts';

/** npm gives its process a title of its own; the shell that it starts has "npm" in its command, too. */
const NPM = /^(npm\b|\S*node\S* \S*npm-cli\.js)/;

/**
 * Calls `gone` once, when a process between this one and the `npm run` that started it has ended: a killed
 * `npm` leaves its children alive, and nobody would end the cluster. Without an npm it watches only the
 * direct parent. Resolves when it watches. @returns a function that ends the watch
 */
export async function watchParents(gone: () => void, everyMs = 500): Promise<() => void> {
  const parents = await Promise.all((await parentsUpToNpm()).map(fingerprint));
  let looking = false;
  const look = async (): Promise<void> => {
    if (looking) return;
    looking = true;
    const alive = await Promise.all(parents.map(isAlive));
    looking = false;
    if (alive.every(Boolean)) return;
    clearInterval(timer);
    gone();
  };
  const timer = setInterval(() => void look(), everyMs);
  timer.unref();
  return () => clearInterval(timer);
}

async function parentsUpToNpm(): Promise<readonly number[]> {
  const parentOf = new Map((await listProcesses()).map(({ pid, parent }) => [pid, parent]));
  const found: number[] = [];
  for (let pid = process.ppid; pid > 1; pid = parentOf.get(pid) ?? 0) {
    found.push(pid);
    if (NPM.test(await commandOf(pid))) return found;
  }
  return found.slice(0, 1);
}

async function commandOf(pid: number): Promise<string> {
  const text = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '');
  return text.replaceAll('\0', ' ');
}
