import { type BlockRules, HEADER_BYTES, readHeader } from './blocks.ts';
import { PackedReader } from './integers.ts';

/** Pages that name other blocks, by their type (source: btmem.h): those of a column and of a row store. */
const INTERNAL = new Set([3, 6]);
/** A value too large for its page; a leaf names it, which may be compressed. */
const OVERFLOW = 5;
/** Flags of a page whose bytes cannot be read as they are: compressed, encrypted. */
const UNREADABLE = 0x01 | 0x08;
/** More would need too much memory: some 16 GiB of a table. */
const MOST_BLOCKS = 500_000;
/** The first byte of an integer of six bytes: no file has more blocks. */
const LONGEST_FIRST = 0xe6;

interface Found {
  readonly size: number;
  readonly checksum: number;
}

/**
 * Finds a block that no page names: an older block of the same place and length, which storage that loses
 * a write brings back, has a right checksum of its own. The pages of a tree name each block with its
 * offset, its size and its checksum.
 */
export class References {
  readonly #blocks = new Map<number, Found>();
  #internals: Buffer[] = [];
  #readable = true;

  add(block: Buffer, offset: number): void {
    const { type, flags, checksum } = readHeader(block);
    if (!this.#readable || type === OVERFLOW) return;
    this.#blocks.set(offset, { size: block.length, checksum });
    if (INTERNAL.has(type)) {
      // A copy: the bytes are a part of a window, which is used again.
      this.#internals.push(Buffer.from(block));
      if ((flags & UNREADABLE) !== 0) this.#readable = false;
    }
    if (this.#blocks.size > MOST_BLOCKS) this.#readable = false;
    if (!this.#readable) this.#forget();
  }

  /**
   * @param root the offset of the root, which the metadata names.
   * @returns the offset of a block that no page names; `null` where there is none, or none can be found.
   */
  unnamed(root: number | undefined, { allocationSize }: BlockRules): number | null {
    if (!this.#readable) return null;
    if (root !== undefined) this.#blocks.delete(root);
    for (const page of this.#internals) this.#strike(page, allocationSize);
    const [left] = this.#blocks.keys();
    return left ?? null;
  }

  /** Any position may begin an address: a wrong one does not have the right checksum at its end. */
  #strike(page: Buffer, allocationSize: number): void {
    for (let at = HEADER_BYTES; at < page.length; at += 1) {
      const offset = (firstInteger(page, at) + 1) * allocationSize;
      const block = offset > 0 ? this.#blocks.get(offset) : undefined;
      if (block !== undefined && isAddressOf(page, at, block, allocationSize)) {
        this.#blocks.delete(offset);
      }
    }
  }

  #forget(): void {
    this.#blocks.clear();
    this.#internals = [];
  }
}

/** As `PackedReader.next`, but quick: -1 where no integer begins. */
function firstInteger(page: Buffer, at: number): number {
  const first = page[at] as number;
  if (first < 0x80 || first > LONGEST_FIRST) return -1;
  if (first < 0xc0) return first & 0x3f;
  if (first < 0xe0) return ((first & 0x1f) << 8) + (page[at + 1] ?? 0) + 0x40;
  let value = 0;
  const end = at + (first & 0x0f);
  for (let index = at + 1; index <= end; index += 1) value = value * 256 + (page[index] ?? 0);
  return value + 0x2040;
}

function isAddressOf(page: Buffer, at: number, block: Found, allocationSize: number): boolean {
  const reader = new PackedReader(page, at);
  try {
    reader.next();
    return reader.next() * allocationSize === block.size && reader.next() === block.checksum;
  } catch (error) {
    if (error instanceof RangeError) return false;
    throw error;
  }
}
