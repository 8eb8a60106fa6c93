import { setTimeout as sleep } from 'node:timers/promises';
import type { Document } from 'mongodb';
import type { JsonObject } from '../../engine.ts';
import { readLock, releaseLock } from './fsync-lock.ts';
import { readHello } from '../server.ts';
import type { Session } from '../connection/session.ts';

const ASK_AGAIN_AFTER_MS = 100;

/**
 * Releases the lock that a dead sidecar may have left. The sidecar journals before it asks for the lock
 * (`step: asking`), and again when the lock is in place (`step: locked`, with the thread that holds it).
 * A lock of another server process or another thread is not ours.
 *
 * After `asking` alone, a lock that is in place now was requested by us or, in the moment between, by
 * another client. It is released, because an abandoned lock stops all writes for good.
 *
 * The server still executes the commands of a dead sidecar. After `asking`, this therefore waits until the
 * connections of that sidecar have ended: its lock could otherwise be granted later, and stay.
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

/** Waits until that client has no connection left, or a lock is in place. */
async function waitForEnd(session: Session, client: string, signal: AbortSignal): Promise<void> {
  const command = { currentOp: 1, $all: true, appName: client };
  for (;;) {
    // In this order: a lock may be granted between the two commands.
    const answer = await session.admin(command, 'ask who is connected', signal);
    if ((answer['inprog'] as Document[]).length === 0) return;
    if ((await readLock(session, signal)).locked) return;
    await sleep(ASK_AGAIN_AFTER_MS, undefined, { signal });
  }
}
