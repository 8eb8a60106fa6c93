import { QuiesceError } from '../errors.ts';
import { Deferred } from '../lib/deferred.ts';

interface Waiting {
  readonly id: string;
  readonly turn: Deferred<void>;
}

export interface WaitOptions {
  /** Id of the waiting freeze. */
  readonly id: string;
  readonly ms: number;
  /** Aborts when the caller disconnects. */
  readonly gone: AbortSignal | undefined;
  /** Its turn came, but another freeze was faster: it goes to the front of the queue. */
  readonly again: boolean;
}

/** The queue of callers that wait to freeze: first come, first served. */
export class Turns {
  #waiting: readonly Waiting[] = [];
  #closed: Error | undefined;

  /** Gives the next caller its turn. */
  next(): void {
    const [first, ...others] = this.#waiting;
    this.#waiting = others;
    first?.turn.resolve();
  }

  /** Rejects all waiting callers, and all later ones, with `why`. */
  close(why: Error): void {
    this.#closed = why;
    for (const { turn } of this.#waiting) turn.reject(why);
    this.#waiting = [];
  }

  /** Ends the wait of the freeze with this id: its thaw has come. @returns whether it was waiting */
  cancel(id: string): boolean {
    const found = this.#waiting.filter((one) => one.id === id);
    this.#waiting = this.#waiting.filter((one) => one.id !== id);
    const why = new QuiesceError('FREEZE_ABORTED', 'A thaw ended the freeze while it waited.');
    for (const { turn } of found) turn.reject(why);
    return found.length > 0;
  }

  /** Waits for the turn. @returns whether it came in time. Rejects after `close` or `cancel`. */
  async wait({ id, ms, gone, again }: WaitOptions): Promise<boolean> {
    if (this.#closed) throw this.#closed;
    if (ms <= 0 || gone?.aborted) return false;
    const one: Waiting = { id, turn: new Deferred<void>() };
    this.#waiting = again ? [one, ...this.#waiting] : [...this.#waiting, one];
    const over = new Deferred<'over'>();
    const end = (): void => over.resolve('over');
    const timer = setTimeout(end, ms);
    gone?.addEventListener('abort', end, { once: true });
    try {
      return (await Promise.race([one.turn.promise, over.promise])) !== 'over';
    } finally {
      clearTimeout(timer);
      gone?.removeEventListener('abort', end);
      this.#waiting = this.#waiting.filter((other) => other !== one);
    }
  }
}
