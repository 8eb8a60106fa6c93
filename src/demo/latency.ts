/** What a set of transactions looked like between two moments. Durations in milliseconds. */
export interface LatencyWindow {
  /** Transactions begun in the window. */
  readonly count: number;
  /** Commits per second over the window. */
  readonly perSecond: number;
  readonly p50: number;
  readonly p99: number;
  readonly max: number;
  /**
   * The longest time without a commit of any client: a stall shows here even where it hides in the
   * percentiles, because a client that waits takes no further samples.
   */
  readonly longestGapMs: number;
}

/** The value below which the share `q` of sorted values lies (nearest rank); 0 for none. */
export function quantile(sorted: ArrayLike<number>, q: number): number {
  if (sorted.length === 0) return 0;
  const rank = Math.min(sorted.length - 1, Math.max(0, Math.ceil(q * sorted.length) - 1));
  return sorted[rank] ?? 0;
}

/** Samples of acknowledged transactions, on the clock of `performance.now()`. */
export class LatencyLog {
  readonly #begun: number[] = [];
  readonly #took: number[] = [];

  add(begunAt: number, tookMs: number): void {
    this.#begun.push(begunAt);
    this.#took.push(tookMs);
  }

  get count(): number {
    return this.#took.length;
  }

  /** The latencies of transactions begun in [from, to), unsorted. */
  between(from: number, to: number): number[] {
    return this.#took.filter((_, i) => {
      const begun = this.#begun[i] ?? 0;
      return begun >= from && begun < to;
    });
  }

  /**
   * Sums up [from, to). Transactions begun in the window count with their whole length, so ask when
   * those have ended.
   */
  window(from: number, to: number): LatencyWindow {
    const sorted = Float64Array.from(this.between(from, to)).sort();
    const ends = this.#commits(from, to);
    let last = from;
    let longestGapMs = 0;
    for (const end of [...ends, to]) {
      longestGapMs = Math.max(longestGapMs, end - last);
      last = end;
    }
    return {
      count: sorted.length,
      perSecond: to > from ? ends.length / ((to - from) / 1_000) : 0,
      p50: quantile(sorted, 0.5),
      p99: quantile(sorted, 0.99),
      max: sorted.at(-1) ?? 0,
      longestGapMs,
    };
  }

  /** Commits in each of `buckets` equal parts of [from, to). */
  histogram(from: number, to: number, buckets: number): number[] {
    const counts = Array.from({ length: buckets }, () => 0);
    for (const end of this.#commits(from, to)) {
      const at = Math.min(buckets - 1, Math.floor(((end - from) / (to - from)) * buckets));
      counts[at] = (counts[at] ?? 0) + 1;
    }
    return counts;
  }

  #commits(from: number, to: number): number[] {
    const ends = this.#took.map((took, i) => (this.#begun[i] ?? 0) + took);
    return ends.filter((end) => end >= from && end < to).sort((a, b) => a - b);
  }
}
