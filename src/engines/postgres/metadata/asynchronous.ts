import type { Session } from '../connection/session.ts';

/** What is known of commits that are acknowledged before they are on the disk. */
export interface Asynchronous {
  /** `synchronous_commit` of the whole server; `null`: a setting of the sidecar's own hides it. */
  readonly everywhere: string | null;
  /** Where it is off by ALTER ROLE or ALTER DATABASE, for people: `role app in database shop`. */
  readonly scopes: readonly string[];
}

interface Scope {
  readonly role: string | null;
  readonly database: string | null;
  readonly value: string;
  /** Sessions of the sidecar get it, too. */
  readonly own: boolean;
}

/**
 * Settings of roles and databases, of the whole server. A NOLOGIN role counts: background workers may run as
 * one. The SET of a function is not among them, since it ends before the commit.
 */
const SCOPES = `
  SELECT r.rolname::text AS role, d.datname::text AS database,
         pg_catalog.lower(pg_catalog.split_part(c, '=', 2)) AS value,
         (s.setrole = 0 OR r.rolname = session_user)
           AND (s.setdatabase = 0 OR d.datname = pg_catalog.current_database()) AS own
    FROM pg_catalog.pg_db_role_setting s
   CROSS JOIN LATERAL pg_catalog.unnest(s.setconfig) AS c
    LEFT JOIN pg_catalog.pg_roles r ON r.oid = s.setrole
    LEFT JOIN pg_catalog.pg_database d ON d.oid = s.setdatabase
   WHERE pg_catalog.lower(pg_catalog.split_part(c, '=', 1)) = 'synchronous_commit'
   ORDER BY 1 NULLS FIRST, 2 NULLS FIRST`;

/** ALTER ROLE keeps the word that it was given. */
const OFF = new Set(['off', 'false', 'no', '0']);

/** @param own what new sessions of the sidecar get */
export async function readAsynchronous(
  session: Session,
  own: string,
  signal: AbortSignal,
): Promise<Asynchronous> {
  return asynchronousIn(await session.query<Scope>(SCOPES, [], signal), own);
}

function asynchronousIn(all: readonly Scope[], own: string): Asynchronous {
  const general = all.find(({ role, database }) => role === null && database === null);
  const special = all.filter((one) => one !== general);
  const hidden = special.some((one) => one.own);
  return {
    everywhere: hidden ? (general?.value ?? null) : own,
    scopes: special.filter(({ value }) => OFF.has(value)).map(nameOf),
  };
}

export function isOff(value: string | null): boolean {
  return value !== null && OFF.has(value);
}

function nameOf({ role, database }: Scope): string {
  const where = database === null ? [] : [`database ${database}`];
  return [...(role === null ? [] : [`role ${role}`]), ...where].join(' in ');
}
