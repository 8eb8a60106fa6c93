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

const onServers = {
  ...common,
  globalSetup: './test/support/global-setup.ts',
};

/** The tiers are named and explained in CONTRIBUTING; a file says by its name which one it belongs to. */
export default defineConfig({
  test: {
    reporters: ['default', './test/support/closing-line.ts'],
    passWithNoTests: false,
    // Real servers are waited for most of the time: more files at once than there are cores.
    maxWorkers: 4,
    sequence: { sequencer: LongestFirst },
    projects: [
      {
        test: {
          name: 'fast',
          ...common,
          include: [filesOf('.test.ts')],
          exclude: [...configDefaults.exclude, ...Object.values(ENDINGS).map(filesOf)],
          isolate: false,
        },
      },
      { test: { name: 'smoke', ...onServers, include: [filesOf(ENDINGS.smoke)] } },
      { test: { name: 'full', ...onServers, include: [filesOf(ENDINGS.full)] } },
    ],
  },
});
