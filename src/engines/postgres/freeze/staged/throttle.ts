import { setTimeout as sleep } from 'node:timers/promises';

const LONGEST_PAUSE_MS = 100;

/**
 * Rests as long as the work before took, so that staging takes at most half of the disk's time: where
 * writers make it slow, the rests grow with it. A rest ends at once when the freeze does.
 */
export async function pace(workMs: number, signal: AbortSignal): Promise<void> {
  if (workMs < 1) return;
  await sleep(Math.min(workMs, LONGEST_PAUSE_MS), undefined, { signal }).catch(() => undefined);
  signal.throwIfAborted();
}
