import { createHash, type Hash } from 'node:crypto';
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import type { DataFile } from './data-files.ts';

const PIECE_BYTES = 1_048_576;
/** What may be left to read while writers wait: some tens of milliseconds. */
const LATE_BYTES = 32 * PIECE_BYTES;

interface Begun {
  readonly inode: number;
  readonly hash: Hash;
  /** How much of the file is in the hash. */
  done: number;
}

/**
 * SHA-256 of whole files, which only grow: the long part is read while writers go on, the rest under the
 * pause.
 */
export class ContentDigests {
  readonly #dir: string;
  readonly #begun = new Map<string, Begun>();

  constructor(dir: string) {
    this.#dir = dir;
  }

  /** Reads what is there of the files, for `withinMs` at most. What cannot be read has no digest. */
  async begin(files: readonly DataFile[], withinMs: number, signal: AbortSignal): Promise<void> {
    const until = performance.now() + withinMs;
    const goOn = (): boolean => !signal.aborted && performance.now() < until;
    for (const file of files.toSorted((a, b) => a.size - b.size)) {
      await this.#read(file, goOn).catch(() => undefined);
    }
  }

  /** @returns `undefined` where too much of the file is left to be read. */
  async finish(file: DataFile): Promise<string | undefined> {
    const done = this.#of(file).done;
    if (done > file.size || file.size - done > LATE_BYTES) return undefined;
    await this.#read(file, () => true);
    const begun = this.#of(file);
    return begun.done === file.size ? begun.hash.copy().digest('hex') : undefined;
  }

  #of({ name, inode }: DataFile): Begun {
    const known = this.#begun.get(name);
    if (known?.inode === inode) return known;
    const begun = { inode, hash: createHash('sha256'), done: 0 };
    this.#begun.set(name, begun);
    return begun;
  }

  async #read(file: DataFile, goOn: () => boolean): Promise<void> {
    const begun = this.#of(file);
    if (begun.done >= file.size || !goOn()) return;
    const handle = await open(join(this.#dir, file.name), 'r');
    try {
      const piece = Buffer.allocUnsafe(Math.min(PIECE_BYTES, file.size - begun.done));
      while (begun.done < file.size && goOn()) {
        const want = Math.min(piece.length, file.size - begun.done);
        const { bytesRead } = await handle.read(piece, 0, want, begun.done);
        if (bytesRead === 0) return;
        begun.hash.update(piece.subarray(0, bytesRead));
        begun.done += bytesRead;
      }
    } finally {
      await handle.close();
    }
  }
}

/** SHA-256 of the first `size` bytes of a file. */
export async function contentDigest(
  dir: string,
  { name, size }: Pick<DataFile, 'name' | 'size'>,
  signal: AbortSignal,
): Promise<string | undefined> {
  const digests = new ContentDigests(dir);
  const file = { name, size, mtimeMs: 0, inode: 0, device: 0 };
  await digests.begin([file], Number.POSITIVE_INFINITY, signal);
  signal.throwIfAborted();
  return await digests.finish(file);
}
