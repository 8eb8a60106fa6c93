import { readFileSync } from 'node:fs';

/** npm gives its process a title of its own; the shell that it starts has "npm" in its command, too. */
const NPM = /^(npm\b|\S*node\S* \S*npm-cli\.js)/;

interface Parent {
  readonly pid: number;
  readonly startedAt: string;
}

/**
 * Calls `gone` once, when a process between this one and the `npm run` that started it has ended: a killed
 * `npm` leaves its children alive, and nobody would end the cluster. Without an npm it watches only the
 * direct parent. @returns a function that ends the watch
 */
export function watchParents(gone: () => void, everyMs = 500): () => void {
  const parents = parentsUpToNpm();
  const timer = setInterval(() => {
    if (parents.every(({ pid, startedAt }) => statOf(pid)?.startedAt === startedAt)) return;
    clearInterval(timer);
    gone();
  }, everyMs);
  timer.unref();
  return () => clearInterval(timer);
}

function parentsUpToNpm(): readonly Parent[] {
  const found: Parent[] = [];
  let pid = process.ppid;
  while (pid > 1) {
    const stat = statOf(pid);
    if (stat === undefined) break;
    found.push({ pid, startedAt: stat.startedAt });
    if (NPM.test(commandOf(pid))) return found;
    pid = stat.parent;
  }
  return found.slice(0, 1);
}

function statOf(pid: number): { parent: number; startedAt: string } | undefined {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'utf8');
    const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
    if (fields[0] === 'Z') return undefined;
    return { parent: Number(fields[1]), startedAt: fields[19] ?? '' };
  } catch {
    return undefined;
  }
}

function commandOf(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ').slice(0, 200);
  } catch {
    return '';
  }
}
