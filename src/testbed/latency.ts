/** A summary of the transactions between two moments. Durations are in milliseconds. */
export interface LatencyWindow {
  /** Transactions that began in the window. */
  readonly count: number;
  /** Commits per second over the window. */
  readonly perSecond: number;
  readonly p50: number;
  readonly p99: number;
  readonly max: number;
  /**
   * The longest time in which no client committed. A stall shows here even where the percentiles hide
   * it: a client that waits takes no further samples.
   */
  readonly longestGapMs: number;
}

/** `from` is inclusive, `to` exclusive; both on the clock of `performance.now()`. */
export interface Span {
  readonly from: number;
  readonly to: number;
}

/** One acknowledged write. */
export interface Acknowledgement {
  readonly client: number;
  /** Its number in the client's sequence. All smaller ones are acknowledged, too. */
  readonly seq: number;
  readonly tookMs: number;
}

interface Sample {
  readonly begun: number;
  readonly took: number;
}

/** The quantile `q`, from 0 to 1, of sorted values (nearest rank); 0 if there are none. */
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

  /** The latencies of transactions that began in [from, to), unsorted. */
  between(from: number, to: number): number[] {
    return this.#select(({ begun }) => begun >= from && begun < to).map(({ took }) => took);
  }

  /**
   * Summarizes [from, to). A transaction that began in the window counts with its whole length, so call
   * this after those have ended.
   *
   * @param except a part of the window to leave out, with all transactions that overlap it.
   */
  window(from: number, to: number, except?: Span): LatencyWindow {
    const chosen = this.#select(
      (sample) => sample.begun >= from && sample.begun < to && !(except && touches(sample, except)),
    );
    const parts: Span[] = except
      ? [
          { from, to: except.from },
          { from: except.to, to },
        ]
      : [{ from, to }];
    return this.#summarize(chosen, parts);
  }

  /** Summarizes all transactions that overlap [from, to), including those that began before it. */
  touching(span: Span): LatencyWindow {
    return this.#summarize(
      this.#select((sample) => touches(sample, span)),
      [span],
    );
  }

  /** Commits in each of `buckets` equal parts of [from, to). */
  histogram(from: number, to: number, buckets: number): number[] {
    const counts = Array.from({ length: buckets }, () => 0);
    for (const end of this.#commits({ from, to })) {
      const at = Math.min(buckets - 1, Math.floor(((end - from) / (to - from)) * buckets));
      counts[at] = (counts[at] ?? 0) + 1;
    }
    return counts;
  }

  #summarize(samples: readonly Sample[], parts: readonly Span[]): LatencyWindow {
    const sorted = Float64Array.from(samples, ({ took }) => took).sort();
    const commits = parts.map((part) => this.#commits(part));
    const length = parts.reduce((sum, { from, to }) => sum + (to - from), 0);
    const total = commits.reduce((sum, ends) => sum + ends.length, 0);
    return {
      count: sorted.length,
      perSecond: length > 0 ? total / (length / 1_000) : 0,
      p50: quantile(sorted, 0.5),
      p99: quantile(sorted, 0.99),
      max: sorted.at(-1) ?? 0,
      longestGapMs: Math.max(...parts.map((part, i) => longestGap(part, commits[i] ?? []))),
    };
  }

  #select(wanted: (sample: Sample) => boolean): Sample[] {
    return this.#begun
      .map((begun, i) => ({ begun, took: this.#took[i] ?? 0 }))
      .filter((sample) => wanted(sample));
  }

  #commits({ from, to }: Span): number[] {
    const ends = this.#took.map((took, i) => (this.#begun[i] ?? 0) + took);
    return ends.filter((end) => end >= from && end < to).sort((a, b) => a - b);
  }
}

function touches({ begun, took }: Sample, { from, to }: Span): boolean {
  return begun < to && begun + took >= from;
}

function longestGap({ from, to }: Span, ends: readonly number[]): number {
  let last = from;
  let longest = 0;
  for (const end of [...ends, to]) {
    longest = Math.max(longest, end - last);
    last = end;
  }
  return longest;
}
