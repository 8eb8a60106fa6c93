const TRY_AGAIN_AFTER_MS = 1_000;

/**
 * Retries work that failed at the end of a freeze (a disk was full, a volume read-only) every second
 * until it succeeds.
 */
export class RetryLater {
  #work: (() => Promise<void>) | undefined;
  #running: Promise<void> = Promise.resolve();
  #timer: NodeJS.Timeout | undefined;

  /** Replaces the work scheduled before. */
  schedule(work: () => Promise<void>): void {
    this.#work = work;
    this.#arm();
  }

  /**
   * Tries the work one last time, then drops it. Await this before doing anything that the work would
   * undo. Resolves when none of it is running, whether it succeeded or failed.
   */
  async finish(): Promise<void> {
    clearTimeout(this.#timer);
    await this.#running;
    clearTimeout(this.#timer);
    const work = this.#work;
    this.#work = undefined;
    await work?.().catch(() => undefined);
  }

  #arm(): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      this.#running = this.#try();
    }, TRY_AGAIN_AFTER_MS).unref();
  }

  async #try(): Promise<void> {
    const work = this.#work;
    try {
      await work?.();
      if (this.#work === work) this.#work = undefined;
    } catch {
      if (this.#work === work) this.#arm();
    }
  }
}
