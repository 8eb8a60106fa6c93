import { join } from 'node:path';
import { openRegular } from '../../../lib/regular-file.ts';
import { crc32c } from '../wal/crc32c.ts';

const MAGIC = 0x592717;
/** Mappings before the checksum, by the size that the file has (relmapper.c: 16 has two more). */
const LARGEST = 524;

/**
 * Which file each mapped catalog has: `pg_filenode.map` (relmapper.c, RelMapFile).
 *
 * @returns a sentence where the file is damaged.
 */
export async function readRelationMap(
  pgdata: string,
  folder: string,
  major: number,
): Promise<Map<number, number> | string> {
  const name = `${folder}/pg_filenode.map`;
  const bytes = await readBytes(join(pgdata, name), LARGEST);
  const room = major >= 16 ? 64 : 62;
  const end = 8 + room * 8;
  if (bytes.length < end + 4) return `${name} is cut short (${bytes.length} bytes)`;
  if (bytes.readInt32LE(0) !== MAGIC) return `${name} is damaged: it does not begin as such a file`;
  if (crc32c(bytes, 0, end) !== bytes.readUInt32LE(end)) {
    return `${name} is damaged: its checksum does not match`;
  }
  const map = new Map<number, number>();
  const count = Math.min(bytes.readInt32LE(4), room);
  for (let index = 0; index < count; index += 1) {
    map.set(bytes.readUInt32LE(8 + index * 8), bytes.readUInt32LE(12 + index * 8));
  }
  return map;
}

/** At most `limit` bytes from the beginning of a file. */
export async function readBytes(path: string, limit: number): Promise<Buffer> {
  const file = await openRegular(path);
  try {
    const { bytesRead, buffer } = await file.read(Buffer.alloc(limit), 0, limit, 0);
    return buffer.subarray(0, bytesRead);
  } finally {
    await file.close();
  }
}
