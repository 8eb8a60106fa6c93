import { setTimeout as sleep } from 'node:timers/promises';
import type { Breach } from '../../engine.ts';
import type { HoldFacts } from './under-lock.ts';
import { isGone, readLock } from './fsync-lock.ts';
import { blocksElection, readSet } from './replica-set.ts';
import { readHello } from '../server.ts';
import type { Session } from '../connection/session.ts';

const LOOK_EVERY_MS = 500;
const ANSWER_WITHIN_MS = 5_000;

export interface Watch {
  /** Aborts with a list of `Breach` once the lock is known to be broken, or to do harm. */
  readonly lost: AbortSignal;
  stop(): Promise<void>;
}

/**
 * Looks at a locked server twice a second. A server that does not answer is asked again: its lock
 * does not depend on us. The lock is given up
 * - on a primary that is to step down: it cannot while it is locked, and after 30 seconds of waiting
 *   the server ends itself (measured on 6.0: SIGABRT, message 5675600);
 * - on a member without whose vote the set can elect no primary, when it has none.
 */
export function watchLock(session: Session, facts: HoldFacts): Watch {
  const lost = new AbortController();
  const stop = new AbortController();
  let electionless = 0;
  const look = async (): Promise<readonly Breach[] | undefined> => {
    const signal = AbortSignal.any([stop.signal, AbortSignal.timeout(ANSWER_WITHIN_MS)]);
    const { server, position, view } = facts;
    const hello = await readHello(session, signal);
    if (hello.runId !== position.runId) {
      return one('server-restarted', 'The server was started anew, and its lock was gone with it.');
    }
    if (server.role === 'primary' && hello.role !== 'primary') {
      return one(
        'stepdown',
        'The primary is to step down, which it cannot while it is locked: the lock was given up, or the server would have ended itself.',
      );
    }
    if (hello.role !== server.role) {
      return one('role-changed', `The server was ${server.role} and is ${hello.role} now.`);
    }
    const lock = await readLock(session, signal);
    if (!lock.locked) return one('lock-gone', 'Somebody else has unlocked the server.');
    if (position.lockOpId !== null && lock.opId !== position.lockOpId) {
      return one('lock-replaced', 'The lock that is there is another one than ours.');
    }
    if (view === undefined || server.role === 'primary') return undefined;
    electionless = blocksElection(await readSet(session, signal)) ? electionless + 1 : 0;
    return electionless > 2
      ? one(
          'election-blocked',
          'The set lost its primary and could elect none without the vote of this locked member: the lock was given up.',
        )
      : undefined;
  };
  const run = async (): Promise<void> => {
    while (!stop.signal.aborted) {
      try {
        const found = await look();
        if (found && !stop.signal.aborted) return lost.abort(found);
      } catch (error) {
        if (isGone(error) && !stop.signal.aborted) {
          return lost.abort(one('server-gone', 'The server is gone, and its lock with it.'));
        }
      }
      await sleep(LOOK_EVERY_MS, undefined, { signal: stop.signal }).catch(() => undefined);
    }
  };
  const running = run();
  return {
    lost: lost.signal,
    stop: async () => {
      stop.abort();
      await running;
    },
  };
}

function one(code: string, note: string): readonly Breach[] {
  return [{ code, note }];
}
