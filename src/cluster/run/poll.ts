import { setTimeout as sleep } from 'node:timers/promises';
import { QuiesceError } from '../../errors.ts';

/** How often objects are read: quickly at first, since databases wait, and then slower. */
export interface Pace {
  readonly firstMs: number;
  readonly longestMs: number;
  /** An API server that has not answered for so long ends the wait. */
  readonly giveUpMs: number;
}

export const WHILE_FROZEN: Pace = { firstMs: 100, longestMs: 1_000, giveUpMs: 15_000 };
export const AFTERWARDS: Pace = { firstMs: 500, longestMs: 5_000, giveUpMs: 120_000 };

/**
 * Reads again and again until `read` says that it is done, or the signal aborts. A short loss of the API
 * server does not end it.
 *
 * @returns whether it was done
 */
export async function poll(
  read: () => Promise<boolean>,
  signal: AbortSignal,
  { firstMs, longestMs, giveUpMs }: Pace,
): Promise<boolean> {
  let wait = firstMs;
  let answered = performance.now();
  while (!signal.aborted) {
    try {
      if (await read()) return true;
      answered = performance.now();
    } catch (error) {
      const lost = error instanceof QuiesceError && error.code === 'CLUSTER_UNREACHABLE';
      if (!lost || performance.now() - answered > giveUpMs) throw error;
    }
    await sleep(wait, undefined, { signal }).catch(() => undefined);
    wait = Math.min(longestMs, wait * 1.3);
  }
  return false;
}
