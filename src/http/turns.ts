import { QuiesceError } from '../errors.ts';

/**
 * Lets so many in at a time; the others wait, first come first served. Every read of the database
 * takes a connection to it, and a crowd of readers must not take the one that a thaw needs.
 */
export class Turns {
  #free: number;
  readonly #waiting = new Set<() => void>();

  constructor(atATime: number) {
    this.#free = atATime;
  }

  async run<T>(gone: AbortSignal, work: () => Promise<T>): Promise<T> {
    await this.#enter(gone);
    try {
      return await work();
    } finally {
      const [next] = this.#waiting;
      if (next) next();
      else this.#free += 1;
    }
  }

  async #enter(gone: AbortSignal): Promise<void> {
    if (gone.aborted) throw callerLeft();
    if (this.#free > 0) {
      this.#free -= 1;
      return;
    }
    await new Promise<void>((resolve, reject) => {
      const onGone = (): void => {
        this.#waiting.delete(enter);
        reject(callerLeft());
      };
      const enter = (): void => {
        this.#waiting.delete(enter);
        gone.removeEventListener('abort', onGone);
        resolve();
      };
      this.#waiting.add(enter);
      gone.addEventListener('abort', onGone, { once: true });
    });
  }
}

/** Nobody reads it; it only must not look like a fault of ours. */
function callerLeft(): QuiesceError {
  return new QuiesceError('BAD_REQUEST', 'The caller went away before its turn.');
}
