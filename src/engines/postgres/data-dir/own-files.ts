import type { OwnFiles } from '../../engine.ts';

/**
 * In PGDATA: what a checkpoint or WAL makes durable, and folders whose contents a server discards when it
 * starts (documentation, "Backing Up The Data Directory").
 */
const FOLDERS = new Set([
  'base',
  'global',
  'pg_wal',
  'pg_xact',
  'pg_dynshmem',
  'pg_notify',
  'pg_serial',
  'pg_snapshots',
  'pg_stat_tmp',
  'pg_subtrans',
]);
/** The folder of one major version in a tablespace. */
const TABLESPACE = /^PG_\d+(?:\.\d+)?_\d+$/;
/** Segments of WAL, also where `pg_wal` is a link to another folder. */
const SEGMENT = /^[0-9A-F]{24}(?:\.partial)?$/;

/** What PostgreSQL syncs itself. The folder of a server has a `PG_VERSION`, wherever it is on the volume. */
export const ownFiles: OwnFiles = async ({ name, beside }) => {
  if (TABLESPACE.test(name) || SEGMENT.test(name) || name.startsWith('pgsql_tmp')) return true;
  return FOLDERS.has(name) && (await beside('PG_VERSION'));
};
