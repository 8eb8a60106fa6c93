import { defineConfig } from 'vitest/config';
import { ENDINGS } from './test/tiers.ts';

/** Builds Helm and Kubernetes once, into a cache outside the repository: see CONTRIBUTING. */
export default defineConfig({
  test: {
    name: 'kubernetes',
    include: [`test/**/*${ENDINGS.kubernetes}`],
    reporters: ['default', './test/support/closing-line.ts'],
    globalSetup: './test/support/kubernetes-setup.ts',
    testTimeout: 60_000,
    hookTimeout: 120_000,
    expect: { poll: { timeout: 10_000 } },
    maxWorkers: 2,
    passWithNoTests: false,
    retry: process.env['CI'] ? 1 : 0,
  },
});
