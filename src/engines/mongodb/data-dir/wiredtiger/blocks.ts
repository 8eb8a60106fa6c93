import { CRC_START, crcFinish, crcUpdate } from '../../../../lib/crc32c.ts';
import { PackedReader } from './integers.ts';
import type { BlockAddress } from './metadata.ts';
import type { Range } from './ranges.ts';
import { Damage, type Window } from './window.ts';

/** A header of the page (28 bytes), then one of the block (12 bytes); source: btmem.h, block.h. */
export const HEADER_BYTES = 40;
const GENERATION_AT = 8;
const TYPE_AT = 24;
const PAGE_FLAGS_AT = 25;
const LENGTH_AT = 28;
const CHECKSUM_AT = 32;
const FLAGS_AT = 36;
/** The checksum covers the whole block; without this flag, its first 64 bytes. */
const WHOLE_BLOCK = 1;
const COVERED_AT_LEAST = 64;
const NOTHING = Buffer.alloc(4);

/** The first block of each file describes it (source: block_open.c). */
const DESCRIPTOR_MAGIC = 120_897;
const LIST_MAGIC = 71_002;

/** Checks the block that describes the file. @throws Damage */
export async function checkDescriptor(window: Window, allocationSize: number): Promise<void> {
  const block = await window.read(0, allocationSize);
  if (block.readUInt32LE(0) !== DESCRIPTOR_MAGIC)
    throw new Damage('its first block is not one of a table');
  if (checksumOf(block, 8, allocationSize) !== block.readUInt32LE(8)) {
    throw new Damage('its first block has a wrong checksum');
  }
}

export interface BlockRules {
  readonly allocationSize: number;
  /** The largest generation that a block of the checkpoint can have; `null`: not known. */
  readonly newest: number | null;
}

/** The fields of a block's headers that tell what it is. */
export function readHeader(block: Buffer): { type: number; flags: number; checksum: number } {
  return {
    type: block.readUInt8(TYPE_AT),
    flags: block.readUInt8(PAGE_FLAGS_AT),
    checksum: block.readUInt32LE(CHECKSUM_AT),
  };
}

/**
 * Checks the block at an offset. @returns its bytes, until the next read of the window.
 *
 * @param room how many bytes it can have.
 * @throws Damage
 */
export async function checkBlock(
  window: Window,
  offset: number,
  room: number,
  { allocationSize, newest }: BlockRules,
): Promise<Buffer> {
  const header = await window.read(offset, Math.min(HEADER_BYTES, room));
  const length = header.readUInt32LE(LENGTH_AT);
  if (length < allocationSize || length % allocationSize !== 0 || length > room) {
    throw new Damage(`there is no block at ${offset}`);
  }
  const block = await window.read(offset, length);
  const covered = (block.readUInt8(FLAGS_AT) & WHOLE_BLOCK) === 0 ? COVERED_AT_LEAST : length;
  if (checksumOf(block, CHECKSUM_AT, covered) !== block.readUInt32LE(CHECKSUM_AT)) {
    throw new Damage(`the block at ${offset} (${length} bytes) has a wrong checksum`);
  }
  if (newest !== null && block.readBigUInt64LE(GENERATION_AT) > BigInt(newest)) {
    throw new Damage(`the block at ${offset} was written after the lock`);
  }
  return block;
}

/** Checks the block that an address in the metadata names. @throws Damage */
export async function checkAddressed(
  window: Window,
  { offset, size, checksum }: BlockAddress,
  rules: BlockRules,
): Promise<void> {
  const block = await checkBlock(window, offset, size, rules);
  if (block.length === size && readHeader(block).checksum === checksum) return;
  throw new Damage(`the block at ${offset} is not the one of the lock's checkpoint`);
}

/**
 * Reads a list of ranges, such as the ranges that a checkpoint has allocated: a marker, then pairs of an
 * offset and a size, up to an offset of 0 (source: block_ext.c).
 *
 * @throws Damage where the block is damaged; RangeError for a form that this code does not know.
 */
export async function readRanges(
  window: Window,
  address: BlockAddress | null,
  rules: BlockRules,
): Promise<Range[]> {
  if (address === null) return [];
  await checkAddressed(window, address, rules);
  const block = await window.read(address.offset, address.size);
  const reader = new PackedReader(block, HEADER_BYTES);
  if (reader.next() !== LIST_MAGIC || reader.next() !== 0)
    throw new RangeError('not a list of ranges');
  const ranges: Range[] = [];
  for (;;) {
    const [offset, size] = [reader.next(), reader.next()];
    if (offset === 0) return ranges;
    if (offset % rules.allocationSize !== 0 || size % rules.allocationSize !== 0 || size === 0) {
      throw new RangeError('a range that does not begin at a block');
    }
    ranges.push({ offset, size });
  }
}

/** The field of the checksum itself counts as zero. */
function checksumOf(block: Buffer, at: number, length: number): number {
  let state = crcUpdate(CRC_START, block, 0, at);
  state = crcUpdate(state, NOTHING, 0, 4);
  return crcFinish(crcUpdate(state, block, at + 4, length - at - 4));
}
