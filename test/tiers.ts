/**
 * The tiers, by the end of a file's name: what has no ending of its own is fast. `npm test` runs fast and
 * smoke, `npm run test:full` those and full, `npm run test:kubernetes` the last one.
 */
export const ENDINGS = {
  smoke: '.server.test.ts',
  full: '.full.test.ts',
  kubernetes: '.kubernetes.test.ts',
} as const;

export type Tier = 'fast' | keyof typeof ENDINGS;

/** The tier a test file belongs to, by its name. */
export function tierOf(file: string): Tier {
  for (const [tier, ending] of Object.entries(ENDINGS)) {
    if (file.endsWith(ending)) return tier as Tier;
  }
  return 'fast';
}
