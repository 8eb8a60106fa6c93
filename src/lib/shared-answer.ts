import { QuiesceError } from '../errors.ts';
import { unlessAborted } from './deadline.ts';

interface Making<T> {
  readonly answer: Promise<T>;
  readonly abort: AbortController;
  askers: number;
}

/**
 * One question, asked once at a time however many ask it: whoever comes while the answer is being made
 * gets that same answer. An asker that goes away leaves it to the others; the last one gone ends it.
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
      // The last one waits for the end of the work, which says in its own words how far it came.
      throw making.askers === 0 ? await failureOf(making.answer, signal) : givenUp(signal);
    } finally {
      signal.removeEventListener('abort', leave);
    }
  }

  /** The work under way, or a new one; work that was ended is waited for, so that there is never a second. */
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
  return new QuiesceError('ENGINE_UNREACHABLE', 'Given up before the database answered.', {
    cause: signal.reason,
  });
}
