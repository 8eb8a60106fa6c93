import { QuiesceError } from '../../../errors.ts';
import type { VerifyCheck } from '../../engine.ts';
import { COULD_NOT_LOOK } from '../../shared/could-not-look.ts';
import { withSession } from '../../shared/with-session.ts';
import { Session } from '../connection/session.ts';
import type { PostgresSettings } from '../connection/settings.ts';
import { quote, sqlstateOf } from '../connection/sqlstate.ts';
import { abortedWithin } from '../../../lib/deadline.ts';

/** How many findings of one database are listed in full. */
const SHOWN = 5;
/** How long the server may take to end a statement before the connection is closed. */
const GRACE_MS = 2_000;

/**
 * Runs amcheck on every database that accepts connections and is not a template: every B-tree index
 * against its table, and from 14 on every table. One check for each database. Needs the extension
 * and EXECUTE on its functions there (PostgreSQL 18, section F.1); a failed check says what is
 * missing. Ends within `timeoutMs`, on the server too: on a corrupt copy a check can loop.
 */
export async function checkDeep(
  settings: PostgresSettings,
  timeoutMs: number,
  signal: AbortSignal,
): Promise<VerifyCheck[]> {
  const deadline = performance.now() + timeoutMs;
  const checks: VerifyCheck[] = [];
  for (const database of await connectableDatabases(settings, signal)) {
    const check = await checkDatabase({ ...settings, database }, deadline, timeoutMs, signal);
    checks.push({ ...check, deep: true });
  }
  return checks;
}

/** Databases that accept connections and are not templates. */
export async function connectableDatabases(
  settings: PostgresSettings,
  signal: AbortSignal,
): Promise<string[]> {
  return await withSession(Session.open(settings, signal), async (session) => {
    const rows = await session.query<{ name: string }>(
      'SELECT datname::text AS name FROM pg_catalog.pg_database WHERE datallowconn AND NOT datistemplate ORDER BY 1',
      [],
      signal,
    );
    return rows.map(({ name }) => name);
  });
}

interface Findings {
  indexes: number;
  tables: number;
  readonly errors: string[];
}

async function checkDatabase(
  settings: PostgresSettings,
  deadline: number,
  timeoutMs: number,
  signal: AbortSignal,
): Promise<VerifyCheck> {
  const { database } = settings;
  const found: Findings = { indexes: 0, tables: 0, errors: [] };
  const name = `amcheck:${database}`;
  const leftMs = Math.max(0, Math.ceil(deadline - performance.now()));
  const limit = abortedWithin(leftMs + GRACE_MS, signal);
  let session: Session | undefined;
  try {
    session = await Session.open(settings, limit);
    await checkRelations(session, found, deadline, limit);
  } catch (error) {
    if (signal.aborted || !(error instanceof QuiesceError)) throw error;
    const late = performance.now() >= deadline;
    const why = late ? `not finished within ${timeoutMs} ms` : error.message;
    const unchecked = found.errors.length === 0 && (late || COULD_NOT_LOOK.has(error.code));
    return {
      name,
      ok: false,
      ...(unchecked ? { unchecked } : {}),
      message: `Database ${database}: ${[...found.errors.slice(0, SHOWN), why].join('; ')}`,
    };
  } finally {
    await session?.close();
  }
  const { indexes, tables, errors } = found;
  if (errors.length > 0) {
    const more = errors.length > SHOWN ? `; and ${errors.length - SHOWN} more` : '';
    return {
      name,
      ok: false,
      message: `Database ${database}: ${errors.slice(0, SHOWN).join('; ')}${more}`,
      found: errors.length,
    };
  }
  const heap =
    session.major >= 14 ? ` and ${tables} tables` : '; tables are not checked before PostgreSQL 14';
  return {
    name,
    ok: true,
    message: `Database ${database}: ${indexes} B-tree indexes${heap} are sound.`,
  };
}

