import type { Document } from 'mongodb';
import { setTimeout as sleep } from 'node:timers/promises';
import { QuiesceError } from '../../../errors.ts';
import { readHello } from '../server.ts';
import type { Session } from '../connection/session.ts';

/** `fsyncLock` as `currentOp` shows it. */
export interface LockState {
  /** Somebody has taken or asked for the lock. */
  readonly locked: boolean;
  /** It was asked for and is not in place: the server says `fsyncLock: true` even so (measured). */
  readonly pending: boolean;
  /**
   * Of the server's own thread that holds it: made by the first lock, ended by the last unlock, so it
   * tells this lock from any other. `undefined`: the server shows no such thread.
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

/** @throws QuiesceError ENGINE_LOCKED where somebody else holds, or waits for, the lock. */
export async function requireUnlocked(session: Session, signal: AbortSignal): Promise<void> {
  const { locked, pending } = await readLock(session, signal);
  if (!locked) return;
  throw new QuiesceError(
    'ENGINE_LOCKED',
    `Somebody else ${pending ? 'waits for' : 'holds'} the fsync lock of ${session.target}: it is not ours to count on or to release.`,
  );
}

/**
 * Locks the server against writes: `fsync` with `lock`, which first puts everything on the disk.
 *
 * The server waits for the lock without limit and cannot be told to stop: when the signal aborts
 * first, the lock is undone the moment it arrives, and only then this rejects. The undoing is queued
 * on the server itself, behind the lock, and so happens even if this process dies meanwhile.
 *
 * @param runId of the server that is to be locked: of any other nothing is undone.
 * @returns how many locks are held on the server now, ours included.
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
    // Sent, and no answer: it may still come to be.
    if (!isServerAnswer(error)) await undo(session, locking, runId);
    throw error;
  } finally {
    signal.removeEventListener('abort', onAbort);
  }
  await undo(session, locking, runId);
  throw new QuiesceError(
    'ENGINE_FAILED',
    `The lock of ${session.target} was not in place in time; it was undone as soon as it came.`,
  );
}

async function undo(session: Session, locking: Promise<Document>, runId: string): Promise<void> {
  const queued = session.adminToItsEnd({ fsyncUnlock: 1 }, 'unlock the server');
  const [lock, unlock] = await Promise.allSettled([locking, queued]);
  if (lock.status === 'fulfilled' && unlock.status === 'fulfilled') return;
  if (lock.status === 'rejected' && isServerAnswer(lock.reason)) return;
  // Either the unlock overtook the lock, or the connection broke: then the server alone knows.
  const ended = unlock.status === 'fulfilled';
  await finishUndo(session, runId, ended);
}

/** Asks until nothing of a lock of ours is left, in place or on its way. */
async function finishUndo(
  session: Session,
  runId: string,
  alreadyUnlocked: boolean,
): Promise<void> {
  for (let seen = 0; ;) {
    const signal = AbortSignal.timeout(5_000);
    try {
      const { runId: now } = await readHello(session, signal);
      // A lock does not survive its server.
      if (now !== runId) return;
      const state = await readLock(session, signal);
      if (!state.locked) return;
      seen = state.pending ? 0 : seen + 1;
      if (seen > 0 && alreadyUnlocked) return;
      // An unlock that was queued before the connection broke goes first.
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
 * Takes back one lock of ours.
 *
 * @returns how many locks of others are left, or `undefined` where ours had gone already.
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

/** As `releaseLock`, tried again until nothing of ours can be left. Never rejects. */
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

/** The server has said no; otherwise nobody knows what became of the command. */
function isServerAnswer(error: unknown): boolean {
  return error instanceof QuiesceError && error.code !== 'ENGINE_UNREACHABLE';
}

/** Nothing listens there any more, so no lock is held there either. */
export function isGone(error: unknown): boolean {
  return error instanceof Error && /ECONNREFUSED|ENOENT/.test(error.message);
}
