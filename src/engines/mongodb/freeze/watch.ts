import type { Breach } from '../../engine.ts';
import { ANSWER_WITHIN_MS, Looks } from '../../shared/watch.ts';
import type { HoldFacts } from './under-lock.ts';
import { isGone, readLock } from './fsync-lock.ts';
import { blocksElection, readSet } from './replica-set.ts';
import { readHello } from '../server.ts';
import type { Session } from '../connection/session.ts';
import { abortedWithin } from '../../../lib/deadline.ts';

/** More often than the default: an election must not wait for a lock that has become useless. */
const LOOK_EVERY_MS = 500;

/**
 * Looks at a locked server twice a second. A server that does not answer is asked again, since its lock
 * does not depend on us. The hold is declared lost, so that the lock is released,
 * - on a primary that is to step down: it cannot while it is locked, and after waiting for 30 seconds the
 *   server terminates itself (measured on 6.0: SIGABRT, message 5675600);
 * - on a member whose vote the set needs to elect a primary, when the set has none.
 */
export function watchLock(session: Session, facts: HoldFacts): Looks {
  const { server, view } = facts;
  let electionless = 0;
  const blocks = async (signal: AbortSignal): Promise<readonly Breach[]> => {
    if (view === undefined || server.role === 'primary') return [];
    electionless = blocksElection(await readSet(session, signal)) ? electionless + 1 : 0;
    return electionless > 2
      ? breach(
          'election-blocked',
          'The set lost its primary and could not elect one without the vote of this locked member: the lock was released.',
        )
      : [];
  };
  return new Looks({
    everyMs: LOOK_EVERY_MS,
    look: async (stop) => {
      const signal = abortedWithin(ANSWER_WITHIN_MS, stop);
      const found = await breachesNow(session, facts, signal);
      return found.length > 0 ? found : await blocks(signal);
    },
    failed: (error) =>
      isGone(error) ? breach('server-gone', 'The server is gone, and its lock with it.') : [],
  });
}

/** Compares the server with its state when it was locked. */
async function breachesNow(
  session: Session,
  { server, position }: HoldFacts,
  signal: AbortSignal,
): Promise<readonly Breach[]> {
  const hello = await readHello(session, signal);
  if (hello.runId !== position.runId) {
    return breach('server-restarted', 'The server was restarted, and its lock was lost.');
  }
  if (server.role === 'primary' && hello.role !== 'primary') {
    return breach(
      'stepdown',
      'The primary was asked to step down, which it cannot do while locked: the lock was released, because the server would otherwise have terminated itself.',
    );
  }
  if (hello.role !== server.role) {
    return breach('role-changed', `The server was ${server.role} and is now ${hello.role}.`);
  }
  const lock = await readLock(session, signal);
  if (!lock.locked) return breach('lock-gone', 'Another client unlocked the server.');
  if (position.lockOpId !== null && lock.opId !== position.lockOpId) {
    return breach('lock-replaced', 'The present lock is not ours.');
  }
  return [];
}

function breach(code: string, note: string): readonly Breach[] {
  return [{ code, note }];
}
