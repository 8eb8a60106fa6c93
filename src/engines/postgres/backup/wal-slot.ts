import { sessionLimits } from '../connection/session-limit.ts';
import type { Session } from '../connection/session.ts';
import { quote } from '../connection/sqlstate.ts';

/**
 * Keeps WAL from being removed while this session lives, by a temporary physical replication slot:
 * any checkpoint during the hold would otherwise recycle the segment from which the label starts
 * (measured on 13 and 17: a backup's stop switches segments, so the very next one does). The slot
 * goes with the session, and a copy of it vanishes when the restored server starts.
 *
 * To be called before the backup starts. A session that falls silent for longer than `ttlMs` is ended
 * by the server: a sidecar that stands still or whose host vanished must not keep WAL for ever.
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
 * As `keepWal`, for a freeze that can do without.
 *
 * @returns why WAL is not kept; `null` when it is.
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
    return `WAL is not kept during the hold (${why}): a checkpoint may recycle the segment from which the label starts, and the thaw would then fail. ALTER ROLE ${quote(session.role)} REPLICATION; and a free replication slot mend that.`;
  }
}
