/** Blocks in one chunk: 64 MB of data. */
const CHUNK = 8192;
/** From here on an array is smaller than a map. */
const DENSE = 1024;

type Chunk = Map<number, number> | Uint32Array;

/**
 * A number from 1 to 2³² - 1 for each of some blocks. Takes some forty bytes for a block alone, and
 * at most four for each of many neighbours.
 */
export class BlockPositions {
  readonly #chunks = new Map<number, Chunk>();

  set(block: number, value: number): void {
    const key = Math.floor(block / CHUNK);
    let chunk = this.#chunks.get(key);
    if (chunk === undefined) this.#chunks.set(key, (chunk = new Map()));
    else if (chunk instanceof Map && chunk.size >= DENSE) {
      this.#chunks.set(key, (chunk = toArray(chunk)));
    }
    if (chunk instanceof Map) chunk.set(block % CHUNK, value);
    else chunk[block % CHUNK] = value;
  }

  /** 0 where none was set. */
  get(block: number): number {
    const chunk = this.#chunks.get(Math.floor(block / CHUNK));
    if (chunk === undefined) return 0;
    return (chunk instanceof Map ? chunk.get(block % CHUNK) : chunk[block % CHUNK]) ?? 0;
  }

  /** Forgets all blocks from this one on. */
  cut(from: number): void {
    for (const key of this.#chunks.keys()) {
      if (key * CHUNK >= from) this.#chunks.delete(key);
    }
    const chunk = this.#chunks.get(Math.floor(from / CHUNK));
    if (chunk instanceof Map) {
      for (const within of chunk.keys()) if (within >= from % CHUNK) chunk.delete(within);
    } else chunk?.fill(0, from % CHUNK);
  }

  /** Blocks with a number, from `start` to before `end`, in ascending order. */
  *between(start: number, end: number): Generator<number> {
    const keys = [...this.#chunks.keys()].sort((a, b) => a - b);
    for (const key of keys) {
      if (key * CHUNK >= end || (key + 1) * CHUNK <= start) continue;
      const chunk = this.#chunks.get(key) as Chunk;
      const within = [...chunk.keys()];
      if (chunk instanceof Map) within.sort((a, b) => a - b);
      for (const one of within) {
        const block = key * CHUNK + one;
        if (block >= start && block < end && this.get(block) !== 0) yield block;
      }
    }
  }
}

function toArray(chunk: Map<number, number>): Uint32Array {
  const array = new Uint32Array(CHUNK);
  for (const [within, value] of chunk) array[within] = value;
  return array;
}
