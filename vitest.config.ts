import { configDefaults, defineConfig } from 'vitest/config';

/** What needs Helm and a Kubernetes API server: `npm run test:kubernetes`. */
export const KUBERNETES = ['test/chart/**/*.test.ts', 'test/cluster/*/cluster.test.ts'];

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    exclude: [...configDefaults.exclude, ...KUBERNETES],
    reporters: ['default', './test/support/closing-line.ts'],
    globalSetup: './test/support/global-setup.ts',
    testTimeout: 60_000,
    hookTimeout: 120_000,
    expect: { poll: { timeout: 10_000 } },
    // Real servers on two cores: more workers than this only measures contention.
    maxWorkers: 2,
    passWithNoTests: false,
    // Real processes on a shared machine: a second try is shown in the report, a second failure fails.
    retry: process.env['CI'] ? 1 : 0,
  },
});
