import type { FreezeObserver } from '../../src/freeze/runner.ts';

/** Ignores all events, for tests that do not look at metrics. */
export const silentObserver: FreezeObserver = {
  hookRun: () => undefined,
  consistency: () => undefined,
  frozen: () => undefined,
  autoThaw: () => undefined,
  lastSuccess: () => undefined,
  unsynced: () => undefined,
};
