import { createHash, type Hash } from 'node:crypto';
import type { FileHandle } from 'node:fs/promises';
import { constants } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { isMissing } from '../../../lib/durable-files.ts';
import { openRegular } from '../../../lib/regular-file.ts';
import { isDenied } from '../../shared/foreign-entries.ts';
import { endOfRecords } from './journal.ts';

/** In `.quiesce/` beside the receipt, which has its SHA-256. */
export const DIGESTS_FILE = 'digests.json';

const PIECE_BYTES = 1_048_576;
const EDGE_BYTES = 65_536;
const SAMPLES = 16;
const SAMPLE_BYTES = 4_096;
/** A smaller file is read whole. */
const WHOLE_BELOW = 2 * EDGE_BYTES + SAMPLES * SAMPLE_BYTES;

/**
 * What of a file is compared. `all`: length and every byte. `begin`: its first `size` bytes, since the
 * server appends to it even under the lock. `samples`: length, both ends and sixteen blocks between them.
 */
const PARTS = ['all', 'begin', 'samples'] as const;

const digestSchema = z.object({
  /** The path within the server's dbPath. */
  name: z.string().refine((name) => !name.startsWith('/') && !name.split('/').includes('..')),
  part: z.enum(PARTS),
  size: z.number().nonnegative(),
  sha256: z.string(),
});
export type Digest = z.infer<typeof digestSchema>;

export const digestsSchema = z.object({
  apiVersion: z.literal('quiesce.dev/v1'),
  kind: z.literal('Digests'),
  files: z.array(digestSchema),
  /** Files that could not be read, or not in time. */
  notDigested: z.array(z.string()),
});
export type Digests = z.infer<typeof digestsSchema>;

/** A file to be digested, and how. */
export interface Wanted {
  readonly name: string;
  readonly part: (typeof PARTS)[number];
}

/** @returns `null` where the file is missing, or this user may not read it. */
export async function digest(folder: string, { name, part }: Wanted): Promise<Digest | null> {
  const file = await openIfReadable(join(folder, name));
  if (file === null) return null;
  try {
    if (part === 'begin') {
      // A copy below the file system lacks what is only in the page cache.
      await file.datasync();
      const size = await endOfRecords(file);
      return { name, part, size, sha256: await shaOf(file, part, size) };
    }
    const { size } = await file.stat();
    return { name, part, size, sha256: await shaOf(file, part, size) };
  } finally {
    await file.close();
  }
}

/** Why the file in a copy is another one; `null`: it is the same. */
export async function differs(folder: string, then: Digest): Promise<string | null> {
  const file = await openIfReadable(join(folder, then.name));
  if (file === null) return 'is missing, but was there under the lock';
  try {
    const { size } = await file.stat();
    if (size < then.size) return `has ${size} of ${then.size} bytes`;
    if (then.part !== 'begin' && size > then.size) {
      return `has ${size} bytes, but had ${then.size} under the lock`;
    }
    const same = (await shaOf(file, then.part, then.size)) === then.sha256;
    return same ? null : 'does not have the content that it had under the lock';
  } finally {
    await file.close();
  }
}

async function openIfReadable(path: string): Promise<FileHandle | null> {
  try {
    return await openRegular(path, constants.O_NOFOLLOW);
  } catch (error) {
    if (isMissing(error) || isDenied(error)) return null;
    throw error;
  }
}

async function shaOf(file: FileHandle, part: Digest['part'], size: number): Promise<string> {
  const hash = createHash('sha256');
  if (part !== 'samples' || size <= WHOLE_BELOW) await feed(hash, file, 0, size);
  else hash.update(await samplesOf(file, size));
  return hash.digest('hex');
}

/** Both ends and the blocks between them, read at the same time: writers may be waiting. */
async function samplesOf(file: FileHandle, size: number): Promise<Buffer> {
  const blocks = Array.from({ length: SAMPLES }, (_one, index) => {
    const at = Math.floor((size * (index + 1)) / (SAMPLES + 1) / SAMPLE_BYTES) * SAMPLE_BYTES;
    return { at, length: SAMPLE_BYTES };
  });
  const ends = [0, size - EDGE_BYTES].map((at) => ({ at, length: EDGE_BYTES }));
  const read = [...ends, ...blocks].map(async ({ at, length }) => {
    const bytes = Buffer.alloc(length);
    await file.read(bytes, 0, length, at);
    return bytes;
  });
  return Buffer.concat(await Promise.all(read));
}

async function feed(hash: Hash, file: FileHandle, offset: number, length: number): Promise<void> {
  const buffer = Buffer.allocUnsafe(Math.min(PIECE_BYTES, length));
  for (let done = 0; done < length;) {
    const want = Math.min(buffer.length, length - done);
    const { bytesRead } = await file.read(buffer, 0, want, offset + done);
    if (bytesRead === 0) return;
    hash.update(buffer.subarray(0, bytesRead));
    done += bytesRead;
  }
}
