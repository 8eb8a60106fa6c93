/** How long the work may take to stop after a signal. Then the process exits. */
const GIVE_UP_AFTER_MS = 5_000;
const SIGNALS = ['SIGINT', 'SIGTERM'] as const;

/**
 * Turns SIGINT and SIGTERM into an abort, so that the work stops between two steps. A disk that does not
 * answer could delay that for ever, so the process exits after a while, or at the second signal. Signals
 * keep their default effect until `signal` is first read.
 */
export class Interrupt {
  readonly #controller = new AbortController();
  readonly #stopWithinMs: number;
  #watching = false;

  constructor(stopWithinMs = GIVE_UP_AFTER_MS) {
    this.#stopWithinMs = stopWithinMs;
  }

  get signal(): AbortSignal {
    if (!this.#watching) for (const name of SIGNALS) process.on(name, this.#abort);
    this.#watching = true;
    return this.#controller.signal;
  }

  get happened(): boolean {
    return this.#controller.signal.aborted;
  }

  release(): void {
    for (const name of SIGNALS) process.off(name, this.#abort);
  }

  readonly #abort = (): void => {
    if (this.happened) giveUp();
    this.#controller.abort();
    setTimeout(giveUp, this.#stopWithinMs).unref();
  };
}

function giveUp(): never {
  process.exit(1);
}
