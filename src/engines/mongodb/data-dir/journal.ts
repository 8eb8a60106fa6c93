import { type FileHandle, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { isMissing } from '../../../lib/durable-files.ts';
import { crc32c } from '../../../lib/crc32c.ts';

const PIECE_BYTES = 1_048_576;
/** Records begin at multiples of this (source: WT_LOG_ALIGN). */
const ALIGNMENT = 128;
const HEADER_BYTES = 16;
const CHECKSUM_AT = 4;

/** The paths of the journal's files within the server's folder, the oldest first; empty where it has none. */
export async function journalFiles(folder: string): Promise<string[]> {
  const names = await readdir(join(folder, 'journal')).catch((error: unknown) => {
    if (isMissing(error)) return [];
    throw error;
  });
  const logs = names.filter((name) => /^WiredTigerLog\.\d+$/.test(name));
  return logs.toSorted().map((name) => `journal/${name}`);
}

/** The number of a journal's file, from its name. */
export function journalNumber(name: string): number {
  return Number(name.slice(name.lastIndexOf('.') + 1));
}

/**
 * Where the records of a journal's file end that follow each other without a gap. A file has its full
 * length from the beginning. The server appends to it even under the lock, perhaps at this moment, and
 * not always in order: what is before this end does not change any more.
 */
export async function endOfRecords(file: FileHandle): Promise<number> {
  const { size } = await file.stat();
  const piece = Buffer.alloc(Math.min(PIECE_BYTES, size));
  let last = 0;
  let next = 0;
  for (let start = 0; next < size; start = Math.floor(next / PIECE_BYTES) * PIECE_BYTES) {
    const { bytesRead } = await file.read(piece, 0, piece.length, start);
    while (next - start + HEADER_BYTES <= bytesRead) {
      const length = piece.readUInt32LE(next - start);
      if (length < HEADER_BYTES || next + length > size) return await endOfLast(file, last, next);
      last = next;
      next += Math.ceil(length / ALIGNMENT) * ALIGNMENT;
    }
    if (next - start < bytesRead || bytesRead === 0) break;
  }
  return await endOfLast(file, last, Math.min(next, size));
}

/** Leaves out the last record unless its checksum is right: it may be only half written. */
async function endOfLast(file: FileHandle, begin: number, end: number): Promise<number> {
  const record = Buffer.alloc(end - begin);
  const { bytesRead } = await file.read(record, 0, record.length, begin);
  if (bytesRead < HEADER_BYTES) return begin;
  const length = record.readUInt32LE(0);
  const checksum = record.readUInt32LE(CHECKSUM_AT);
  record.writeUInt32LE(0, CHECKSUM_AT);
  return crc32c(record, 0, Math.min(length, bytesRead)) === checksum ? end : begin;
}
