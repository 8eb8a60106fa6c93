import { QuiesceError } from '../errors.ts';
import { unlessAborted } from './deadline.ts';

/** Runs work one at a time, in the order of the calls. */
export class OneAtATime {
  #last: Promise<unknown> = Promise.resolve();

  /** @throws QuiesceError ENGINE_BUSY where the signal aborts before the work has started */
  async run<T>(work: () => Promise<T>, signal: AbortSignal): Promise<T> {
    const before = this.#last;
    const turn = before.then(async () => {
      if (signal.aborted) throw busy(signal);
      return await work();
    });
    this.#last = turn.catch(() => undefined);
    try {
      await unlessAborted(before, signal);
    } catch {
      throw busy(signal);
    }
    return await turn;
  }
}

function busy(signal: AbortSignal): QuiesceError {
  return new QuiesceError(
    'ENGINE_BUSY',
    'Other requests of this kind were ahead of this one and did not finish in time.',
    { cause: signal.reason },
  );
}
