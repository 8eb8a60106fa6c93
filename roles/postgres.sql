-- The least-privileged role for quiesce with PostgreSQL 13 to 18.
--
-- Run it as a superuser, in the database that the sidecar connects to (PGDATABASE): a GRANT on a
-- function counts only in the database where it was given.
--
--     psql -d postgres -f roles/postgres.sql
--     psql -d postgres -c '\password quiesce'
--
-- This file sets no password on purpose: \password sends a hash, so no password reaches the server's
-- log. With pg_hba.conf `trust`, `peer` or `cert` none is needed. You can run this file repeatedly.

DO $role$
BEGIN
  IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = 'quiesce') THEN
    CREATE ROLE quiesce;
  END IF;
END
$role$;

-- REPLICATION: a temporary slot keeps the WAL that a restore needs for as long as a freeze is held.
-- Without it a freeze works too, but its thaw fails if a checkpoint ran in between. To remove it:
-- ALTER ROLE quiesce NOREPLICATION;
ALTER ROLE quiesce LOGIN REPLICATION NOSUPERUSER NOCREATEDB NOCREATEROLE INHERIT;

-- Reads settings, replication state and sizes; changes nothing.
GRANT pg_monitor TO quiesce;

-- Optional: the rules of pg_hba.conf in the metadata, without their options. The function itself also shows
-- the options, which are secrets with the methods ldap (ldapbindpasswd) and radius. To remove it:
-- REVOKE EXECUTE ON FUNCTION pg_catalog.pg_hba_file_rules() FROM quiesce;
GRANT EXECUTE ON FUNCTION pg_catalog.pg_hba_file_rules() TO quiesce;

-- Only used with QUIESCE_REPLICA=pause, on a standby: replay is paused during a freeze and resumed
-- afterwards. A role that may pause must be able to resume.
GRANT EXECUTE ON FUNCTION pg_catalog.pg_wal_replay_pause() TO quiesce;
GRANT EXECUTE ON FUNCTION pg_catalog.pg_wal_replay_resume() TO quiesce;

DO $grants$
BEGIN
  EXECUTE pg_catalog.format('GRANT CONNECT ON DATABASE %I TO quiesce', pg_catalog.current_database());
  IF pg_catalog.current_setting('server_version_num')::int >= 150000 THEN
    -- The sealed freeze: starts and ends a backup, which makes a checkpoint.
    GRANT EXECUTE ON FUNCTION pg_catalog.pg_backup_start(text, boolean) TO quiesce;
    GRANT EXECUTE ON FUNCTION pg_catalog.pg_backup_stop(boolean) TO quiesce;
    -- CHECKPOINT alone, if a sealed freeze is not possible (wal_level = minimal).
    GRANT pg_checkpoint TO quiesce;
  ELSE
    GRANT EXECUTE ON FUNCTION pg_catalog.pg_start_backup(text, boolean, boolean) TO quiesce;
    GRANT EXECUTE ON FUNCTION pg_catalog.pg_stop_backup(boolean, boolean) TO quiesce;
  END IF;
END
$grants$;

-- Only for `quiesce verify --deep`, in every database that it is to check:
--
--     CREATE EXTENSION IF NOT EXISTS amcheck;
--     GRANT EXECUTE ON FUNCTION bt_index_check(regclass, boolean) TO quiesce;
--     GRANT EXECUTE ON FUNCTION verify_heapam(regclass, boolean, boolean, text, bigint, bigint) TO quiesce;  -- 14+
