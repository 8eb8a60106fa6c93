/**
 * CRC-64 (Jones), reflected, begun with 0, as in Redis's crc64.c. A state is two halves of 32 bits, since
 * JavaScript has no fast integers of 64.
 */
export interface Crc64 {
  low: number;
  high: number;
}

const POLYNOMIAL_LOW = 0xac4bc9b5 | 0;
const POLYNOMIAL_HIGH = 0x95ac9329 | 0;

/** Slicing by 8: table k, at offset 256 k, gives the effect of a byte that is k bytes further back. */
const LOW = new Int32Array(8 * 256);
const HIGH = new Int32Array(8 * 256);

for (let byte = 0; byte < 256; byte += 1) {
  let low = byte;
  let high = 0;
  for (let bit = 0; bit < 8; bit += 1) {
    const odd = low & 1;
    low = (low >>> 1) | (high << 31);
    high >>>= 1;
    if (odd === 1) {
      low ^= POLYNOMIAL_LOW;
      high ^= POLYNOMIAL_HIGH;
    }
  }
  LOW[byte] = low;
  HIGH[byte] = high;
}
for (let index = 256; index < LOW.length; index += 1) {
  const low = LOW[index - 256] as number;
  const high = HIGH[index - 256] as number;
  LOW[index] = ((low >>> 8) | (high << 24)) ^ (LOW[low & 0xff] as number);
  HIGH[index] = (high >>> 8) ^ (HIGH[low & 0xff] as number);
}

/** Feeds one byte. */
export function feedByte(state: Crc64, byte: number): void {
  const at = (state.low ^ byte) & 0xff;
  const { low, high } = state;
  state.low = ((low >>> 8) | (high << 24)) ^ (LOW[at] as number);
  state.high = (high >>> 8) ^ (HIGH[at] as number);
}

export function feedAll(state: Crc64, bytes: Buffer): void {
  const whole = bytes.length - (bytes.length % 8);
  let { low, high } = state;
  for (let at = 0; at < whole; at += 8) {
    const a = low ^ word(bytes, at);
    const b = high ^ word(bytes, at + 4);
    low = mix(LOW, a, 1792) ^ mix(LOW, b, 768);
    high = mix(HIGH, a, 1792) ^ mix(HIGH, b, 768);
  }
  state.low = low;
  state.high = high;
  for (let at = whole; at < bytes.length; at += 1) feedByte(state, bytes[at] as number);
}

/** The effect of four bytes, the first of which is looked up in the table at `first`. */
function mix(table: Int32Array, four: number, first: number): number {
  return (
    (table[first + (four & 0xff)] as number) ^
    (table[first - 256 + ((four >>> 8) & 0xff)] as number) ^
    (table[first - 512 + ((four >>> 16) & 0xff)] as number) ^
    (table[first - 768 + (four >>> 24)] as number)
  );
}

function word(bytes: Buffer, at: number): number {
  return (
    (bytes[at] as number) |
    ((bytes[at + 1] as number) << 8) |
    ((bytes[at + 2] as number) << 16) |
    ((bytes[at + 3] as number) << 24)
  );
}

/** Whether the eight bytes at an offset are this checksum, as an RDB file ends with it. */
export function isChecksum({ low, high }: Crc64, bytes: Buffer, at: number): boolean {
  return bytes.readInt32LE(at) === low && bytes.readInt32LE(at + 4) === high;
}
