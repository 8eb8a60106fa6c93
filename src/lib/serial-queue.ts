/**
 * Runs the file operations of one folder one at a time. On a file system that hangs (a network volume
 * that is gone, a suspended device) a call never returns and cannot be cancelled. It occupies one of
 * Node's few worker threads, which every file operation and name lookup needs: so each folder may
 * occupy one thread, never more.
 */
export class SerialQueue {
  #last: Promise<unknown> = Promise.resolve();

  /** Starts the work once all earlier work has ended. The work must not wait for this queue itself. */
  run<T>(work: () => Promise<T>): Promise<T> {
    const next = this.#last.then(work);
    this.#last = next.catch(() => undefined);
    return next;
  }
}
