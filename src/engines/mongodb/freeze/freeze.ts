import { QuiesceError } from '../../../errors.ts';
import type { Hold } from '../../engine.ts';
import { journalOf, lockHold } from './hold.ts';
import { awaitJournaled, isJournaled } from './durable-point.ts';
import { readLock, releaseUntilGone, requireUnlocked, takeLock } from './fsync-lock.ts';
import type { PreparedFreeze } from './prepare.ts';
import { readHello } from '../server.ts';
import { serverChanged, readFactsUnderLock } from './under-lock.ts';

/**
 * Takes the lock and reads what it protects; after any failure nothing stays locked. A primary is locked
 * again and again until everything was journaled at the moment of the lock; see `isJournaled`.
 */
export async function holdServer(
  prepared: PreparedFreeze,
  signal: AbortSignal,
  onReleased: () => void,
): Promise<Hold> {
  try {
    for (;;) {
      await requireUnlocked(prepared.session, signal);
      const hold = await tryHold(prepared, signal, onReleased);
      if (hold) return hold;
      prepared.context.progress(
        'waiting for a moment when all writes are journaled; a steady stream of writes with w: 1 and j: false prevents it',
      );
    }
  } catch (error) {
    onReleased();
    throw error;
  }
}

/** @returns `undefined`: a write was not journaled yet, and the lock was released. */
async function tryHold(
  prepared: PreparedFreeze,
  signal: AbortSignal,
  onReleased: () => void,
): Promise<Hold | undefined> {
  const { session, client, context, server } = prepared;
  const { runId } = server;
  // Nothing of ours is left: any lock found from now on belongs to another client.
  const forget = (): Promise<void> =>
    context.remember({ step: 'released', runId }).catch(() => undefined);
  await context.remember({ step: 'asking', runId, client });
  let lockCount: number;
  try {
    if ((await readHello(session, signal)).runId !== runId) throw serverChanged(session);
    if (server.role === 'primary') await awaitJournaled(session, signal);
    lockCount = await takeLock(session, runId, signal);
  } catch (error) {
    await forget();
    throw error;
  }
  let opId: number | undefined;
  const undo = async (): Promise<void> => {
    // With other clients' locks the thread is theirs as well, so only the count is reduced.
    await releaseUntilGone(session, { runId, opId: lockCount === 1 ? opId : undefined });
    await forget();
  };
  try {
    opId = (await readLock(session, signal)).opId;
    if (lockCount !== 1) {
      throw new QuiesceError(
        'ENGINE_LOCKED',
        `Another client locked ${session.target} at the same moment; our lock was released.`,
      );
    }
    if (server.role === 'primary' && !(await isJournaled(session, signal))) {
      await undo();
      return undefined;
    }
    const facts = await readFactsUnderLock(prepared, opId, signal);
    await context.remember(journalOf(facts.position));
    signal.throwIfAborted();
    return lockHold(session, facts, onReleased);
  } catch (error) {
    await undo();
    throw error;
  }
}
