import { setTimeout as sleep } from 'node:timers/promises';

const PAUSE_MS = 100;

/**
 * Tries until the result is neither `undefined` nor `false`. Errors count as not yet; the last one is the
 * cause of the error at the end.
 *
 * @param what completes "… within 60 s": `mongo-0 is primary`
 */
export async function waitFor<T>(
  what: string,
  attempt: () => Promise<T | undefined | false>,
  withinMs = 60_000,
): Promise<T> {
  const deadline = performance.now() + withinMs;
  let cause: unknown;
  for (;;) {
    try {
      const result = await attempt();
      if (result !== undefined && result !== false) return result;
      cause = undefined;
    } catch (error) {
      cause = error;
    }
    if (performance.now() > deadline) {
      const why = cause === undefined ? '' : `: ${(cause as Error).message}`;
      throw new Error(`not within ${Math.round(withinMs / 1_000)} s: ${what}${why}`, { cause });
    }
    await sleep(PAUSE_MS);
  }
}
