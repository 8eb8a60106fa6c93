/** Blocks in one chunk of bits: 64 MB of data in a kilobyte. */
const CHUNK = 8192;

/** A set of block numbers. Holds a terabyte of 8 kB pages in 16 MB. */
export class BlockSet {
  readonly #chunks = new Map<number, Uint8Array>();
  #size = 0;

  get size(): number {
    return this.#size;
  }

  /** @returns whether it is new. */
  add(block: number): boolean {
    const key = Math.floor(block / CHUNK);
    let bits = this.#chunks.get(key);
    if (bits === undefined) this.#chunks.set(key, (bits = new Uint8Array(CHUNK / 8)));
    const at = (block % CHUNK) >> 3;
    const bit = 1 << (block & 7);
    if (((bits[at] as number) & bit) !== 0) return false;
    bits[at] = (bits[at] as number) | bit;
    this.#size += 1;
    return true;
  }

  has(block: number): boolean {
    const bits = this.#chunks.get(Math.floor(block / CHUNK));
    return (
      bits !== undefined && ((bits[(block % CHUNK) >> 3] as number) & (1 << (block & 7))) !== 0
    );
  }

  /** Whether it contains every block from `start` to before `end`. */
  hasAll(start: number, end: number): boolean {
    for (let block = start; block < end; block += 1) if (!this.has(block)) return false;
    return true;
  }

  /** Those from `start` to before `end`, in ascending order. */
  *between(start: number, end: number): Generator<number> {
    const keys = [...this.#chunks.keys()].sort((a, b) => a - b);
    for (const key of keys) {
      if (key * CHUNK >= end || (key + 1) * CHUNK <= start) continue;
      const bits = this.#chunks.get(key) as Uint8Array;
      for (let at = 0; at < bits.length; at += 1) {
        if (bits[at] === 0) continue;
        for (let bit = 0; bit < 8; bit += 1) {
          const block = key * CHUNK + at * 8 + bit;
          if (block >= start && block < end && this.has(block)) yield block;
        }
      }
    }
  }

  [Symbol.iterator](): Generator<number> {
    return this.between(0, Infinity);
  }
}
