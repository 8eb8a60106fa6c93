import { type QuiesceError, toQuiesceError } from '../errors.ts';
import { pause } from '../lib/deadline.ts';

const TRY_AGAIN_AFTER_MS = 1_000;
const ANSWER_WITHIN_MS = 30_000;

interface Answering<T> {
  readonly ask: (signal: AbortSignal) => Promise<T>;
  /** The answer where the engine refused the question itself: a retry would fail as well. */
  readonly refused: (error: QuiesceError) => T;
  /** The server does not answer yet. */
  readonly waiting: (error: QuiesceError) => void;
}

/** Asks the database until it answers. `undefined`: `stop` has aborted. */
export async function untilAnswered<T>(
  { ask, refused, waiting }: Answering<T>,
  stop: AbortSignal,
): Promise<T | undefined> {
  while (!stop.aborted) {
    try {
      return await ask(AbortSignal.any([stop, AbortSignal.timeout(ANSWER_WITHIN_MS)]));
    } catch (error) {
      const known = toQuiesceError(error);
      if (!known.code.startsWith('ENGINE_')) return refused(known);
      waiting(known);
    }
    await pause(TRY_AGAIN_AFTER_MS, stop).catch(() => undefined);
  }
  return undefined;
}
