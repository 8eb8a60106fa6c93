import type { VerifyCheck } from '../../engine.ts';
import { parseLsn } from '../lsn.ts';
import type { PostgresPosition } from '../receipt.ts';
import type { Session } from '../connection/session.ts';
import type { TimelineSwitch } from '../wal/timeline.ts';

/** The server's position in the WAL. */
export interface Replay {
  readonly inRecovery: boolean;
  /** Flushed on a primary, replayed on a standby. */
  readonly lsn: string;
  /** The newest timeline that the server is known to be on. */
  readonly timeline: number;
  /** On a standby: positions that it certainly reached on these timelines. */
  readonly witnesses: readonly { readonly timeline: number; readonly lsn: string }[];
}

export interface VerifyFacts {
  readonly replay: Replay;
  /** The same postmaster ran at the freeze. */
  readonly sameRun: boolean;
  /** Ancestors of the current timeline; `undefined` where the file cannot be read. */
  readonly history: readonly TimelineSwitch[] | undefined;
  /**
   * For a server started since and not in recovery: whether the WAL of the freeze was found in this
   * data.
   */
  readonly proof: {
    readonly found: boolean;
    readonly detail: string;
    /** The WAL on the disk shows that it is not there. */
    readonly contradicts?: boolean;
  };
  /** For a server other than the frozen one, only `proof` counts. */
  readonly needsLabel?: boolean;
}

/**
 * Asks the server. The timeline of the last checkpoint lags behind after a promotion, so a primary
 * is asked for the name of its WAL file, and a standby for its receiver and its minimum recovery
 * point.
 */
export async function readReplay(session: Session, signal: AbortSignal): Promise<Replay> {
  const [row] = await session.query<{
    inRecovery: boolean;
    lsn: string | null;
    walFile: string | null;
    timeline: number;
    redo: string;
    minimum: string | null;
    minimumTimeline: number | null;
    received: number | null;
  }>(
    `SELECT p.recovery AS "inRecovery",
            CASE WHEN p.recovery THEN pg_catalog.pg_last_wal_replay_lsn() ELSE pg_catalog.pg_current_wal_flush_lsn() END::text AS lsn,
            CASE WHEN NOT p.recovery THEN pg_catalog.pg_walfile_name(pg_catalog.pg_current_wal_lsn()) END AS "walFile",
            c.timeline_id AS timeline, c.redo_lsn::text AS redo,
            r.min_recovery_end_lsn::text AS minimum, r.min_recovery_end_timeline AS "minimumTimeline",
            (SELECT w.received_tli FROM pg_catalog.pg_stat_wal_receiver w WHERE w.status = 'streaming') AS received
       FROM (SELECT pg_catalog.pg_is_in_recovery() AS recovery) p,
            pg_catalog.pg_control_checkpoint() c, pg_catalog.pg_control_recovery() r`,
    [],
    signal,
  );
  if (!row) throw new Error('the query for the position of the server returned no row');
  const lsn = row.lsn ?? '0/0';
  if (!row.inRecovery) {
    return {
      inRecovery: false,
      lsn,
      timeline: Number.parseInt((row.walFile ?? '').slice(0, 8), 16),
      witnesses: [],
    };
  }
  const witnesses = [
    { timeline: row.timeline, lsn: row.redo },
    { timeline: row.minimumTimeline ?? 0, lsn: row.minimum ?? '0/0' },
    { timeline: row.received ?? 0, lsn: row.received === null ? '0/0' : lsn },
  ];
  return {
    inRecovery: true,
    lsn,
    timeline: Math.max(...witnesses.map((entry) => entry.timeline)),
    witnesses,
  };
}

/** Checks that the freeze is on the server's history. */
export function judgeTimeline(position: PostgresPosition, facts: VerifyFacts): VerifyCheck {
  const { replay, sameRun, history } = facts;
  const found = replay.timeline;
  const verdict = (ok: boolean, message: string, unchecked = false): VerifyCheck => ({
    name: 'timeline',
    ok,
    expected: position.timeline,
    found,
    message,
    ...(unchecked ? { unchecked } : {}),
  });
  if (found === position.timeline) return verdict(true, 'The same timeline.');
  if (found < position.timeline) {
    return verdict(
      false,
      `The server is on timeline ${found}, before timeline ${position.timeline} of the freeze.`,
    );
  }
  if (sameRun)
    return verdict(true, `The same run of the server, promoted to timeline ${found} since.`);
  if (history === undefined) {
    return verdict(
      false,
      `The server is on timeline ${found}; the sidecar cannot read where it branched off from ${position.timeline}, so nothing proves that the freeze is on its history. Mount the data and set QUIESCE_DATA_DIR.`,
      true,
    );
  }
  const left = branchOf(position, history);
  if (left === undefined)
    return verdict(false, `Timeline ${found} does not descend from timeline ${position.timeline}.`);
  return left >= parseLsn(position.lsn)
    ? verdict(true, `Timeline ${found} branched off from ${position.timeline} after the freeze.`)
    : verdict(
        false,
        `Timeline ${found} branched off from ${position.timeline} before ${position.lsn}, so it lacks the last writes before the freeze.`,
      );
}

function branchOf(
  position: PostgresPosition,
  history: readonly TimelineSwitch[],
): bigint | undefined {
  return history.find(({ timeline }) => timeline === position.timeline)?.switchLsn;
}

/**
 * Checks that the server contains everything up to the freeze. A larger LSN alone proves nothing: a
 * copy that lost its last WAL reaches the same numbers again with other content.
 */
export function judgePosition(position: PostgresPosition, facts: VerifyFacts): VerifyCheck {
  const { replay, sameRun, proof } = facts;
  const wanted = parseLsn(position.lsn);
  const verdict = (ok: boolean, message: string, unchecked = false): VerifyCheck => ({
    name: 'position',
    ok,
    expected: position.lsn,
    found: replay.lsn,
    message,
    ...(unchecked ? { unchecked } : {}),
  });
  if (parseLsn(replay.lsn) < wanted) {
    return verdict(
      false,
      `The server is at ${replay.lsn}, before ${position.lsn}: the last writes before the freeze are missing.`,
    );
  }
  if (sameRun) return verdict(true, 'Reached, by the same run of the server as at the freeze.');
  if (replay.inRecovery && !facts.needsLabel) {
    const [ok, message] = judgeReplay(position, facts);
    return verdict(ok, message, !ok);
  }
  if (proof.found) return verdict(true, `Reached: ${proof.detail}`);
  return verdict(
    false,
    `The server is past ${position.lsn}, but nothing proves that it replayed the WAL of the freeze: ${proof.detail} Run prepare-restore on a copy before its first start.`,
    proof.contradicts !== true,
  );
}

/** Replay has no gaps, so a position passed on the right timeline was replayed. */
function judgeReplay(
  position: PostgresPosition,
  { replay, history }: VerifyFacts,
): [ok: boolean, message: string] {
  const wanted = parseLsn(position.lsn);
  const left = history === undefined ? undefined : branchOf(position, history);
  const proven = replay.witnesses.some(
    ({ timeline, lsn }) =>
      parseLsn(lsn) >= wanted &&
      (timeline === position.timeline ||
        (timeline === replay.timeline && left !== undefined && left >= wanted)),
  );
  return proven
    ? [true, 'Reached: this server is in recovery and replays without gaps.']
    : [
        false,
        `Replay is past ${position.lsn}, but nothing proves yet on which timeline it passed that position: ask again when it streams from its primary, or after its next restartpoint.`,
      ];
}
