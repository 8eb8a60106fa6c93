import type { Document } from 'mongodb';
import { setTimeout as sleep } from 'node:timers/promises';
import { QuiesceError } from '../../../errors.ts';
import { readHello } from '../server.ts';
import type { Session } from '../connection/session.ts';

/** The state of `fsyncLock` as `currentOp` reports it. */
export interface LockState {
  /** A client holds the lock or waits for it. */
  readonly locked: boolean;
  /** The lock is requested but not in place yet: the server reports `fsyncLock: true` even so (measured). */
  readonly pending: boolean;
  /**
   * Operation id of the server's thread that holds the lock. The first lock starts the thread and the last
   * unlock ends it, so the id identifies this lock. `undefined`: the server shows no such thread.
   */
  readonly opId: number | undefined;
}

const WORKER = 'fsyncLockWorker';
const ASK_AGAIN_AFTER_MS = 250;
const RELEASE_WITHIN_MS = 5_000;

export async function readLock(session: Session, signal: AbortSignal): Promise<LockState> {
  const command = { currentOp: 1, $all: true, desc: WORKER };
  const answer = await session.admin(command, 'ask whether it is locked', signal);
  const worker = (answer['inprog'] as Document[])[0];
  const waits = worker?.['waitingForLock'] === true;
  return {
    locked: answer['fsyncLock'] === true,
    pending: answer['fsyncLock'] === true && waits,
    opId: worker === undefined ? undefined : Number(worker['opid']),
  };
}

/** @throws QuiesceError ENGINE_LOCKED where another client holds the lock or waits for it. */
export async function requireUnlocked(session: Session, signal: AbortSignal): Promise<void> {
  const { locked, pending } = await readLock(session, signal);
  if (!locked) return;
  throw new QuiesceError(
    'ENGINE_LOCKED',
    `Another client ${pending ? 'waits for' : 'holds'} the fsync lock of ${session.target}; the sidecar neither relies on it nor releases it.`,
  );
}

/**
 * Locks the server against writes with `fsync` and `lock`, which first writes everything to the disk.
 *
 * The server waits for the lock without limit, and the wait cannot be cancelled. If the signal aborts
 * first, the lock is undone as soon as it is in place, and only then does this reject. The unlock is
 * queued on the server behind the lock, so it happens even if this process dies meanwhile.
 *
 * @param runId of the server to lock: on any other server nothing is undone.
 * @returns the number of locks on the server now, including ours.
 */
export async function takeLock(
  session: Session,
  runId: string,
  signal: AbortSignal,
): Promise<number> {
  signal.throwIfAborted();
  const locking = session.adminToItsEnd({ fsync: 1, lock: true }, 'lock the server');
  let onAbort = (): void => undefined;
  const aborted = new Promise<'aborted'>((resolve) => {
    onAbort = () => resolve('aborted');
    signal.addEventListener('abort', onAbort, { once: true });
  });
  try {
    const first = await Promise.race([locking, aborted]);
    if (first !== 'aborted' && !signal.aborted) return Number(first['lockCount'] ?? 1);
  } catch (error) {
    // Sent but not answered: the lock may still be granted.
    if (!isServerAnswer(error)) await undo(session, locking, runId);
    throw error;
  } finally {
    signal.removeEventListener('abort', onAbort);
  }
  await undo(session, locking, runId);
  throw new QuiesceError(
    'ENGINE_FAILED',
    `The lock of ${session.target} was not in place in time; it was released as soon as it was granted.`,
  );
}

async function undo(session: Session, locking: Promise<Document>, runId: string): Promise<void> {
  const queued = session.adminToItsEnd({ fsyncUnlock: 1 }, 'unlock the server');
  const [lock, unlock] = await Promise.allSettled([locking, queued]);
  if (lock.status === 'fulfilled' && unlock.status === 'fulfilled') return;
  if (lock.status === 'rejected' && isServerAnswer(lock.reason)) return;
  // The unlock overtook the lock, or the connection broke: only the server knows the outcome.
  const ended = unlock.status === 'fulfilled';
  await finishUndo(session, runId, ended);
}

/** Polls, and unlocks if necessary, until no lock of ours is in place or pending. */
async function finishUndo(
  session: Session,
  runId: string,
  alreadyUnlocked: boolean,
): Promise<void> {
  for (let seen = 0; ;) {
    const signal = AbortSignal.timeout(5_000);
    try {
      const { runId: now } = await readHello(session, signal);
      // A lock does not survive its server process.
      if (now !== runId) return;
      const state = await readLock(session, signal);
      if (!state.locked) return;
      seen = state.pending ? 0 : seen + 1;
      if (seen > 0 && alreadyUnlocked) return;
      // Give an unlock that was queued before the connection broke time to take effect.
      if (seen > 2) {
        await session.adminToItsEnd({ fsyncUnlock: 1 }, 'unlock the server');
        return;
      }
    } catch (error) {
      if (isGone(error)) return;
    }
    await sleep(ASK_AGAIN_AFTER_MS);
  }
}

/**
 * Releases one lock of ours.
 *
 * @returns the number of other clients' locks that are left; `undefined` where ours was already gone.
 * @throws QuiesceError when the lock may still be there.
 */
export async function releaseLock(
  session: Session,
  ours: { readonly runId: string; readonly opId: number | undefined },
  signal: AbortSignal,
): Promise<number | undefined> {
  const { runId } = await readHello(session, signal);
  if (runId !== ours.runId) return undefined;
  const state = await readLock(session, signal);
  const replaced = ours.opId !== undefined && state.opId !== undefined && state.opId !== ours.opId;
  if (!state.locked || replaced) return undefined;
  try {
    const answer = await session.adminToItsEnd({ fsyncUnlock: 1 }, 'unlock the server');
    return Number(answer['lockCount'] ?? 0);
  } catch (error) {
    if (/not locked/i.test((error as Error).message)) return undefined;
    throw error;
  }
}

/** Calls `releaseLock` until it succeeds or the server is gone. Never rejects. */
export async function releaseUntilGone(
  session: Session,
  ours: { readonly runId: string; readonly opId: number | undefined },
): Promise<void> {
  for (;;) {
    try {
      await releaseLock(session, ours, AbortSignal.timeout(RELEASE_WITHIN_MS));
      return;
    } catch (error) {
      if (isGone(error)) return;
    }
    await sleep(ASK_AGAIN_AFTER_MS);
  }
}

/** Whether the server refused the command. Without an answer the outcome is unknown. */
function isServerAnswer(error: unknown): boolean {
  return error instanceof QuiesceError && error.code !== 'ENGINE_UNREACHABLE';
}

/** Whether nothing listens at the server's address: then its lock is gone too. */
export function isGone(error: unknown): boolean {
  return error instanceof Error && /ECONNREFUSED|ENOENT/.test(error.message);
}
