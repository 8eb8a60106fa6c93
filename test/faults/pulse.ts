const LOOK_EVERY_MS = 50;

/** Measures the longest time without an acknowledged write. */
export class Pulse {
  readonly #writes: () => number;
  readonly #timer: NodeJS.Timeout;
  #last: number;
  #since = performance.now();
  #looked = performance.now();
  #longest = 0;

  constructor(writes: () => number) {
    this.#writes = writes;
    this.#last = writes();
    this.#timer = setInterval(() => this.#look(), LOOK_EVERY_MS);
  }

  #look(): void {
    const [now, writes] = [performance.now(), this.#writes()];
    // Time in which this process itself did not run does not count.
    const blind = now - this.#looked - LOOK_EVERY_MS;
    if (blind > LOOK_EVERY_MS) this.#since += blind;
    this.#looked = now;
    if (writes > this.#last) this.#since = now;
    this.#last = writes;
    this.#longest = Math.max(this.#longest, now - this.#since);
  }

  /** The longest time so far, in milliseconds. */
  get stillMs(): number {
    return this.#longest;
  }

  stop(): void {
    this.#look();
    clearInterval(this.#timer);
  }
}
