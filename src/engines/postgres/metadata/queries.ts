import type { Session } from '../connection/session.ts';

/** `YYYY-MM-DDTHH:MM:SS.mmmZ`; null for null and for infinity. */
export const iso = (expression: string): string =>
  `CASE WHEN pg_catalog.isfinite(${expression}) THEN pg_catalog.to_char((${expression}) AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') END`;

/** The server's position: how far it has written, or on a standby how far it has replayed. */
const HERE = `CASE WHEN pg_catalog.pg_is_in_recovery() THEN pg_catalog.pg_last_wal_replay_lsn() ELSE pg_catalog.pg_current_wal_lsn() END`;

const behind = (lsn: string): string => `pg_catalog.pg_wal_lsn_diff(${HERE}, ${lsn})::text`;
const seconds = (interval: string): string => `EXTRACT(epoch FROM ${interval})::float8`;

/**
 * The queries of the metadata, one statement each, for every supported version. A member of
 * pg_monitor may run them all. Columns of bytes come as text and end in `Bytes`.
 */
export const QUERIES = {
  server: `
    SELECT pg_catalog.version() AS banner, pg_catalog.pg_is_in_recovery() AS "inRecovery",
           s.system_identifier::text AS "systemIdentifier", c.timeline_id AS timeline,
           c.redo_lsn::text AS "redoLsn", c.checkpoint_lsn::text AS "checkpointLsn",
           ${iso('c.checkpoint_time')} AS "checkpointTime",
           ${iso('pg_catalog.pg_postmaster_start_time()')} AS "startedAt",
           ${iso('pg_catalog.pg_conf_load_time()')} AS "configLoadedAt",
           ${iso('pg_catalog.clock_timestamp()')} AS "now",
           (${HERE})::text AS lsn,
           CASE WHEN NOT pg_catalog.pg_is_in_recovery() THEN pg_catalog.pg_current_wal_flush_lsn()::text END AS "flushLsn",
           pg_catalog.current_setting('data_directory') AS "dataDirectory",
           pg_catalog.current_setting('wal_level') AS "walLevel",
           pg_catalog.current_database()::text AS database, current_user::text AS "user",
           c.full_page_writes AS "fullPageWrites", i.data_page_checksum_version > 0 AS "dataChecksums",
           i.bytes_per_wal_segment AS "walSegmentSize"
      FROM pg_catalog.pg_control_system() s, pg_catalog.pg_control_checkpoint() c, pg_catalog.pg_control_init() i`,
  standbys: `
    SELECT application_name AS name, client_addr::text AS address, usename::text AS "user", state,
           sync_state AS "syncState", sync_priority AS "syncPriority",
           sent_lsn::text AS "sentLsn", write_lsn::text AS "writeLsn", flush_lsn::text AS "flushLsn", replay_lsn::text AS "replayLsn",
           ${behind('sent_lsn')} AS "sentLagBytes", ${behind('write_lsn')} AS "writeLagBytes",
           ${behind('flush_lsn')} AS "flushLagBytes", ${behind('replay_lsn')} AS "replayLagBytes",
           ${seconds('write_lag')} AS "writeLagSeconds", ${seconds('flush_lag')} AS "flushLagSeconds",
           ${seconds('replay_lag')} AS "replayLagSeconds",
           ${iso('backend_start')} AS "connectedAt", ${iso('reply_time')} AS "lastReplyAt"
      FROM pg_catalog.pg_stat_replication ORDER BY application_name, pid`,
  receiver: `
    SELECT status, slot_name AS slot, sender_host AS "senderHost", sender_port AS "senderPort",
           written_lsn::text AS "writtenLsn", flushed_lsn::text AS "flushedLsn", received_tli AS timeline,
           latest_end_lsn::text AS "latestEndLsn", ${iso('latest_end_time')} AS "latestEndAt",
           ${iso('last_msg_receipt_time')} AS "lastMessageAt"
      FROM pg_catalog.pg_stat_wal_receiver WHERE pid IS NOT NULL`,
  replay: `
    SELECT pg_catalog.pg_last_wal_receive_lsn()::text AS "receiveLsn",
           pg_catalog.pg_last_wal_replay_lsn()::text AS "replayLsn",
           pg_catalog.pg_wal_lsn_diff(pg_catalog.pg_last_wal_receive_lsn(), pg_catalog.pg_last_wal_replay_lsn())::text AS "receivedNotReplayedBytes",
           ${iso('pg_catalog.pg_last_xact_replay_timestamp()')} AS "lastReplayedCommitAt",
           CASE WHEN pg_catalog.pg_last_wal_receive_lsn() = pg_catalog.pg_last_wal_replay_lsn() THEN 0
                ELSE ${seconds('(pg_catalog.clock_timestamp() - pg_catalog.pg_last_xact_replay_timestamp())')} END AS "replayLagSeconds",
           pg_catalog.pg_is_wal_replay_paused() AS paused
     WHERE pg_catalog.pg_is_in_recovery()`,
  slots: `
    SELECT slot_name::text AS name, slot_type AS type, plugin::text, database::text, temporary, active,
           restart_lsn::text AS "restartLsn", confirmed_flush_lsn::text AS "confirmedFlushLsn",
           ${behind('restart_lsn')} AS "retainedBytes", wal_status AS "walStatus", safe_wal_size::text AS "safeWalBytes"
      FROM pg_catalog.pg_replication_slots ORDER BY slot_name`,
  databases: `
    SELECT d.datname::text AS name, a.rolname::text AS owner, pg_catalog.pg_encoding_to_char(d.encoding) AS encoding,
           d.datcollate::text AS collate, d.datctype::text AS ctype, d.datallowconn AS "allowsConnections",
           d.datistemplate AS template, d.datconnlimit AS "connectionLimit", t.spcname::text AS tablespace,
           CASE WHEN pg_catalog.has_database_privilege(d.oid, 'CONNECT') OR pg_catalog.pg_has_role('pg_read_all_stats', 'USAGE')
                THEN pg_catalog.pg_database_size(d.oid)::text END AS "sizeBytes"
      FROM pg_catalog.pg_database d
      LEFT JOIN pg_catalog.pg_roles a ON a.oid = d.datdba
      LEFT JOIN pg_catalog.pg_tablespace t ON t.oid = d.dattablespace
     ORDER BY d.datname`,
  roles: `
    SELECT r.rolname::text AS name, r.rolcanlogin AS login, r.rolsuper AS superuser, r.rolinherit AS inherit,
           r.rolcreaterole AS "createRole", r.rolcreatedb AS "createDatabase", r.rolreplication AS replication,
           r.rolbypassrls AS "bypassRls", r.rolname ~ '^(pg_|rds|cloudsql|azure_|alloydb)' AS builtin, r.rolconnlimit AS "connectionLimit", ${iso('r.rolvaliduntil')} AS "validUntil"
      FROM pg_catalog.pg_roles r ORDER BY r.rolname`,
  memberships: `
    SELECT g.rolname::text AS role, m.rolname::text AS member, b.rolname::text AS grantor, a.admin_option AS admin
      FROM pg_catalog.pg_auth_members a
      JOIN pg_catalog.pg_roles g ON g.oid = a.roleid JOIN pg_catalog.pg_roles m ON m.oid = a.member
      LEFT JOIN pg_catalog.pg_roles b ON b.oid = a.grantor
     ORDER BY 1, 2, 3`,
  extensions: `
    SELECT e.extname::text AS name, e.extversion AS version, n.nspname::text AS schema
      FROM pg_catalog.pg_extension e JOIN pg_catalog.pg_namespace n ON n.oid = e.extnamespace ORDER BY 1`,
  tablespaces: `
    SELECT t.spcname::text AS name, r.rolname::text AS owner, NULLIF(pg_catalog.pg_tablespace_location(t.oid), '') AS location,
           CASE WHEN pg_catalog.has_tablespace_privilege(t.oid, 'CREATE') OR pg_catalog.pg_has_role('pg_read_all_stats', 'USAGE')
                THEN pg_catalog.pg_tablespace_size(t.oid)::text END AS "sizeBytes"
      FROM pg_catalog.pg_tablespace t LEFT JOIN pg_catalog.pg_roles r ON r.oid = t.spcowner ORDER BY 1`,
  longTransactions: `
    SELECT pid, datname::text AS database, usename::text AS "user", application_name AS application, state,
           wait_event_type AS "waitEventType", wait_event AS "waitEvent", ${iso('xact_start')} AS "startedAt",
           ${seconds('(pg_catalog.clock_timestamp() - xact_start)')} AS "ageSeconds"
      FROM pg_catalog.pg_stat_activity
     WHERE backend_type = 'client backend' AND pid <> pg_catalog.pg_backend_pid()
       AND pg_catalog.clock_timestamp() - xact_start > pg_catalog.make_interval(secs => $1::float8)
     ORDER BY xact_start`,
  preparedTransactions: `
    SELECT gid, database::text, owner::text, ${iso('prepared')} AS "preparedAt",
           ${seconds('(pg_catalog.clock_timestamp() - prepared)')} AS "ageSeconds"
      FROM pg_catalog.pg_prepared_xacts ORDER BY prepared`,
  archiver: `
    SELECT pg_catalog.current_setting('archive_mode') AS mode, archived_count::text AS "archivedCount",
           last_archived_wal AS "lastArchivedWal", ${iso('last_archived_time')} AS "lastArchivedAt",
           failed_count::text AS "failedCount", last_failed_wal AS "lastFailedWal", ${iso('last_failed_time')} AS "lastFailedAt",
           ${iso('stats_reset')} AS "statsResetAt",
           COALESCE(last_failed_time > COALESCE(last_archived_time, '-infinity'), false) AS failing
      FROM pg_catalog.pg_stat_archiver`,
  unloggedTables: `
    SELECT count(*)::int AS count FROM pg_catalog.pg_class WHERE relpersistence = 'u' AND relkind IN ('r', 'm')`,
} as const;

export type Row = Record<string, unknown>;

/** Runs one of the queries. */
export async function ask(
  session: Session,
  name: keyof typeof QUERIES,
  params: readonly unknown[],
  signal: AbortSignal,
): Promise<Row[]> {
  return await session.query<Row>(QUERIES[name], params, signal);
}
