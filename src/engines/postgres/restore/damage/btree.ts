import { forEachItem } from '../../data-dir/heap-page.ts';

/** Bits of `btpo_flags` (nbtree.h). */
const LEAF = 1;
const DELETED = 4;
const META = 8;
const HALF_DEAD = 16;
const OPAQUE_BYTES = 16;
/** Of `t_info` (itup.h) and of the offset in `t_tid`. */
const ALTERNATIVE_TID = 0x2000;
const POSTING = 0x2000;
const COUNT = 0x0fff;

/** What a page of a B-tree points at. */
export interface Pointers {
  /** A block of the index itself. */
  sibling(block: number): void;
  /** A block of the table. */
  row(block: number): void;
}

/** Reads the pointers of a page. A deleted one's may be old. */
export function readPointers(bytes: Buffer, page: number, size: number, to: Pointers): void {
  const special = bytes.readUInt16LE(page + 16);
  if (special !== size - OPAQUE_BYTES) return;
  const flags = bytes.readUInt16LE(page + special + 12);
  if ((flags & META) !== 0) {
    // btm_root and btm_fastroot; both are 0 in an index without rows.
    for (const at of [32, 40]) point(bytes.readUInt32LE(page + at), to);
    return;
  }
  if ((flags & DELETED) !== 0) return;
  const next = bytes.readUInt32LE(page + special + 4);
  point(bytes.readUInt32LE(page + special), to);
  point(next, to);
  if ((flags & LEAF) === 0 || (flags & HALF_DEAD) !== 0) return;
  forEachItem(bytes, page, size, (at, length, number) => {
    // The first item of a page with a right neighbour is its high key, not a row.
    if (length >= 8 && (next === 0 || number > 1)) readItem(bytes, at, length, to);
  });
}

function point(block: number, to: Pointers): void {
  if (block !== 0) to.sibling(block);
}

function readItem(bytes: Buffer, at: number, length: number, to: Pointers): void {
  if ((bytes.readUInt16LE(at + 6) & ALTERNATIVE_TID) === 0) {
    to.row(readBlock(bytes, at));
    return;
  }
  const offset = bytes.readUInt16LE(at + 4);
  if ((offset & POSTING) === 0) return;
  const list = readBlock(bytes, at);
  const count = offset & COUNT;
  if (list + count * 6 > length) return;
  for (let index = 0; index < count; index += 1) to.row(readBlock(bytes, at + list + index * 6));
}

/** `BlockIdData`: the high half first. */
function readBlock(bytes: Buffer, at: number): number {
  return bytes.readUInt16LE(at) * 0x1_0000 + bytes.readUInt16LE(at + 2);
}
