import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { isErrno } from '../../../lib/durable-files.ts';
import { crc32c } from '../wal/crc32c.ts';
import { readBytes } from './relation-map.ts';

const LARGEST_STATE = 1 << 20;
const TWO_PHASE_LARGEST = 1 << 30;

/**
 * Looks at the small files that a server reads at its start and that carry a checksum.
 *
 * @param wasPrepared whether WAL holds this prepared transaction: recovery then has it from there.
 * @returns what is wrong, or `null`.
 */
export async function findBrokenStateFile(
  pgdata: string,
  wasPrepared: (xid: number) => boolean,
): Promise<string | null> {
  return (
    (await findBrokenPrepared(pgdata, wasPrepared)) ??
    (await findBrokenSlot(pgdata)) ??
    (await findBrokenOrigins(pgdata))
  );
}

/** twophase.c, ReadTwoPhaseFile: the checksum is the last four bytes. */
async function findBrokenPrepared(
  pgdata: string,
  wasPrepared: (xid: number) => boolean,
): Promise<string | null> {
  for (const file of await names(pgdata, 'pg_twophase')) {
    // 17 puts the epoch before the transaction's number.
    if (!/^[0-9A-F]{8}(?:[0-9A-F]{8})?$/.test(file)) continue;
    if (wasPrepared(Number.parseInt(file.slice(-8), 16))) continue;
    const name = `pg_twophase/${file}`;
    const bytes = await readAll(join(pgdata, name), TWO_PHASE_LARGEST);
    const end = bytes.length - 4;
    if (end < 16 || bytes.readUInt32LE(4) !== bytes.length) {
      return `${name}, a prepared transaction, is cut short (${bytes.length} bytes)`;
    }
    if (crc32c(bytes, 0, end) !== bytes.readUInt32LE(end)) {
      return `${name}, a prepared transaction, is damaged: its checksum does not match`;
    }
  }
  return null;
}

/** slot.c, RestoreSlotFromDisk: the checksum covers what follows it. */
async function findBrokenSlot(pgdata: string): Promise<string | null> {
  for (const slot of await names(pgdata, 'pg_replslot')) {
    if (slot.endsWith('.tmp')) continue;
    const name = `pg_replslot/${slot}/state`;
    let bytes: Buffer;
    try {
      bytes = await readBytes(join(pgdata, name), LARGEST_STATE);
    } catch (error) {
      if (isErrno(error, 'ENOTDIR')) continue;
      if (isErrno(error, 'ENOENT')) return `${name}, a replication slot, is missing`;
      throw error;
    }
    const end = bytes.length < 16 ? Infinity : 16 + bytes.readUInt32LE(12);
    if (bytes.length < end) {
      return `${name}, a replication slot, is cut short (${bytes.length} bytes)`;
    }
    if (crc32c(bytes, 8, end - 8) !== bytes.readUInt32LE(4)) {
      return `${name}, a replication slot, is damaged: its checksum does not match`;
    }
  }
  return null;
}

/** origin.c, StartupReplicationOrigin: the checksum is the last four bytes. */
async function findBrokenOrigins(pgdata: string): Promise<string | null> {
  const name = 'pg_logical/replorigin_checkpoint';
  let bytes: Buffer;
  try {
    bytes = await readBytes(join(pgdata, name), LARGEST_STATE);
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return null;
    throw error;
  }
  const end = bytes.length - 4;
  if (end >= 4 && crc32c(bytes, 0, end) === bytes.readUInt32LE(end)) return null;
  return `${name} is damaged: its checksum does not match`;
}

async function names(pgdata: string, folder: string): Promise<string[]> {
  try {
    return await readdir(join(pgdata, folder));
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return [];
    throw error;
  }
}

/** A whole file, up to a limit that the server has too. */
async function readAll(path: string, limit: number): Promise<Buffer> {
  const head = await readBytes(path, 8);
  const length = head.length < 8 ? head.length : head.readUInt32LE(4);
  return await readBytes(path, Math.min(length, limit) + 1);
}
