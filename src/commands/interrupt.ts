/** What is told to stop and does not, ends after this. */
const GIVE_UP_AFTER_MS = 5_000;
const SIGNALS = ['SIGINT', 'SIGTERM'] as const;

/**
 * Ctrl-C, and a container that is ended, stop the work between two steps. A disk that does not answer
 * would hold that up for ever: after a while, or at the second signal, the process just ends. A verb
 * that never asks for the signal keeps the defaults of the process.
 */
export class Interrupt {
  readonly #controller = new AbortController();
  #watching = false;

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
    setTimeout(giveUp, GIVE_UP_AFTER_MS).unref();
  };
}

function giveUp(): never {
  process.exit(1);
}
