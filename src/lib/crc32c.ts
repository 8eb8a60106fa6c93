/** CRC-32C (Castagnoli), reflected. PostgreSQL uses it for WAL, WiredTiger for its blocks. */
const POLYNOMIAL = 0x82f63b78;

/**
 * Slicing by 8: table k, at offset 256 k, gives the effect of a byte that is k bytes further back.
 */
const TABLES = makeTables();

function makeTables(): Int32Array {
  const tables = new Int32Array(8 * 256);
  for (let byte = 0; byte < 256; byte += 1) {
    let crc = byte;
    for (let bit = 0; bit < 8; bit += 1) crc = crc & 1 ? (crc >>> 1) ^ POLYNOMIAL : crc >>> 1;
    tables[byte] = crc;
  }
  for (let index = 256; index < tables.length; index += 1) {
    const previous = tables[index - 256] as number;
    tables[index] = (previous >>> 8) ^ (tables[previous & 0xff] as number);
  }
  return tables;
}

/** The state before the first byte. */
export const CRC_START = -1;

/** Feeds `length` bytes from `offset` to a running checksum. */
export function crcUpdate(
  state: number,
  bytes: Uint8Array,
  offset: number,
  length: number,
): number {
  const T = TABLES;
  let crc = state;
  let at = offset;
  const end = offset + length;
  for (const whole = end - 7; at < whole; at += 8) {
    const low =
      crc ^
      ((bytes[at] as number) |
        ((bytes[at + 1] as number) << 8) |
        ((bytes[at + 2] as number) << 16) |
        ((bytes[at + 3] as number) << 24));
    crc =
      (T[1792 + (low & 0xff)] as number) ^
      (T[1536 + ((low >>> 8) & 0xff)] as number) ^
      (T[1280 + ((low >>> 16) & 0xff)] as number) ^
      (T[1024 + (low >>> 24)] as number) ^
      (T[768 + (bytes[at + 4] as number)] as number) ^
      (T[512 + (bytes[at + 5] as number)] as number) ^
      (T[256 + (bytes[at + 6] as number)] as number) ^
      (T[bytes[at + 7] as number] as number);
  }
  for (; at < end; at += 1) {
    crc = (T[(crc ^ (bytes[at] as number)) & 0xff] as number) ^ (crc >>> 8);
  }
  return crc;
}

/** The checksum of all bytes fed, as an unsigned 32-bit number. */
export function crcFinish(state: number): number {
  return ~state >>> 0;
}

/** The checksum of one range of bytes. */
export function crc32c(bytes: Uint8Array, offset = 0, length = bytes.length - offset): number {
  return crcFinish(crcUpdate(CRC_START, bytes, offset, length));
}
