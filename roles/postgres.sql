-- The least-privileged role for quiesce beside PostgreSQL 13 to 18.
--
-- Run it as a superuser, in the database that the sidecar connects to (PGDATABASE): a GRANT on a
-- function counts only in the database where it was given.
--
--     psql -d postgres -f roles/postgres.sql
--     psql -d postgres -c '\password quiesce'
--
-- No password stands here on purpose: \password sends a hash, so that none reaches the server's log.
-- With pg_hba.conf `trust`, `peer` or `cert` none is needed. It may be run any number of times.

DO $role$
BEGIN
  IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = 'quiesce') THEN
    CREATE ROLE quiesce;
  END IF;
END
$role$;

-- REPLICATION: a temporary slot keeps the WAL that a restore needs for as long as a freeze is held.
-- Without it a freeze works too, but its thaw fails whenever a checkpoint came in between. To do
-- without: ALTER ROLE quiesce NOREPLICATION;
ALTER ROLE quiesce LOGIN REPLICATION NOSUPERUSER NOCREATEDB NOCREATEROLE INHERIT;

-- Reads settings, replication state and sizes; changes nothing.
GRANT pg_monitor TO quiesce;

-- Only used with QUIESCE_REPLICA=pause, on a standby: replay stands still during a freeze and goes on
-- afterwards. Whoever may pause must be able to resume.
GRANT EXECUTE ON FUNCTION pg_catalog.pg_wal_replay_pause() TO quiesce;
GRANT EXECUTE ON FUNCTION pg_catalog.pg_wal_replay_resume() TO quiesce;

DO $grants$
BEGIN
  EXECUTE pg_catalog.format('GRANT CONNECT ON DATABASE %I TO quiesce', pg_catalog.current_database());
  IF pg_catalog.current_setting('server_version_num')::int >= 150000 THEN
    -- The sealed freeze: begins and ends a backup, and makes the checkpoint of it.
    GRANT EXECUTE ON FUNCTION pg_catalog.pg_backup_start(text, boolean) TO quiesce;
    GRANT EXECUTE ON FUNCTION pg_catalog.pg_backup_stop(boolean) TO quiesce;
    -- CHECKPOINT alone, where a sealed freeze is not possible (wal_level = minimal).
    GRANT pg_checkpoint TO quiesce;
  ELSE
    GRANT EXECUTE ON FUNCTION pg_catalog.pg_start_backup(text, boolean, boolean) TO quiesce;
    GRANT EXECUTE ON FUNCTION pg_catalog.pg_stop_backup(boolean, boolean) TO quiesce;
  END IF;
END
$grants$;

-- Only for `quiesce verify --amcheck`, in every database that it shall look into:
--
--     CREATE EXTENSION IF NOT EXISTS amcheck;
--     GRANT EXECUTE ON FUNCTION bt_index_check(regclass, boolean) TO quiesce;
--     GRANT EXECUTE ON FUNCTION verify_heapam(regclass, boolean, boolean, text, bigint, bigint) TO quiesce;  -- 14+
