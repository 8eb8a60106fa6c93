import type { VerifyResult } from '../engines/engine.ts';
import { type QuiesceError, toQuiesceError } from '../errors.ts';
import { abortedWithin, pause } from '../lib/deadline.ts';

const TRY_AGAIN_AFTER_MS = 1_000;
const ANSWER_WITHIN_MS = 30_000;

/**
 * Asks the engine until the server answers.
 *
 * @param refused the answer where the engine itself refused: a retry would fail as well
 * @param waiting called after each try without an answer
 * @returns `undefined` once `stop` has aborted
 */
export async function untilAnswered<T>(
  ask: (signal: AbortSignal) => Promise<T>,
  refused: (error: QuiesceError) => T,
  waiting: (error: QuiesceError) => void,
  stop: AbortSignal,
): Promise<T | undefined> {
  while (!stop.aborted) {
    try {
      return await ask(abortedWithin(ANSWER_WITHIN_MS, stop));
    } catch (error) {
      const known = toQuiesceError(error);
      if (!known.code.startsWith('ENGINE_')) return refused(known);
      waiting(known);
    }
    await beforeNextTry(stop);
  }
  return undefined;
}

/** The result for a receipt that the engine refuses. */
export function unverifiable({ message }: QuiesceError): VerifyResult {
  return { verified: false, checks: [{ name: 'receipt', ok: false, unchecked: true, message }] };
}

/** The pause between two tries. Ends at once when `stop` aborts. */
export async function beforeNextTry(stop: AbortSignal): Promise<void> {
  await pause(TRY_AGAIN_AFTER_MS, stop).catch(() => undefined);
}
