import { setTimeout as sleep } from 'node:timers/promises';
import { compareOpTimes, readOpTime } from '../optime.ts';
import type { Session } from '../connection/session.ts';

const LOOK_AFTER_MS = 1;
/** After this long the lock is tried anyway: it may hit a moment that no look did. */
const LOOK_FOR_MS = 500;

/**
 * Whether everything that this member has applied is in its journal.
 *
 * After a crash, and so in a copy, a primary truncates its oplog after the last write that it had
 * journaled by itself. The lock's own flush does not count for that, and no journal is written under the
 * lock. Measured: with a lock taken at an arbitrary moment, copies of the block device lacked the last
 * write of each of eight writers.
 */
export async function isJournaled(session: Session, signal: AbortSignal): Promise<boolean> {
  const status = await session.admin({ replSetGetStatus: 1 }, 'read the status of the set', signal);
  const { appliedOpTime, durableOpTime } = (status['optimes'] ?? {}) as Record<string, unknown>;
  const [applied, durable] = [readOpTime(appliedOpTime), readOpTime(durableOpTime)];
  return applied !== undefined && durable !== undefined && compareOpTimes(durable, applied) >= 0;
}

/**
 * Waits, while writers go on, for a moment when everything is journaled. The next write ends that moment,
 * so ask for the lock immediately. Also resolves after half a second without such a moment.
 */
export async function awaitJournaled(session: Session, signal: AbortSignal): Promise<void> {
  const until = performance.now() + LOOK_FOR_MS;
  while (performance.now() < until) {
    if (await isJournaled(session, signal)) return;
    await sleep(LOOK_AFTER_MS, undefined, { signal });
  }
}
