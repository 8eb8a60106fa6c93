import type { Stats } from 'node:fs';
import { readdir, readFile } from 'node:fs/promises';
import { closeFd } from './sync-file.ts';
import { LIMITS } from './limits.ts';

/** Descriptors that stay free for the connections and files of the sidecar. */
const RESERVE = 512;
/** Where the limit of this process cannot be read. */
const UNKNOWN_LIMIT = 256;

type Inode = Pick<Stats, 'dev' | 'ino'>;

export interface KeptFile {
  readonly fd: number;
  readonly name: string;
}

/** The descriptors of synced files, one a file, which stay open until the thaw. */
export class Kept {
  readonly #room: number;
  readonly #files = new Map<string, KeptFile>();
  #closed = false;

  /** @param room how many may be kept */
  constructor(room: number) {
    this.#room = room;
  }

  /** Keeps the descriptor, or closes it. */
  take(fd: number, name: string, inode: Inode): void {
    const key = keyOf(inode);
    const full = this.#closed || this.#files.size >= this.#room;
    if (full || this.#files.has(key)) void closeFd(fd).catch(() => undefined);
    else this.#files.set(key, { fd, name });
  }

  find(inode: Inode): KeptFile | undefined {
    return this.#files.get(keyOf(inode));
  }

  get files(): readonly KeptFile[] {
    return [...this.#files.values()];
  }

  /** Closes all of them, and from now on every one that still comes. */
  close(): void {
    this.#closed = true;
    for (const { fd } of this.#files.values()) void closeFd(fd).catch(() => undefined);
    this.#files.clear();
  }
}

function keyOf({ dev, ino }: Inode): string {
  return `${dev}:${ino}`;
}

/** How many descriptors may be kept within this process's limit (RLIMIT_NOFILE). */
export async function roomForDescriptors(): Promise<number> {
  try {
    const limits = await readFile('/proc/self/limits', 'utf8');
    const limit = Number(/^Max open files\s+(\d+)/m.exec(limits)?.[1] ?? Number.POSITIVE_INFINITY);
    const used = (await readdir('/proc/self/fd')).length;
    return Math.max(0, Math.min(LIMITS.kept, limit - used - RESERVE));
  } catch {
    return UNKNOWN_LIMIT;
  }
}
