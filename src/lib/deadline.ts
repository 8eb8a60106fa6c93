import { setTimeout as sleep } from 'node:timers/promises';
import { formatDuration } from './duration.ts';

/**
 * Waits for the work for at most `ms`, then rejects. The work itself continues, and its late
 * rejection is ignored.
 */
export async function withDeadline<T>(ms: number, work: Promise<T>): Promise<T> {
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

/** As `withDeadline`, but the time starts when the signal aborts. Until then it waits without a limit. */
export async function withDeadlineAfterAbort<T>(
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
    return await withDeadline(ms, work);
  } finally {
    signal.removeEventListener('abort', onAbort);
  }
}

/**
 * Waits for the work, or rejects with the signal's reason when it aborts first. The work itself
 * continues, and its late rejection is ignored.
 */
export async function unlessAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  let onAbort = (): void => undefined;
  const aborted = new Promise<never>((_resolve, reject) => {
    onAbort = () => reject(signal.reason as Error);
    if (signal.aborted) onAbort();
    else signal.addEventListener('abort', onAbort, { once: true });
  });
  try {
    return await Promise.race([work, aborted]);
  } finally {
    signal.removeEventListener('abort', onAbort);
  }
}

/** Calls `look` every `everyMs` until it returns a value. The signal is the deadline. */
export async function lookUntil<T>(
  look: () => Promise<T | undefined>,
  everyMs: number,
  signal: AbortSignal,
): Promise<T> {
  for (;;) {
    const found = await look();
    if (found !== undefined) return found;
    await pause(everyMs, signal);
  }
}

/** Sleeps for `ms`. Rejects with the signal's reason when it aborts. */
export async function pause(ms: number, signal: AbortSignal): Promise<void> {
  try {
    await sleep(ms, undefined, { signal });
  } catch (error) {
    signal.throwIfAborted();
    throw error;
  }
}

/** A signal that aborts with one of the others, and after `ms` at the latest. */
export function abortedWithin(ms: number, ...others: readonly AbortSignal[]): AbortSignal {
  const late = AbortSignal.timeout(ms);
  // `any` keeps none of its signals: Node 20 collects a timeout that nothing else refers to, and it never
  // comes. A listener keeps it until then.
  late.addEventListener('abort', () => undefined, { once: true });
  return AbortSignal.any([...others, late]);
}
