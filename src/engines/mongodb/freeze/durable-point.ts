import { setTimeout as sleep } from 'node:timers/promises';
import { compareOpTimes, readOpTime } from '../optime.ts';
import type { Session } from '../connection/session.ts';

const LOOK_AFTER_MS = 1;
/** Then the lock is tried all the same: it may catch a moment that no look did. */
const LOOK_FOR_MS = 500;

/**
 * Everything that this member has applied is in its journal.
 *
 * After a crash, and so in a copy, a primary cuts its oplog off behind the last write it had journaled
 * by itself: the lock's own flush does not count there, and no journal is written under it. Measured:
 * of a lock taken at any moment, copies of the block device lacked the last write of each of eight
 * writers.
 */
export async function isJournaled(session: Session, signal: AbortSignal): Promise<boolean> {
  const status = await session.admin({ replSetGetStatus: 1 }, 'read the status of the set', signal);
  const { appliedOpTime, durableOpTime } = (status['optimes'] ?? {}) as Record<string, unknown>;
  const [applied, durable] = [readOpTime(appliedOpTime), readOpTime(durableOpTime)];
  return applied !== undefined && durable !== undefined && compareOpTimes(durable, applied) >= 0;
}

/**
 * Waits, while writers go on, for a moment in which everything is journaled: the next write ends it, so
 * the lock is to be asked for at once. Resolves after half a second without one, too.
 */
export async function awaitJournaled(session: Session, signal: AbortSignal): Promise<void> {
  const until = performance.now() + LOOK_FOR_MS;
  while (performance.now() < until) {
    if (await isJournaled(session, signal)) return;
    await sleep(LOOK_AFTER_MS, undefined, { signal });
  }
}
