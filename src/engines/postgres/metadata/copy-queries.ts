import type { Session } from '../connection/session.ts';
import { MOST_ROWS } from '../../shared/parts.ts';
import type { Row } from './queries.ts';

/** The version of a library: what PostgreSQL reports for any collation that comes from it. */
const libraryOf = (provider: 'c' | 'i'): string => `
  (SELECT max(pg_catalog.pg_collation_actual_version(l.oid)) FROM pg_catalog.pg_collation l
    WHERE l.collprovider = '${provider}'${provider === 'i' ? ` AND l.collname = 'und-x-icu'` : ''})`;

export const SERVER = `
  SELECT pg_catalog.version() AS banner, pg_catalog.pg_is_in_recovery() AS "inRecovery",
         s.system_identifier::text AS "systemIdentifier", i.data_page_checksum_version > 0 AS "dataChecksums",
         i.bytes_per_wal_segment AS "walSegmentSize", i.database_block_size AS "blockSize",
         pg_catalog.current_setting('wal_level') AS "walLevel",
         pg_catalog.pg_has_role('pg_read_all_settings', 'USAGE') AS "allSettings"
    FROM pg_catalog.pg_control_system() s, pg_catalog.pg_control_init() i`;

export const LIBRARIES = `
  SELECT ${libraryOf('c')} AS libc, ${libraryOf('i')} AS icu,
         pg_catalog.current_setting('shared_preload_libraries', true) AS preloaded`;

/** The versions of a database's default collation are recorded from 15 on. */
export const databaseCollations = (major: number): string =>
  major < 15
    ? `SELECT d.datname::text AS name, 'libc' AS provider, NULL::text AS recorded, NULL::text AS actual
         FROM pg_catalog.pg_database d ORDER BY 1`
    : `SELECT d.datname::text AS name,
              CASE d.datlocprovider WHEN 'i' THEN 'icu' WHEN 'c' THEN 'libc' ELSE 'builtin' END AS provider,
              d.datcollversion AS recorded, pg_catalog.pg_database_collation_actual_version(d.oid) AS actual
         FROM pg_catalog.pg_database d ORDER BY 1`;

/** The options of a rule may be passwords, and the text of an error may quote them: only names are read. */
export const HBA = `
  SELECT line_number AS line, type, database, user_name AS users, address, netmask, auth_method AS method,
         ARRAY(SELECT pg_catalog.split_part(o, '=', 1) FROM pg_catalog.unnest(options) o) AS options,
         error IS NOT NULL AS invalid
    FROM pg_catalog.pg_hba_file_rules() ORDER BY 1 LIMIT ${MOST_ROWS + 1}`;

/** In each database. An extension that the image lacks has no default version. */
export const EXTENSIONS = `
  SELECT pg_catalog.current_database()::text AS database, e.extname::text AS name, e.extversion AS version,
         n.nspname::text AS schema, a.default_version AS "available"
    FROM pg_catalog.pg_extension e JOIN pg_catalog.pg_namespace n ON n.oid = e.extnamespace
    LEFT JOIN pg_catalog.pg_available_extensions() a ON a.name = e.extname ORDER BY 2`;

/** In each database: the collations whose library has changed, first, and those that somebody created. */
export const COLLATIONS = `
  SELECT * FROM (
    SELECT pg_catalog.current_database()::text AS database, n.nspname::text AS schema, c.collname::text AS name,
           CASE c.collprovider WHEN 'i' THEN 'icu' WHEN 'c' THEN 'libc' ELSE 'builtin' END AS provider,
           c.collversion AS recorded, pg_catalog.pg_collation_actual_version(c.oid) AS actual, c.oid >= 16384 AS own
      FROM pg_catalog.pg_collation c JOIN pg_catalog.pg_namespace n ON n.oid = c.collnamespace
     WHERE c.collprovider <> 'd') AS found
   WHERE own OR (recorded IS NOT NULL AND recorded IS DISTINCT FROM actual)
   ORDER BY (recorded IS NOT NULL AND recorded IS DISTINCT FROM actual) DESC, 2, 3 LIMIT ${MOST_ROWS + 1}`;

/** Sizes take a look at each file: on a slow disk they must not cost the rest. */
const SIZES_WITHIN = '2s';

/** Runs a statement that the server itself ends after two seconds; the session stays usable. */
export async function askBriefly(
  session: Session,
  sql: string,
  signal: AbortSignal,
): Promise<Row[]> {
  await session.query(`SET statement_timeout = '${SIZES_WITHIN}'`, [], signal);
  try {
    return await session.query<Row>(sql, [], signal);
  } finally {
    if (!session.lost.aborted) await session.query('SET statement_timeout = 0', [], signal);
  }
}
