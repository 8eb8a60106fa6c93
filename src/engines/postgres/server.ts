import type { Breach, Probe } from '../engine.ts';
import type { Session } from './connection/session.ts';

/** Facts that identify one run of one server. A hold is intact only if they stay the same. */
export interface ServerFacts {
  /** e.g. `17.10`. */
  readonly version: string;
  readonly major: number;
  readonly inRecovery: boolean;
  readonly systemIdentifier: string;
  /** Timeline of the last checkpoint; on a standby, of the last restartpoint. */
  readonly timeline: number;
  readonly redoLsn: string;
  readonly checkpointLsn: string;
  /** `pg_postmaster_start_time()`, in UTC with microseconds. */
  readonly serverStartedAt: string;
  /**
   * When the checkpointer started, in the same format. It changes when the postmaster restarts its
   * children after a crash, which leaves `serverStartedAt` unchanged (measured: a backend killed
   * with -9). `null` where the role may not see it.
   */
  readonly checkpointerStartedAt: string | null;
  readonly segmentSize: number;
  readonly walLevel: string;
  readonly dataDirectory: string | null;
}

const UTC = `'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'`;

/**
 * Reads the facts in one statement. Any LOGIN role may run it; only a member of `pg_monitor` sees
 * all of them.
 */
export async function readServer(session: Session, signal: AbortSignal): Promise<ServerFacts> {
  const [row] = await session.query<
    Omit<ServerFacts, 'version' | 'major'> & { version: string; num: number }
  >(
    `SELECT pg_catalog.current_setting('server_version') AS version,
            pg_catalog.current_setting('server_version_num')::int AS num,
            pg_catalog.pg_is_in_recovery() AS "inRecovery",
            s.system_identifier::text AS "systemIdentifier",
            c.timeline_id AS timeline, c.redo_lsn::text AS "redoLsn",
            c.checkpoint_lsn::text AS "checkpointLsn",
            pg_catalog.to_char(pg_catalog.pg_postmaster_start_time() AT TIME ZONE 'UTC', ${UTC}) AS "serverStartedAt",
            (SELECT pg_catalog.to_char(a.backend_start AT TIME ZONE 'UTC', ${UTC})
               FROM pg_catalog.pg_stat_activity a WHERE a.backend_type = 'checkpointer') AS "checkpointerStartedAt",
            i.bytes_per_wal_segment AS "segmentSize",
            pg_catalog.current_setting('wal_level') AS "walLevel",
            CASE WHEN pg_catalog.pg_has_role('pg_read_all_settings', 'USAGE')
                 THEN pg_catalog.current_setting('data_directory') END AS "dataDirectory"
       FROM pg_catalog.pg_control_system() s, pg_catalog.pg_control_checkpoint() c,
            pg_catalog.pg_control_init() i`,
    [],
    signal,
  );
  if (!row) throw new Error('the query for the identity of the server returned no row');
  const { num, ...facts } = row;
  return {
    ...facts,
    version: /^[\d.]+/.exec(row.version)?.[0] ?? row.version,
    major: Math.floor(num / 10_000),
  };
}

export function toProbe(facts: ServerFacts): Probe {
  return {
    version: facts.version,
    role: facts.inRecovery ? 'standby' : 'primary',
    identity: { systemIdentifier: facts.systemIdentifier },
  };
}

/** One breach for each fact that has changed since the hold was made. */
export function compareRuns(then: ServerFacts, now: ServerFacts): Breach[] {
  const differences: Breach[] = [];
  type Value = string | number | boolean | null;
  const differ = (code: string, what: string, before: Value, after: Value): void => {
    if (before !== after)
      differences.push({ code, note: `${what} was ${before} at the freeze and is ${after}.` });
  };
  differ(
    'system-identifier-changed',
    'The system identifier',
    then.systemIdentifier,
    now.systemIdentifier,
  );
  differ('server-restarted', 'The start of the server', then.serverStartedAt, now.serverStartedAt);
  if (then.serverStartedAt === now.serverStartedAt && then.checkpointerStartedAt !== null) {
    differ(
      'server-crashed',
      'The start of its checkpointer',
      then.checkpointerStartedAt,
      now.checkpointerStartedAt,
    );
  }
  differ('role-changed', 'Recovery (a standby is in recovery)', then.inRecovery, now.inRecovery);
  differ('timeline-changed', 'The timeline', then.timeline, now.timeline);
  return differences;
}
