import { describe, expect, it } from 'vitest';
import { closingLine, isFailed, type Run } from './support/closing-line.ts';

const all = { ran: 9, all: 9 };
const run = (...tiers: string[]): Run => ({ tiers, files: all, byName: false });
const counts = { passed: 612, failed: 0, skipped: 0 };

describe('the closing line of a run', () => {
  it.each<[Run, string]>([
    [run('fast'), 'fast; npm run test:full has the rest'],
    [run('fast', 'smoke'), 'fast and smoke; npm run test:full has the rest'],
    [run('fast', 'smoke', 'full'), 'fast, smoke and full'],
    [run('kubernetes'), 'kubernetes'],
    [
      { ...run('fast', 'smoke', 'full'), files: { ran: 3, all: 9 } },
      '3 of 9 files of fast, smoke and full',
    ],
    [{ ...run('fast'), byName: true }, 'tests picked by name, of fast'],
  ])('names what ran: %o', (given, named) => {
    expect(closingLine(counts, given)).toBe(`612 passed, 0 failed, 0 skipped (${named})`);
  });

  it.each(['fast', 'smoke', 'full', 'kubernetes'])(
    'is of a failed run of %s where a test was skipped',
    (tier) => {
      expect(isFailed(counts, run(tier))).toBe(false);
      expect(isFailed({ ...counts, skipped: 1 }, run(tier))).toBe(true);
      expect(isFailed({ ...counts, failed: 1 }, run(tier))).toBe(true);
    },
  );

  it('is of no failed run where the others were left out by name', () => {
    const picked = { ...run('fast'), byName: true };
    expect(isFailed({ ...counts, skipped: 1 }, picked)).toBe(false);
    expect(isFailed({ ...counts, failed: 1, skipped: 1 }, picked)).toBe(true);
  });
});
