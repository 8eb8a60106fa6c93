import type { FreezeObserver } from '../../src/freeze/runner.ts';

/** For tests in which no metric matters. */
export const silentObserver: FreezeObserver = {
  hookRun: () => undefined,
  consistency: () => undefined,
  frozen: () => undefined,
  autoThaw: () => undefined,
  lastSuccess: () => undefined,
};
