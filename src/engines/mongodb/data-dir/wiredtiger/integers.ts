/** Reads WiredTiger's packed unsigned integers, one after another (source: intpack_inline.h). */
export class PackedReader {
  readonly #bytes: Buffer;
  #at: number;

  constructor(bytes: Buffer, at = 0) {
    this.#bytes = bytes;
    this.#at = at;
  }

  get at(): number {
    return this.#at;
  }

  /** @throws RangeError where the bytes end too early or hold no such integer. */
  next(): number {
    const first = this.#byte();
    if (first >= 0xe0) return this.#long(first & 0x0f);
    if (first >= 0xc0) return ((first & 0x1f) << 8) + this.#byte() + 0x40;
    if (first >= 0x80) return first & 0x3f;
    throw new RangeError(`${first} begins no packed integer`);
  }

  #long(length: number): number {
    let value = 0;
    for (let index = 0; index < length; index += 1) value = value * 256 + this.#byte();
    // What fits into two bytes is not written in this form, so its range is left out.
    value += 0x2040;
    if (Number.isSafeInteger(value)) return value;
    throw new RangeError('a packed integer is too large');
  }

  #byte(): number {
    const byte = this.#bytes[this.#at];
    if (byte === undefined) throw new RangeError('the bytes end in a packed integer');
    this.#at += 1;
    return byte;
  }
}
