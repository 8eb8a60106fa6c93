import { QuiesceError } from '../../../errors.ts';
import { parseLsn } from '../lsn.ts';
import { MARKER_PREFIX } from '../receipt.ts';
import type { Session } from '../connection/session.ts';

/**
 * Writes the marker: a transactional logical message with the freeze's id, committed and flushed to
 * this server's disk. Any LOGIN role may write it. Every commit acknowledged before the call is
 * then on disk too, even with `synchronous_commit = off`.
 *
 * `local`, not `on`: the promise is about this volume, and a synchronous standby that is down must
 * not stop a backup.
 *
 * @returns the end of the marker record.
 * @throws QuiesceError ENGINE_FAILED where the server has not flushed WAL past the marker.
 */
export async function writeMarker(
  session: Session,
  id: string,
  signal: AbortSignal,
): Promise<string> {
  await session.query(
    `SELECT pg_catalog.set_config('synchronous_commit', 'local', false)`,
    [],
    signal,
  );
  const [written] = await session.query<{ lsn: string }>(
    `SELECT pg_catalog.pg_logical_emit_message(true, $1, $2)::text AS lsn`,
    [MARKER_PREFIX, id],
    signal,
  );
  const [flushed] = await session.query<{ lsn: string }>(
    'SELECT pg_catalog.pg_current_wal_flush_lsn()::text AS lsn',
    [],
    signal,
  );
  if (!written || !flushed || parseLsn(flushed.lsn) <= parseLsn(written.lsn)) {
    throw new QuiesceError(
      'ENGINE_FAILED',
      `The marker at ${written?.lsn} was committed, but WAL is flushed only up to ${flushed?.lsn}.`,
    );
  }
  return written.lsn;
}
