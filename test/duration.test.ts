import { describe, expect, it } from 'vitest';
import { LONGEST_MS } from '../src/defaults.ts';
import { formatDuration, parseDuration } from '../src/lib/duration.ts';

describe('a duration', () => {
  it.each([
    [740, '740 ms'],
    [5_200, '5.2 s'],
    [60_000, '1 min'],
    [603_000, '10 min 3 s'],
    [3_600_000, '1 h'],
    [9_000_000, '2 h 30 min'],
    [LONGEST_MS, '24 h'],
  ])('of %d ms is written as %s', (ms, text) => {
    expect(formatDuration(ms)).toBe(text);
  });

  it.each(['', '10', '-5s', '1m30s', '10 s', '1d', '9999999999h', '10m\n'])(
    'cannot be written as %j',
    (text) => {
      expect(parseDuration(text)).toBeUndefined();
    },
  );
});
