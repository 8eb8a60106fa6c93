import { formatDuration } from '../duration.ts';

/**
 * The file operations of one folder, one after the other. On a file system that hangs (a network volume
 * that is gone, a suspended device) a call never returns and cannot be taken back, and it keeps one of
 * the few threads that every file operation and look-up of a name needs: so one a folder, never more.
 */
export class Lane {
  #last: Promise<unknown> = Promise.resolve();

  /** Begins once all that was given before has ended. The work must not wait for this lane itself. */
  run<T>(work: () => Promise<T>): Promise<T> {
    const next = this.#last.then(work);
    this.#last = next.catch(() => undefined);
    return next;
  }
}

/** Waits for file operations only so long; they go on, and their failure is nobody's surprise. */
export async function within<T>(ms: number, work: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_resolve, reject) => {
    const why = `it gave no answer within ${formatDuration(ms)}`;
    timer = setTimeout(() => reject(new Error(why)), ms);
  });
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** As `within`, but the time begins only when the signal aborts: until then it is waited for. */
export async function soonAfterAbort<T>(
  work: Promise<T>,
  signal: AbortSignal,
  ms: number,
): Promise<T> {
  let onAbort = (): void => undefined;
  const aborted = new Promise<void>((resolve) => {
    onAbort = resolve;
    if (signal.aborted) onAbort();
    else signal.addEventListener('abort', onAbort, { once: true });
  });
  try {
    await Promise.race([work, aborted]);
    return await within(ms, work);
  } finally {
    signal.removeEventListener('abort', onAbort);
  }
}
