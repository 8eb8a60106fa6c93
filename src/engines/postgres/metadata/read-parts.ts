import type { Session } from '../connection/session.ts';
import { databaseCollations, HBA, LIBRARIES } from './copy-queries.ts';
import { ask, type Row } from './queries.ts';

export async function rolesOf(session: Session, signal: AbortSignal): Promise<Row[]> {
  const roles = await ask(session, 'roles', [], signal);
  const memberships = await ask(session, 'memberships', [], signal);
  return withMemberships(roles, memberships);
}

/** Pure. A server may have very many of both: each is looked at once. */
export function withMemberships(roles: readonly Row[], memberships: readonly Row[]): Row[] {
  const of = new Map<unknown, Row[]>();
  for (const { member, role, grantor, admin } of memberships) {
    const known = of.get(member) ?? [];
    known.push({ role, grantor, admin });
    of.set(member, known);
  }
  return roles.map((role) => ({ ...role, memberOf: of.get(role['name']) ?? [] }));
}

/** `PostgreSQL 17.10 on x86_64-pc-linux-gnu, compiled by …` */
export function architectureOf(banner: string): string | null {
  return / on ([a-z0-9_]+)-/i.exec(banner)?.[1] ?? null;
}

export async function readLibraries(session: Session, signal: AbortSignal): Promise<Row> {
  const [row] = await session.query<Row & { preloaded: string | null }>(LIBRARIES, [], signal);
  const preloaded = (row?.preloaded ?? '')
    .split(',')
    .map((name) => name.trim().replaceAll('"', ''))
    .filter(Boolean);
  return { ...row, preloaded };
}

/** Adds the recorded and the actual version of each database's default collation. */
export async function withCollations(
  session: Session,
  rows: readonly Row[],
  signal: AbortSignal,
): Promise<Row[]> {
  const found = await session.query<Row>(databaseCollations(session.major), [], signal);
  const known = new Map(found.map(({ name, ...collation }) => [name, collation]));
  return rows.map((row) => {
    const collation = known.get(row['name']) ?? {};
    return {
      ...row,
      localeProvider: collation['provider'] ?? null,
      collationVersion: collation['recorded'] ?? null,
      // Where none is recorded, there is nothing to compare it with.
      actualCollationVersion: collation['recorded'] ? (collation['actual'] ?? null) : null,
    };
  });
}

/** The rules of pg_hba.conf: of their options the names only. */
export async function readHba(session: Session, signal: AbortSignal): Promise<Row[]> {
  const rows = await session.query<Row>(HBA, [], signal);
  return rows.map(({ line, type, database, users, address, netmask, ...rest }) => {
    return { line, type, database, users, address: range(address, netmask), ...rest };
  });
}

/** `10.0.0.0/8`: the server reports the mask as an address. */
function range(address: unknown, netmask: unknown): unknown {
  if (typeof address !== 'string' || typeof netmask !== 'string') return address;
  const radix = netmask.includes(':') ? 16 : 10;
  const bits = netmask.split(/[.:]/).map(
    (part) =>
      (
        Number.parseInt(part || '0', radix)
          .toString(2)
          .match(/1/g) ?? []
      ).length,
  );
  return `${address}/${bits.reduce((sum, one) => sum + one, 0)}`;
}
