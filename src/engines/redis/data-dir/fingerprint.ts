import { createHash } from 'node:crypto';
import { type FileHandle, open } from 'node:fs/promises';
import { join } from 'node:path';
import type { DataFile } from './data-files.ts';

/** How much of each end of a file is hashed: quick, and enough to tell it from another file. */
const EDGE_BYTES = 64 * 1024;
/** The two ends are all of a file that is not larger. */
export const COMPARED_WHOLE = 2 * EDGE_BYTES;

/** Identifies one file in the receipt, so that the copy can be checked for it. */
export interface Fingerprint {
  /** The path within the server's folder. */
  readonly name: string;
  readonly size: number;
  /** SHA-256 of its first and of its last 64 KiB (of all of it where it is smaller). */
  readonly head: string;
  readonly tail: string;
  /** SHA-256 of all of it; absent where reading it would have taken too long. */
  readonly sha256?: string;
}

/** @param size of the file at the freeze: bytes appended since are left out. */
export async function fingerprintOf(dir: string, name: string, size: number): Promise<Fingerprint> {
  const file = await open(join(dir, name), 'r');
  try {
    return await readFingerprint(file, { name, size });
  } finally {
    await file.close();
  }
}

export async function readFingerprint(
  file: FileHandle,
  { name, size }: Pick<DataFile, 'name' | 'size'>,
): Promise<Fingerprint> {
  const edge = async (at: number): Promise<string> => {
    const buffer = Buffer.alloc(Math.min(EDGE_BYTES, size - at));
    const { bytesRead } = await file.read(buffer, 0, buffer.length, at);
    return createHash('sha256').update(buffer.subarray(0, bytesRead)).digest('hex');
  };
  const [head, tail] = await Promise.all([edge(0), edge(Math.max(0, size - EDGE_BYTES))]);
  return { name, size, head, tail };
}
