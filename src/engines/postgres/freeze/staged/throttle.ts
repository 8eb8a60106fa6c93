import { setTimeout as sleep } from 'node:timers/promises';

const LONGEST_PAUSE_MS = 100;

/**
 * Waits as long as the work before it took, so that staging takes at most half of the disk's time.
 * If writers slow the disk down, the waits grow too. A wait ends at once when the signal aborts.
 */
export async function pace(workMs: number, signal: AbortSignal): Promise<void> {
  if (workMs < 1) return;
  await sleep(Math.min(workMs, LONGEST_PAUSE_MS), undefined, { signal }).catch(() => undefined);
  signal.throwIfAborted();
}
