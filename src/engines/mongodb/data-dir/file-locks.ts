import { readdir, readFile, stat } from 'node:fs/promises';
import { isErrno } from '../../../lib/durable-files.ts';

/**
 * The process that holds a lock on a file; `undefined`: none that is visible from here.
 *
 * The kernel lists locks by inode number, and a copy on another volume can have the same one. A lock
 * counts only if its process has this very file open.
 */
export async function holderOf(path: string): Promise<number | undefined> {
  const file = await stat(path).catch((error: unknown) => {
    if (isErrno(error, 'ENOENT')) return undefined;
    throw error;
  });
  if (file === undefined) return undefined;
  const locks = await readFile('/proc/locks', 'utf8').catch(() => '');
  for (const pid of pidsOf(locks, file.ino)) {
    if (await hasOpen(pid, file)) return pid;
  }
  return undefined;
}

/** Reads lines such as `1: POSIX ADVISORY WRITE 4711 fe:00:131 0 EOF`; see proc_locks(5). */
export function pidsOf(locks: string, inode: number): number[] {
  const fields = locks.split('\n').map((line) => line.trim().split(/\s+/));
  const ours = fields.filter((line) => line.some((field) => field.endsWith(`:${inode}`)));
  return ours.map((line) => Number(line[4])).filter((pid) => pid > 0);
}

async function hasOpen(pid: number, file: { dev: number; ino: number }): Promise<boolean> {
  const folder = `/proc/${pid}/fd`;
  for (const name of await readdir(folder).catch(() => [])) {
    const found = await stat(`${folder}/${name}`).catch(() => undefined);
    if (found?.dev === file.dev && found.ino === file.ino) return true;
  }
  return false;
}
