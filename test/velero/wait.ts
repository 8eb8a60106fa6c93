import { setTimeout as sleep } from 'node:timers/promises';

/**
 * Waits until `look` returns something other than false, null or undefined; what it throws counts as "not yet".
 *
 * @throws Error that names `what`, and the last thing that `look` threw, after `withinMs`
 */
export async function until<T>(
  what: string,
  withinMs: number,
  look: () => Promise<T | false | null | undefined>,
  everyMs = 200,
): Promise<T> {
  const deadline = performance.now() + withinMs;
  let last: unknown;
  for (;;) {
    try {
      const seen = await look();
      if (seen !== false && seen !== null && seen !== undefined) return seen;
    } catch (error) {
      last = error;
    }
    if (performance.now() > deadline) {
      const why = last instanceof Error ? `: ${last.message}` : '';
      throw new Error(`${what}: not within ${withinMs / 1_000} s${why}`, { cause: last });
    }
    await sleep(everyMs);
  }
}
