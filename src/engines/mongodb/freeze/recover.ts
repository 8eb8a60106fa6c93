import { setTimeout as sleep } from 'node:timers/promises';
import type { Document } from 'mongodb';
import type { JsonObject } from '../../engine.ts';
import { readLock, releaseLock } from './fsync-lock.ts';
import { readHello } from '../server.ts';
import type { Session } from '../connection/session.ts';

const ASK_AGAIN_AFTER_MS = 100;

/**
 * Releases the lock that a sidecar which is gone may have left. The journal was written before the
 * lock was asked for (`step: asking`) and again when it was in place (`step: locked`, with the
 * thread that holds it). A lock of another server process, or of another thread, is not ours.
 *
 * With `asking` alone a lock that is there now was asked for by us or, in the moment between, by
 * somebody else: it is released, for a lock that nobody ends stops all writes for good.
 *
 * What a dead sidecar has sent the server still carries out: with `asking` it is waited for until its
 * connections have ended, or its lock could come when nobody is left to release it.
 *
 * @throws QuiesceError when the lock may still be there.
 */
export async function recoverLock(
  session: Session,
  journal: JsonObject,
  signal: AbortSignal,
): Promise<void> {
  const { step, runId, lockOpId } = journal;
  if (step !== 'asking' && step !== 'locked') return;
  const hello = await readHello(session, signal);
  if (hello.runId !== runId) return;
  const { client } = journal;
  if (step === 'asking' && typeof client === 'string') {
    await waitForEnd(session, client, signal);
  }
  const state = await readLock(session, signal);
  if (!state.locked) return;
  const opId = step === 'locked' && typeof lockOpId === 'number' ? lockOpId : undefined;
  await releaseLock(session, { runId: hello.runId, opId }, signal);
}

/** Until that client has no connection left, or somebody's lock is there. */
async function waitForEnd(session: Session, client: string, signal: AbortSignal): Promise<void> {
  const command = { currentOp: 1, $all: true, appName: client };
  for (;;) {
    // In this order: a lock may come between the two.
    const answer = await session.admin(command, 'ask who is connected', signal);
    if ((answer['inprog'] as Document[]).length === 0) return;
    if ((await readLock(session, signal)).locked) return;
    await sleep(ASK_AGAIN_AFTER_MS, undefined, { signal });
  }
}
