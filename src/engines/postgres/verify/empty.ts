import { withSession } from '../../shared/with-session.ts';
import { connectableDatabases } from './amcheck.ts';
import { Session } from '../connection/session.ts';
import type { PostgresSettings } from '../connection/settings.ts';

/** More databases than an image's first start makes. */
const MANY_DATABASES = 20;

/**
 * Whether no database has a table, a sequence, a view or a large object of a user. An image's first start
 * makes databases (POSTGRES_DB) and extensions, and no such relation.
 */
export async function hasNoData(settings: PostgresSettings, signal: AbortSignal): Promise<boolean> {
  const databases = await connectableDatabases(settings, signal);
  if (databases.length > MANY_DATABASES) return false;
  for (const database of databases) {
    const session = Session.open({ ...settings, database }, signal);
    if (await withSession(session, (open) => hasRelations(open, signal))) return false;
  }
  return true;
}

/** The catalogue lists relations to every role; those that an extension made have a dependency of type `e`. */
async function hasRelations(session: Session, signal: AbortSignal): Promise<boolean> {
  const [row] = await session.query<{ found: boolean }>(
    `SELECT EXISTS (
       SELECT FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
        WHERE c.relkind IN ('r', 'p', 'm', 'S', 'v', 'f') AND c.relpersistence <> 't'
          AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_'
          AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d
                           WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass
                             AND d.objid = c.oid AND d.deptype = 'e'))
     OR EXISTS (SELECT FROM pg_catalog.pg_largeobject_metadata) AS found`,
    [],
    signal,
  );
  return row?.found !== false;
}
