import type { FileHandle } from 'node:fs/promises';
import { openRegular } from '../../../lib/regular-file.ts';
import { type Crc64, feedAll, feedByte, isChecksum } from '../data-dir/crc64.ts';
import { AofCommands } from './aof-commands.ts';

const PIECE_BYTES = 1_048_576;
const MAGIC = /^(?:REDIS\d{4}|VALKEY\d{3})/;
const MAGIC_BYTES = 9;
const END_OF_RDB = 0xff;
const CHECKSUM_BYTES = 8;

/**
 * What a look at all of a file shows. `intact`: its own checksum is right. `framed`: its form is right,
 * but it has no checksum (an AOF of commands; `rdbchecksum no`), so its content may be damaged.
 */
export type Content = 'intact' | 'framed' | { readonly damage: string };

/**
 * Reads all of an RDB file or of a file of the AOF, which may begin with an RDB file.
 *
 * @param isAof whether the file may hold commands.
 */
export async function checkContent(
  path: string,
  isAof: boolean,
  signal: AbortSignal,
): Promise<Content> {
  const file = await openRegular(path);
  try {
    const { size } = await file.stat();
    const start = Buffer.alloc(Math.min(MAGIC_BYTES, size));
    await file.read(start, 0, start.length, 0);
    const isRdb = MAGIC.test(start.toString('latin1'));
    if (!isAof && !isRdb) return { damage: 'it does not begin as an RDB file' };
    if (!isRdb) return await checkCommands(file, { from: 0, size }, signal);
    const whole = await checkWhole(file, size, signal);
    // Before Redis 7, one file holds an RDB file and, after it, commands.
    return whole === 'intact' || !isAof ? whole : await checkMixed(file, size, whole, signal);
  } finally {
    await file.close();
  }
}

/** An RDB file ends with the byte 0xFF and a CRC-64 of everything before (source: rdb.c). */
async function checkWhole(file: FileHandle, size: number, signal: AbortSignal): Promise<Content> {
  const end = Buffer.alloc(1 + CHECKSUM_BYTES);
  const from = size - end.length;
  if (from < MAGIC_BYTES) return { damage: 'it ends early' };
  await file.read(end, 0, end.length, from);
  if (end[0] !== END_OF_RDB) return { damage: 'it does not end as an RDB file' };
  if (end.readBigUInt64LE(1) === 0n) return 'framed';
  const state = { low: 0, high: 0 };
  await eachPiece(file, { from: 0, size: size - CHECKSUM_BYTES }, signal, (piece) => {
    feedAll(state, piece);
    return true;
  });
  return isChecksum(state, end, 1) ? 'intact' : { damage: 'its checksum is wrong' };
}

/** @param whole what the file would be without commands. */
async function checkMixed(
  file: FileHandle,
  size: number,
  whole: Content,
  signal: AbortSignal,
): Promise<Content> {
  const from = await endOfRdb(file, size, signal);
  if (from !== null) return await checkCommands(file, { from, size }, signal);
  return whole === 'framed' ? 'framed' : { damage: 'no RDB file with a right checksum begins it' };
}

/** Finds the first 0xFF after which the checksum of everything before follows. */
async function endOfRdb(
  file: FileHandle,
  size: number,
  signal: AbortSignal,
): Promise<number | null> {
  const state: Crc64 = { low: 0, high: 0 };
  let rest = Buffer.alloc(0);
  let start = 0;
  let found: number | null = null;
  await eachPiece(file, { from: 0, size }, signal, (piece) => {
    const bytes = Buffer.concat([rest, piece]);
    let at = 0;
    for (; at + CHECKSUM_BYTES < bytes.length; at += 1) {
      const byte = bytes[at] as number;
      feedByte(state, byte);
      if (byte !== END_OF_RDB || !isChecksum(state, bytes, at + 1)) continue;
      found = start + at + 1 + CHECKSUM_BYTES;
      return false;
    }
    rest = bytes.subarray(at);
    start += at;
    return true;
  });
  return found;
}

interface Part {
  readonly from: number;
  /** Of the whole file. */
  readonly size: number;
}

async function checkCommands(file: FileHandle, part: Part, signal: AbortSignal): Promise<Content> {
  const commands = new AofCommands(part.from);
  let damaged: number | null = null;
  await eachPiece(file, part, signal, (piece) => {
    damaged = commands.push(piece);
    return damaged === null;
  });
  if (damaged !== null) return { damage: `what is at ${String(damaged)} is no command` };
  return commands.complete ? 'framed' : { damage: 'it ends within a command' };
}

/** @param work returns `false` to stop. */
async function eachPiece(
  file: FileHandle,
  { from, size }: Part,
  signal: AbortSignal,
  work: (piece: Buffer) => boolean,
): Promise<void> {
  for (let at = from; at < size;) {
    signal.throwIfAborted();
    const piece = Buffer.alloc(Math.min(PIECE_BYTES, size - at));
    const { bytesRead } = await file.read(piece, 0, piece.length, at);
    if (bytesRead === 0 || !work(piece.subarray(0, bytesRead))) return;
    at += bytesRead;
  }
}
