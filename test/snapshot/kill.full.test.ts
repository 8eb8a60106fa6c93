import { describe, expect, it } from 'vitest';
import { shop } from './shop.ts';
import { killAtEveryStep } from './kill.ts';

/** Set QUIESCE_TEST_TRIALS=100 for a long run. */
const RUNS = Number(process.env['QUIESCE_TEST_TRIALS'] ?? 30);

describe('kill -9', () => {
  it(
    `at ${RUNS} steps leaves nothing frozen past its lease, and nothing falsely proven`,
    { timeout: 30 * 60_000 },
    async () => {
      const made = await shop();
      expect(await killAtEveryStep(made, { runs: RUNS, seed: 1, outwaitEvery: 20 })).toBe(RUNS);
    },
  );
});
