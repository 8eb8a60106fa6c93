import { QuiesceError } from '../errors.ts';
import { unlessAborted } from './deadline.ts';

interface Making<T> {
  readonly answer: Promise<T>;
  readonly abort: AbortController;
  askers: number;
}

/**
 * Does the work for an answer once at a time, however many callers ask. A caller that asks while the work
 * runs gets the same answer. A caller that leaves does not disturb the others; when the last one leaves,
 * the work is aborted.
 */
export class SharedAnswer<T> {
  readonly #make: (signal: AbortSignal) => Promise<T>;
  #making: Making<T> | undefined;

  constructor(make: (signal: AbortSignal) => Promise<T>) {
    this.#make = make;
  }

  async ask(signal: AbortSignal): Promise<T> {
    const making = await this.#join(signal);
    const leave = (): void => {
      making.askers -= 1;
      if (making.askers === 0) making.abort.abort(signal.reason);
    };
    if (signal.aborted) leave();
    else signal.addEventListener('abort', leave, { once: true });
    try {
      return await unlessAborted(making.answer, signal);
    } catch (error) {
      if (!signal.aborted) throw error;
      // The last caller waits until the work has ended: its error reports how far it got.
      throw making.askers === 0 ? await failureOf(making.answer, signal) : givenUp(signal);
    } finally {
      signal.removeEventListener('abort', leave);
    }
  }

  /** Joins the work in progress or starts it. Waits for aborted work first, so that it never runs twice at once. */
  async #join(signal: AbortSignal): Promise<Making<T>> {
    for (;;) {
      if (signal.aborted) throw givenUp(signal);
      const making = this.#making;
      if (!making) return this.#begin();
      if (!making.abort.signal.aborted) {
        making.askers += 1;
        return making;
      }
      await unlessAborted(
        making.answer.catch(() => undefined),
        signal,
      ).catch(() => undefined);
    }
  }

  #begin(): Making<T> {
    const abort = new AbortController();
    const answer = this.#make(abort.signal).finally(() => {
      this.#making = undefined;
    });
    answer.catch(() => undefined);
    const making = { answer, abort, askers: 1 };
    this.#making = making;
    return making;
  }
}

async function failureOf(answer: Promise<unknown>, signal: AbortSignal): Promise<unknown> {
  return await answer.then(
    () => givenUp(signal),
    (error: unknown) => error,
  );
}

function givenUp(signal: AbortSignal): QuiesceError {
  return new QuiesceError(
    'ENGINE_UNREACHABLE',
    'The caller gave up before the database answered.',
    {
      cause: signal.reason,
    },
  );
}
