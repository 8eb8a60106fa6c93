import { quantile } from '../../src/testbed/latency.ts';

/** Each bin is 0.5 % wider than the one before: the precision of a quantile. */
const STEP = Math.log(1.005);
const LOWEST_MS = 0.01;
const BINS = 3_300;
const RESAMPLES = 400;

/** Durations counted in bins, so that joining and resampling windows is cheap. */
export class Histogram {
  readonly #counts = new Uint32Array(BINS);
  #count = 0;

  static of(values: readonly number[]): Histogram {
    const histogram = new Histogram();
    for (const value of values) {
      const bin = Math.floor(Math.log(Math.max(value, LOWEST_MS) / LOWEST_MS) / STEP);
      const at = Math.min(BINS - 1, bin);
      histogram.#counts[at] = (histogram.#counts[at] ?? 0) + 1;
      histogram.#count += 1;
    }
    return histogram;
  }

  static join(parts: readonly Histogram[]): Histogram {
    const joined = new Histogram();
    for (const part of parts) {
      for (let i = 0; i < BINS; i += 1)
        joined.#counts[i] = (joined.#counts[i] ?? 0) + (part.#counts[i] ?? 0);
      joined.#count += part.#count;
    }
    return joined;
  }

  get count(): number {
    return this.#count;
  }

  quantile(q: number): number {
    let left = Math.max(1, Math.ceil(q * this.#count));
    for (let i = 0; i < BINS; i += 1) {
      left -= this.#counts[i] ?? 0;
      if (left <= 0) return LOWEST_MS * Math.exp((i + 0.5) * STEP);
    }
    return Number.NaN;
  }
}

export const median = (values: readonly number[]): number =>
  quantile(Float64Array.from(values).sort(), 0.5);

/**
 * The 90 % interval of a statistic, by bootstrap. Draws rounds, not samples, with replacement: rounds
 * differ more than samples.
 */
export function interval<T>(
  rounds: readonly T[],
  statistic: (drawn: readonly T[]) => number,
): [low: number, high: number] {
  const pick = (): T => rounds[Math.floor(Math.random() * rounds.length)] as T;
  const draws = Array.from({ length: RESAMPLES }, () => statistic(rounds.map(pick)));
  const sorted = Float64Array.from(draws).sort();
  return [quantile(sorted, 0.05), quantile(sorted, 0.95)];
}
