const TRY_AGAIN_AFTER_MS = 1_000;

/**
 * Work that failed at the end of a freeze (a disk was full, a volume read-only) and is still owed: it
 * is tried again every second until it succeeds.
 */
export class RetryLater {
  #work: (() => Promise<void>) | undefined;
  #running: Promise<void> = Promise.resolve();
  #timer: NodeJS.Timeout | undefined;

  /** Takes the place of what was owed before. */
  schedule(work: () => Promise<void>): void {
    this.#work = work;
    this.#arm();
  }

  /**
   * To be awaited before anything that the work would undo: tries a last time, then forgets it.
   * Resolves when nothing of it runs any more, whatever came of it.
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
