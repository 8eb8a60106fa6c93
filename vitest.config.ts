import { configDefaults, defineConfig } from 'vitest/config';
import { ENDINGS } from './test/tiers.ts';
import { LongestFirst } from './test/support/longest-first.ts';

const filesOf = (ending: string): string => `test/**/*${ending}`;

/** What every tier has in common. */
const common = {
  testTimeout: 60_000,
  hookTimeout: 120_000,
  expect: { poll: { timeout: 10_000 } },
  // Real processes on a shared machine: a second try is shown in the report, a second failure fails.
  retry: process.env['CI'] ? 1 : 0,
};

/** Tests on real servers, which wait for them most of the time: more files at once than there are cores. */
const onServers = {
  ...common,
  globalSetup: './test/support/global-setup.ts',
  maxWorkers: 4,
  sequence: { groupOrder: 1 },
};

/** The tiers are named and explained in CONTRIBUTING; a file says by its name which one it belongs to. */
export default defineConfig({
  test: {
    reporters: ['default', './test/support/closing-line.ts'],
    passWithNoTests: false,
    sequence: { sequencer: LongestFirst },
    projects: [
      {
        test: {
          name: 'fast',
          ...common,
          include: [filesOf('.test.ts')],
          exclude: [...configDefaults.exclude, ...Object.values(ENDINGS).map(filesOf)],
          isolate: false,
          maxWorkers: 2,
          sequence: { groupOrder: 0 },
        },
      },
      { test: { name: 'smoke', ...onServers, include: [filesOf(ENDINGS.smoke)] } },
      { test: { name: 'full', ...onServers, include: [filesOf(ENDINGS.full)] } },
    ],
  },
});
