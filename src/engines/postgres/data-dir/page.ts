/** `N_SUMS` values with which the sums of a page begin (checksum_impl.h). */
const SUMS = [
  0x5b1f36e9, 0xb8525960, 0x02ab50aa, 0x1de66d2a, 0x79ff467a, 0x9bb9f8a3, 0x217e7cd2, 0x83e13d2c,
  0xf8d4474f, 0xe39eb970, 0x42c6ae16, 0x993216fa, 0x7b093b5d, 0x98daff3c, 0xf718902a, 0x0b1c9cdb,
  0xe58f764b, 0x187636bc, 0x5d7b3bb1, 0xe73de7de, 0x92bec979, 0xcca6c0b2, 0x304a0979, 0x85aa43d4,
  0x783125bb, 0x6ca8eaa2, 0xe407eac6, 0x4b5cfc3e, 0x9fbf8c76, 0x15ca20be, 0xf2ca9fd3, 0x959bd756,
];
const PRIME = 16_777_619;
const LSN_AND_CHECKSUM_WORDS = 2;

/**
 * The checksum that belongs into a page (checksum_impl.h, pg_checksum_page).
 *
 * @param words the buffer that holds the page, in words; `first` is the page's first one.
 * @param block its number in the whole fork.
 */
export function pageChecksum(
  words: Int32Array,
  first: number,
  size: number,
  block: number,
): number {
  const rows = size / (4 * SUMS.length);
  let result = 0;
  for (let column = 0; column < SUMS.length; column += 1) {
    let sum = SUMS[column] as number;
    for (let row = 0, at = first + column; row < rows; row += 1, at += SUMS.length) {
      let word = words[at] as number;
      // The checksum itself counts as zero.
      if (row === 0 && column === LSN_AND_CHECKSUM_WORDS) word &= ~0xffff;
      const mixed = sum ^ word;
      sum = Math.imul(mixed, PRIME) ^ (mixed >>> 17);
    }
    for (let round = 0; round < 2; round += 1) sum = Math.imul(sum, PRIME) ^ (sum >>> 17);
    result ^= sum;
  }
  return (((result ^ block) >>> 0) % 65_535) + 1;
}

export function isZero(words: Int32Array, first: number, count: number): boolean {
  for (let at = first; at < first + count; at += 1) if (words[at] !== 0) return false;
  return true;
}

/** `pd_upper` is 0 in a page that was never initialised. */
export function isNew(bytes: Buffer, at: number): boolean {
  return bytes.readUInt16LE(at + 14) === 0;
}

const KNOWN_FLAGS = 0x0007;

/** Whether a server accepts the header of a page (bufpage.c, PageIsVerified). */
export function hasSoundHeader(bytes: Buffer, at: number, size: number): boolean {
  const lower = bytes.readUInt16LE(at + 12);
  const upper = bytes.readUInt16LE(at + 14);
  const special = bytes.readUInt16LE(at + 16);
  return (
    (bytes.readUInt16LE(at + 10) & ~KNOWN_FLAGS) === 0 &&
    lower <= upper &&
    upper <= special &&
    special <= size &&
    special % 8 === 0
  );
}

const HEADER = 24;
/** The special space of a hash index: flags 4 bytes before its end, `HASHO_PAGE_ID` in the last two (hash.h). */
const HASH_SPECIAL = 16;
const HASH_PAGE_ID = 0xff80;

/**
 * Whether a page is the end of the buckets that a hash index has reserved: without content. It is the
 * only page that a server writes past the buffers, before its WAL, where others see it (hashpage.c,
 * _hash_alloc_buckets).
 */
export function isReservedHashPage(bytes: Buffer, at: number, size: number): boolean {
  return (
    bytes.readUInt16LE(at + 12) === HEADER &&
    bytes.readUInt16LE(at + 16) === size - HASH_SPECIAL &&
    bytes.readUInt16LE(at + size - 4) === 0 &&
    bytes.readUInt16LE(at + size - 2) === HASH_PAGE_ID
  );
}
