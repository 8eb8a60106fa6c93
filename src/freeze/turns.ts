import { QuiesceError } from '../errors.ts';
import { Deferred } from '../lib/deferred.ts';

interface Waiting {
  readonly id: string;
  readonly turn: Deferred<void>;
}

export interface WaitOptions {
  /** The freeze that waits. */
  readonly id: string;
  readonly ms: number;
  /** The caller has gone. */
  readonly gone: AbortSignal | undefined;
  /** It has had its turn and was overtaken: it comes first again. */
  readonly again: boolean;
}

/** Callers that wait for their turn to freeze, first come, first served. */
export class Turns {
  #waiting: readonly Waiting[] = [];
  #closed: Error | undefined;

  /** The next one may try. */
  next(): void {
    const [first, ...others] = this.#waiting;
    this.#waiting = others;
    first?.turn.resolve();
  }

  /** Whoever waits, or comes to wait, is told that there will be no turn. */
  close(why: Error): void {
    this.#closed = why;
    for (const { turn } of this.#waiting) turn.reject(why);
    this.#waiting = [];
  }

  /** A thaw of this freeze has come: it waits no longer. @returns whether it did */
  cancel(id: string): boolean {
    const found = this.#waiting.filter((one) => one.id === id);
    this.#waiting = this.#waiting.filter((one) => one.id !== id);
    const why = new QuiesceError('FREEZE_ABORTED', 'A thaw ended the freeze while it waited.');
    for (const { turn } of found) turn.reject(why);
    return found.length > 0;
  }

  /** Waits for the turn. @returns whether it has come. Rejects where there will be none. */
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
