import { setTimeout as sleep } from 'node:timers/promises';
import type { Breach } from '../engine.ts';

export const LOOK_EVERY_MS = 1_000;
/** A server that does not answer for this long is asked again. */
export const ANSWER_WITHIN_MS = 5_000;
/** A server that refuses this many connections in a row is gone. */
export const RECONNECT_TRIES = 3;
export const RECONNECT_AFTER_MS = 300;

type Found = readonly Breach[];

interface Looking {
  readonly everyMs?: number;
  /** Delay before the first look; default 0. */
  readonly firstAfterMs?: number;
  /**
   * Asks the server what no longer holds. It must end by itself within a bounded time.
   *
   * @param stop aborts when the watch stops, for a look that may be abandoned.
   */
  look(stop: AbortSignal): Promise<Found>;
  /**
   * Decides what a failed look means. A server that merely does not answer is not gone: the evidence at the
   * thaw decides.
   *
   * @param failures the number of failures in a row, including this one.
   */
  failed?(error: unknown, failures: number): Found;
}

/** Looks at a held server repeatedly, until the hold is known to be broken or the watch is stopped. */
export class Looks {
  readonly #looking: Looking;
  readonly #lost = new AbortController();
  readonly #stop = new AbortController();
  readonly #running: Promise<void>;

  constructor(looking: Looking) {
    this.#looking = looking;
    this.#running = this.#run();
  }

  /** Aborts with a list of `Breach` as reason. */
  get lost(): AbortSignal {
    return this.#lost.signal;
  }

  get over(): boolean {
    return this.#stop.signal.aborted || this.#lost.signal.aborted;
  }

  /** Declares the hold lost if there are breaches. After a stop or a first loss it does nothing. */
  declare(found: Found): void {
    if (found.length > 0 && !this.over) this.#lost.abort(found);
  }

  /** Stops the watch immediately; resolves when no look is in progress any more. */
  async stop(): Promise<void> {
    this.#stop.abort();
    await this.#running;
  }

  async #run(): Promise<void> {
    const { everyMs = LOOK_EVERY_MS, firstAfterMs = 0 } = this.#looking;
    if (firstAfterMs > 0) await this.#wait(firstAfterMs);
    for (let failures = 0; !this.over;) {
      try {
        this.declare(await this.#looking.look(this.#stop.signal));
        failures = 0;
      } catch (error) {
        failures += 1;
        this.declare(this.#looking.failed?.(error, failures) ?? []);
      }
      if (!this.over) await this.#wait(failures === 0 ? everyMs : RECONNECT_AFTER_MS);
    }
  }

  async #wait(ms: number): Promise<void> {
    await sleep(ms, undefined, { signal: this.#stop.signal }).catch(() => undefined);
  }
}
