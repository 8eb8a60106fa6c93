import { describe, expect, it } from 'vitest';
import { LatencyLog, quantile } from '../../src/testbed/latency.ts';

describe('a latency log', () => {
  it('takes the nearest rank as the quantile, and 0 if there are no values', () => {
    const values = Array.from({ length: 100 }, (_, i) => i + 1);
    expect([quantile(values, 0.5), quantile(values, 0.99), quantile(values, 1)]).toEqual([
      50, 99, 100,
    ]);
    expect(quantile([], 0.5)).toBe(0);
  });

  it('counts a transaction in the window where it began, with its whole length', () => {
    const log = new LatencyLog();
    log.add(10, 5);
    log.add(19, 50);
    log.add(20, 1);
    expect(log.window(10, 20)).toMatchObject({ count: 2, max: 50 });
    expect(log.window(20, 30)).toMatchObject({ count: 1, max: 1 });
  });

  it('shows a stall that the percentiles hide as the longest time without a commit', () => {
    const log = new LatencyLog();
    for (let at = 0; at < 100; at += 1) log.add(at, 1);
    for (let at = 900; at < 999; at += 1) log.add(at, 1);
    const window = log.window(0, 1_000);
    expect(window.p99).toBe(1);
    expect(window.longestGapMs).toBe(801);
    expect(log.window(2_000, 3_000).longestGapMs).toBe(1_000);
  });

  it('can leave out a part with every transaction that overlaps it, and summarize that part alone', () => {
    const log = new LatencyLog();
    for (const [begun, took] of [
      [10, 5],
      [18, 40],
      [55, 6],
      [61, 5],
    ] as const)
      log.add(begun, took);
    const stop = { from: 20, to: 60 };
    expect(log.window(0, 100, stop)).toMatchObject({ count: 2, max: 5, longestGapMs: 34 });
    expect(log.window(0, 100, stop).perSecond).toBeCloseTo(50, 5);
    expect(log.touching(stop)).toMatchObject({ count: 2, max: 40 });
  });

  it('counts commits in equal parts of a window', () => {
    const log = new LatencyLog();
    for (const end of [0, 1, 5, 9.9, 10]) log.add(end, 0);
    expect(log.histogram(0, 10, 2)).toEqual([2, 2]);
  });
});
