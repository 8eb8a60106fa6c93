/** A step of a run: its place in the order of all steps, and its time since the start. */
export interface Mark {
  /** Decides what came before what. One process counts it, so no clock is compared. */
  readonly order: number;
  /** Milliseconds since the run began, by one monotonic clock: for people. */
  readonly ms: number;
}

/** Counts and times the steps of one run. */
export class Steps {
  readonly #begun = performance.now();
  #count = 0;

  mark(): Mark {
    this.#count += 1;
    return { order: this.#count, ms: Math.round((performance.now() - this.#begun) * 10) / 10 };
  }
}
