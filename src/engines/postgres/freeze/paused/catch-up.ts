import { QuiesceError } from '../../../../errors.ts';
import { lookUntil } from '../../../../lib/deadline.ts';
import { parseLsn } from '../../lsn.ts';
import type { Session } from '../../connection/session.ts';

/** What the standby knows about its primary. */
export interface PrimaryReport {
  /**
   * The primary's flushed position as last reported, or the end of WAL received since if that is
   * later.
   */
  readonly lsn: string;
  /** When the primary last reported anything, in UTC on the standby's clock. */
  readonly reportedAt: string;
  readonly ageMs: number;
}

const LOOK_EVERY_MS = 10;
/** `wal_retrieve_retry_interval` is 5 s by default, so a receiver that restarts is back by then. */
const RECEIVER_BACK_WITHIN_MS = 6_000;
/** Looks in a row that find replay waiting for the rest of a record. */
const LOOKS_WAITING = 50;

/**
 * The primary's position as this standby knows it: `latest_end_lsn` is the end of flushed WAL,
 * which every message of the primary carries (source: walsender.c, walreceiver.c; a primary without
 * writes sends nothing for up to 30 s). A standby of a standby knows its upstream's position.
 *
 * @throws QuiesceError ENGINE_NOT_STREAMING where no receiver streams.
 */
export async function readPrimaryReport(
  session: Session,
  signal: AbortSignal,
): Promise<PrimaryReport> {
  const until = performance.now() + RECEIVER_BACK_WITHIN_MS;
  const look = async (): Promise<PrimaryReport | undefined> => {
    const [row] = await session.query<PrimaryReport & { status: string }>(
      `SELECT status, greatest(latest_end_lsn, flushed_lsn)::text AS lsn,
              pg_catalog.to_char(last_msg_receipt_time AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') AS "reportedAt",
              extract(epoch FROM pg_catalog.clock_timestamp() - last_msg_receipt_time)::float8 * 1000 AS "ageMs"
         FROM pg_catalog.pg_stat_wal_receiver WHERE latest_end_lsn IS NOT NULL`,
      [],
      signal,
    );
    if (row?.status === 'streaming') {
      return { lsn: row.lsn, reportedAt: row.reportedAt, ageMs: row.ageMs };
    }
    if (performance.now() > until) {
      throw new QuiesceError(
        'ENGINE_NOT_STREAMING',
        `The standby has no streaming WAL receiver${row ? ` (it is ${row.status})` : ''}, so what its primary has committed by now is unknown.`,
      );
    }
    return undefined;
  };
  return await lookUntil(look, LOOK_EVERY_MS * 10, signal);
}

/**
 * Waits until everything that was committed before `lsn` is replayed.
 *
 * A position at the end of a WAL page may be inside a record whose rest the primary has not written
 * yet (a large transaction without a commit). Only the beginning of that record is then left before
 * the position, and replay waits for WAL.
 *
 * @param onBehind called at each look with the bytes still to replay.
 */
export async function waitForReplay(
  session: Session,
  lsn: string,
  onBehind: (bytes: bigint) => void,
  signal: AbortSignal,
): Promise<void> {
  const target = parseLsn(lsn);
  let waiting = { at: '', looks: 0 };
  const look = async (): Promise<true | undefined> => {
    const [row] = await session.query<{ replayed: string; waits: boolean; pageSize: string }>(
      `SELECT pg_catalog.pg_last_wal_replay_lsn()::text AS replayed,
              pg_catalog.current_setting('wal_block_size') AS "pageSize",
              EXISTS (SELECT FROM pg_catalog.pg_stat_activity
                       WHERE backend_type = 'startup' AND wait_event = 'RecoveryWalStream') AS waits`,
      [],
      signal,
    );
    if (!row) throw new Error('the standby reported no replayed position');
    const behind = target - parseLsn(row.replayed);
    if (behind <= 0n) return true;
    const inside = target % BigInt(row.pageSize) === 0n && row.waits;
    const same = inside && row.replayed === waiting.at;
    waiting = { at: inside ? row.replayed : '', looks: same ? waiting.looks + 1 : 0 };
    if (waiting.looks >= LOOKS_WAITING) return true;
    onBehind(behind);
    return undefined;
  };
  await lookUntil(look, LOOK_EVERY_MS, signal);
}
