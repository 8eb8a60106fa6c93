import type { Hold, Breach, JsonObject } from '../../engine.ts';
import { unlessAborted } from '../../../lib/deadline.ts';
import { isGone, readLock, releaseLock } from './fsync-lock.ts';
import { readSet } from './replica-set.ts';
import { compareOpTimes, formatOpTime, parseOpTime } from '../optime.ts';
import type { MongoPosition } from '../receipt.ts';
import { readHello, readServer, toProbe } from '../server.ts';
import type { Session } from '../connection/session.ts';
import type { HoldFacts } from './under-lock.ts';
import { watchLock } from './watch.ts';

/** The longest lease on a primary whose set has other members; see `Hold.longestLeaseMs`. */
export const PRIMARY_LEASE_MS = 30_000;

const RELEASE_WITHIN_MS = 5_000;

/** The journal entry that `recover` needs once the lock is in place. */
export function journalOf({ runId, lockOpId }: MongoPosition): JsonObject {
  return { step: 'locked', runId, lockOpId };
}

/** Makes a hold of the lock. It owns the session and closes it after the release. */
export function lockHold(session: Session, facts: HoldFacts, onReleased: () => void): Hold {
  const { server, view, position, restore } = facts;
  const watch = watchLock(session, facts);
  let releasing: Promise<number | undefined> | undefined;
  const shortened = server.role === 'primary' && view !== undefined && view.members.length > 1;
  return {
    mode: 'locked',
    server: toProbe(server),
    writesBlocked: facts.writesBlocked,
    position,
    restore,
    reasons: facts.reasons,
    notes: facts.notes,
    journal: journalOf(position),
    lost: watch.lost,
    ...(shortened ? { longestLeaseMs: PRIMARY_LEASE_MS } : {}),
    check: (signal) => checkLock(session, facts, signal),
    release: async (signal) => {
      await watch.stop();
      const ours = { runId: position.runId, opId: position.lockOpId ?? undefined };
      // Wait for a release in progress; never send a second one.
      releasing ??= releaseLock(session, ours, AbortSignal.timeout(RELEASE_WITHIN_MS))
        .catch((error: unknown) => {
          // A server that is gone holds no lock.
          if (isGone(error)) return undefined;
          throw error;
        })
        .finally(() => {
          releasing = undefined;
        });
      const left = await unlessAborted(releasing, signal);
      onReleased();
      await session.close();
      if (left === undefined || left === 0) return;
      return { breaches: [], position: { locksOfOthersLeft: left } };
    },
  };
}

/** Compares the server with its state under the lock. Nothing found proves that nothing was written since. */
export async function checkLock(
  session: Session,
  { server, view, position }: HoldFacts,
  signal: AbortSignal,
): Promise<readonly Breach[]> {
  const found: Breach[] = [];
  const hello = await readHello(session, signal);
  if (hello.runId !== position.runId) {
    const note = 'The server was restarted during the freeze, and its lock was lost.';
    return [{ code: 'server-restarted', note }];
  }
  const now = await readServer(session, signal);
  if (now.pid !== position.pid || msBetween(now.startedAt, position.startedAt) > 2_000) {
    found.push({
      code: 'server-restarted',
      note: `The server is now another process (${now.pid}) than the one that was locked.`,
    });
  }
  const lock = await readLock(session, signal);
  if (!lock.locked || lock.pending) {
    found.push({
      code: 'lock-gone',
      note: 'Another client unlocked the server during the freeze.',
    });
  } else if (position.lockOpId !== null && lock.opId !== position.lockOpId) {
    found.push({ code: 'lock-replaced', note: 'The present lock is not ours.' });
  }
  if (now.role !== server.role) {
    found.push({
      code: 'role-changed',
      note: `The server was ${server.role} and is now ${now.role}.`,
    });
  }
  const promised = position.opTime === null ? undefined : parseOpTime(position.opTime);
  if (promised && now.opTime && compareOpTimes(now.opTime, promised) !== 0) {
    const at = formatOpTime(now.opTime);
    found.push({
      code: 'written-while-held',
      note: `The server was at ${position.opTime} and is now at ${at}.`,
    });
  }
  if (view) {
    const { term } = await readSet(session, signal);
    if (term !== position.term) {
      found.push({
        code: 'term-changed',
        note: `The set held an election during the freeze: the term was ${position.term} and is now ${term}.`,
      });
    }
  }
  return found;
}

function msBetween(a: string, b: string): number {
  return Math.abs(Date.parse(a) - Date.parse(b));
}
