import type { Stats } from 'node:fs';

/** A file that changed so shortly before it was synced may have changed again within the same tick of its clock. */
const RACY_MS = 2_000;
const MOST = 250_000;

type State = Pick<Stats, 'dev' | 'ino' | 'size' | 'ctimeMs'>;

/**
 * The files that were synced in the state they still have. Each write to a file moves its change time, also
 * one through a memory map, so a file in the same state has nothing that is not on the disk. A hash for
 * each file keeps 100,000 of them in a few megabytes.
 */
export class Known {
  readonly #hashes = new Set<number>();

  has(state: State): boolean {
    return this.#hashes.has(hashOf(state));
  }

  /** @param state read before the fsync began */
  add(state: State): void {
    // No time that might be a false one is trusted here: then the file is synced again at the next look.
    if (Math.abs(Date.now() - state.ctimeMs) < RACY_MS || state.ctimeMs > Date.now()) return;
    if (this.#hashes.size >= MOST) this.#hashes.clear();
    this.#hashes.add(hashOf(state));
  }
}

/** A number of 53 bits: two of 100,000 files are the same with a chance of less than one in a million. */
export function hashOf({ dev, ino, size, ctimeMs }: State): number {
  const words = new Uint32Array(new Float64Array([dev, ino, size, ctimeMs]).buffer);
  let [high, low] = [0xdeadbeef, 0x41c6ce57];
  for (const word of words) {
    high = Math.imul(high ^ word, 2_654_435_761);
    low = Math.imul(low ^ word, 1_597_334_677);
    high ^= high >>> 15;
    low ^= low >>> 13;
  }
  high =
    Math.imul(high ^ (high >>> 16), 2_246_822_507) ^ Math.imul(low ^ (low >>> 13), 3_266_489_909);
  low =
    Math.imul(low ^ (low >>> 16), 2_246_822_507) ^ Math.imul(high ^ (high >>> 13), 3_266_489_909);
  return 4_294_967_296 * (2_097_151 & low) + (high >>> 0);
}
