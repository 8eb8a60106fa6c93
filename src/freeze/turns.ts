import { Deferred } from '../lib/deferred.ts';

/** Callers that wait for their turn to freeze, first come, first served. */
export class Turns {
  readonly #waiting: Deferred<void>[] = [];
  #closed: Error | undefined;

  /** The next one may try. */
  next(): void {
    this.#waiting.shift()?.resolve();
  }

  /** Whoever waits, or comes to wait, is told that there will be no turn. */
  close(why: Error): void {
    this.#closed = why;
    for (const turn of this.#waiting.splice(0)) turn.reject(why);
  }

  /**
   * Waits for the turn.
   *
   * @param ms how long; `gone` ends it as well.
   * @param again the caller has had its turn and was overtaken: it comes first again.
   * @returns whether the turn has come. Rejects where there will be none.
   */
  async wait(ms: number, gone: AbortSignal | undefined, again: boolean): Promise<boolean> {
    if (this.#closed) throw this.#closed;
    if (ms <= 0 || gone?.aborted) return false;
    const turn = new Deferred<void>();
    if (again) this.#waiting.unshift(turn);
    else this.#waiting.push(turn);
    const over = new Deferred<'over'>();
    const end = (): void => over.resolve('over');
    const timer = setTimeout(end, ms);
    gone?.addEventListener('abort', end, { once: true });
    try {
      return (await Promise.race([turn.promise, over.promise])) !== 'over';
    } finally {
      clearTimeout(timer);
      gone?.removeEventListener('abort', end);
      const at = this.#waiting.indexOf(turn);
      if (at >= 0) this.#waiting.splice(at, 1);
    }
  }
}
