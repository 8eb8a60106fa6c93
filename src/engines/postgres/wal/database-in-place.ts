import type { BlockRef } from './block-refs.ts';

const PAGE_HEADER = 24;
/** Of a row: the offset of its columns (`t_hoff`). */
const COLUMNS_AT = 22;
/** `datconnlimit` of a database that is being dropped (DATCONNLIMIT_INVALID_DB). */
const INVALID = -2;

/**
 * The database that a change in place of a row in pg_database gives up: a drop begins with it, then
 * throws away the pages in memory, and WAL says so only after the files are gone (dbcommands.c, dropdb).
 *
 * @returns its object id, `null` where the change is another one, or `undefined` where the record does
 * not show it.
 */
export function droppedInPlace(
  head: Buffer,
  ref: BlockRef,
  { major, blockSize }: { readonly major: number; readonly blockSize: number },
): number | null | undefined {
  const row = ref.dataLength > 0 ? columnsInData(head, ref) : columnsInImage(head, ref, blockSize);
  const limitAt = major >= 15 ? 80 : 208;
  if (row === undefined || row.length < limitAt + 4) return undefined;
  return row.readInt32LE(limitAt) === INVALID ? row.readUInt32LE(0) : null;
}

function columnsInData(head: Buffer, { at, imageLength, dataLength }: BlockRef): Buffer {
  return head.subarray(at + imageLength, at + imageLength + dataLength);
}

/** With an image there is no data: the row is in the page, and the main data has its number. */
function columnsInImage(head: Buffer, ref: BlockRef, blockSize: number): Buffer | undefined {
  const end = ref.at + ref.imageLength;
  if (!ref.plainImage || end + 2 > head.length) return undefined;
  const page = Buffer.alloc(blockSize);
  const hole = ref.hole ?? ref.imageLength;
  head.copy(page, 0, ref.at, ref.at + hole);
  head.copy(page, blockSize - ref.imageLength + hole, ref.at + hole, end);
  const itemAt = PAGE_HEADER + (head.readUInt16LE(end) - 1) * 4;
  if (itemAt < PAGE_HEADER || itemAt + 4 > blockSize) return undefined;
  const item = page.readUInt32LE(itemAt);
  const row = page.subarray(item & 0x7fff, (item & 0x7fff) + (item >>> 17));
  return row.length > COLUMNS_AT ? row.subarray(row.readUInt8(COLUMNS_AT)) : undefined;
}
