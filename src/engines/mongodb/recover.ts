import type { JsonObject } from '../engine.ts';
import { readLock, releaseLock } from './lock.ts';
import { readHello } from './server.ts';
import type { Session } from './session.ts';

/**
 * Releases the lock that a sidecar which is gone may have left. The journal was written before the
 * lock was asked for (`step: asking`) and again when it was in place (`step: locked`, with the
 * thread that holds it). A lock of another server process, or of another thread, is not ours.
 *
 * With `asking` alone a lock that is there now was asked for by us or, in the moment between, by
 * somebody else: it is released, for a lock that nobody ends stops all writes for good.
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
  const state = await readLock(session, signal);
  if (!state.locked) return;
  const opId = step === 'locked' && typeof lockOpId === 'number' ? lockOpId : undefined;
  await releaseLock(session, { runId: hello.runId, opId }, signal);
}
