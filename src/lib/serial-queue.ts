/**
 * The file operations of one folder, one after the other. On a file system that hangs (a network volume
 * that is gone, a suspended device) a call never returns and cannot be taken back, and it keeps one of
 * the few threads that every file operation and look-up of a name needs: so one a folder, never more.
 */
export class SerialQueue {
  #last: Promise<unknown> = Promise.resolve();

  /** Begins once all that was given before has ended. The work must not wait for this queue itself. */
  run<T>(work: () => Promise<T>): Promise<T> {
    const next = this.#last.then(work);
    this.#last = next.catch(() => undefined);
    return next;
  }
}
