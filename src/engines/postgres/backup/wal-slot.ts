import { sessionLimits } from '../connection/session-limit.ts';
import type { Session } from '../connection/session.ts';
import { quote } from '../connection/sqlstate.ts';

/**
 * Keeps WAL from being removed while this session lives, with a temporary physical replication
 * slot. Without one, any checkpoint during the hold recycles the segment where the label starts
 * (measured on 13 and 17: a backup's stop switches segments, so the very next checkpoint does). The
 * slot goes with the session. A copy of it disappears when the restored server starts.
 *
 * Call it before the backup starts. The server ends a session that is silent for longer than
 * `ttlMs`, so that a sidecar that hangs or loses its host does not keep WAL for ever.
 *
 * @throws QuiesceError ENGINE_PRIVILEGE without the REPLICATION attribute, ENGINE_FAILED without a
 * free slot.
 */
export async function keepWal(session: Session, ttlMs: number, signal: AbortSignal): Promise<void> {
  await session.query(
    `SELECT pg_catalog.pg_create_physical_replication_slot('quiesce_' || pg_catalog.pg_backend_pid(), true, true)`,
    [],
    signal,
  );
  await session.query(sessionLimits(session.major, ttlMs), [], signal);
}

/**
 * As `keepWal`, for a freeze that works without a slot too.
 *
 * @returns why the server does not keep the WAL; `null` when it does.
 */
export async function tryKeepWal(
  session: Session,
  ttlMs: number,
  signal: AbortSignal,
): Promise<string | null> {
  try {
    await keepWal(session, ttlMs, signal);
    return null;
  } catch (error) {
    if (session.lost.aborted || signal.aborted) throw error;
    const why = error instanceof Error ? error.message : String(error);
    return `The server does not keep WAL during the hold (${why}): a checkpoint may recycle the segment where the label starts, and the thaw would then fail. To fix this, run ALTER ROLE ${quote(session.role)} REPLICATION; and make sure that a replication slot is free.`;
  }
}
