import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    reporters: ['default', './test/support/closing-line.ts'],
    globalSetup: './test/support/global-setup.ts',
    testTimeout: 60_000,
    hookTimeout: 120_000,
    // Real servers on two cores: more workers than this only measures contention.
    maxWorkers: 2,
    passWithNoTests: false,
    // Real processes on a shared machine: a second try is shown in the report, a second failure fails.
    retry: process.env['CI'] ? 1 : 0,
  },
});