async function checkRelations(
  session: Session,
  found: Findings,
  deadline: number,
  signal: AbortSignal,
): Promise<void> {
  const schema = await requireAmcheck(session, signal);
  const relations = await session.query<{ oid: string; name: string; kind: string }>(
    `SELECT c.oid::text AS oid, c.oid::pg_catalog.regclass::text AS name, c.relkind::text AS kind
       FROM pg_catalog.pg_class c JOIN pg_catalog.pg_am a ON a.oid = c.relam
       LEFT JOIN pg_catalog.pg_index i ON i.indexrelid = c.oid
      WHERE c.relpersistence <> 't' AND (c.relpersistence <> 'u' OR NOT pg_catalog.pg_is_in_recovery())
        AND ((c.relkind = 'i' AND a.amname = 'btree' AND i.indisready AND i.indisvalid)
          OR ($1 AND c.relkind IN ('r', 'm', 't') AND a.amname = 'heap'))
      ORDER BY c.relkind, c.relpages, c.oid`,
    [session.major >= 14],
    signal,
  );
  for (const { oid, name, kind } of relations) {
    const left = Math.floor(deadline - performance.now());
    if (left <= 0) throw new QuiesceError('ENGINE_FAILED', 'out of time');
    await session.query(`SET statement_timeout = ${left}`, [], signal);
    try {
      if (kind === 'i') {
        await session.query(
          `SELECT ${schema}.bt_index_check($1::oid::regclass, true)`,
          [oid],
          signal,
        );
        found.indexes += 1;
      } else {
        const rows = await session.query<{ msg: string }>(
          `SELECT msg FROM ${schema}.verify_heapam($1::oid::regclass) LIMIT ${SHOWN}`,
          [oid],
          signal,
        );
        found.tables += 1;
        found.errors.push(...rows.map(({ msg }) => `table ${name}: ${msg}`));
      }
    } catch (error) {
      await judgeFailure(session, error, oid, name, found, signal);
    }
  }
}

/**
 * Keeps a finding. Ignores a relation that was dropped meanwhile. Any other error ends the check.
 */
async function judgeFailure(
  session: Session,
  error: unknown,
  oid: string,
  name: string,
  found: Findings,
  signal: AbortSignal,
): Promise<void> {
  const state = sqlstateOf(error);
  if (state === undefined || session.lost.aborted || state === '57014' || state.startsWith('57P'))
    throw error;
  const rows = await session.query(
    'SELECT FROM pg_catalog.pg_class WHERE oid = $1::oid',
    [oid],
    signal,
  );
  if (rows.length > 0) found.errors.push(`${name}: ${(error as Error).message}`);
}

/** The schema of the extension, quoted. Rejects with the statement that grants what is missing. */
async function requireAmcheck(session: Session, signal: AbortSignal): Promise<string> {
  const [extension] = await session.query<{ schema: string; usage: boolean }>(
    `SELECT n.nspname::text AS schema, pg_catalog.has_schema_privilege(n.oid, 'USAGE') AS usage
       FROM pg_catalog.pg_extension e JOIN pg_catalog.pg_namespace n ON n.oid = e.extnamespace WHERE e.extname = 'amcheck'`,
    [],
    signal,
  );
  if (!extension) throw missing('the extension is not installed', 'CREATE EXTENSION amcheck;');
  const schema = quote(extension.schema);
  if (!extension.usage)
    throw missing(
      'no access to its schema',
      `GRANT USAGE ON SCHEMA ${schema} TO ${quote(session.role)};`,
    );
  const functions = ['bt_index_check(regclass, boolean)'];
  if (session.major >= 14)
    functions.push('verify_heapam(regclass, boolean, boolean, text, bigint, bigint)');
  for (const signature of functions) {
    const [row] = await session.query<{ ok: boolean }>(
      `SELECT pg_catalog.has_function_privilege($1, 'EXECUTE') AS ok`,
      [`${schema}.${signature}`],
      signal,
    );
    if (!row?.ok) {
      throw missing(
        'no right to run it',
        `GRANT EXECUTE ON FUNCTION ${schema}.${signature} TO ${quote(session.role)};`,
      );
    }
  }
  return schema;
}

function missing(what: string, statement: string): QuiesceError {
  return new QuiesceError('ENGINE_PRIVILEGE', `amcheck: ${what}. Missing: ${statement}`);
}
