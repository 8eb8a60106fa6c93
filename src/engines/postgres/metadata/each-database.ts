import { withSession } from '../../shared/with-session.ts';
import { MOST_ROWS, type Parts } from '../../shared/parts.ts';
import type { Session } from '../connection/session.ts';
import { COLLATIONS, EXTENSIONS } from './copy-queries.ts';
import type { Row } from './queries.ts';

/** Opening more connections than this would take longer than a freeze may wait. */
const MOST_DATABASES = 100;

export interface EachDatabase {
  readonly extensions: Row[];
  readonly collations: Row[];
}

/**
 * Extensions and collations, which belong to one database each: one connection after the other, at most one
 * at a time. A database that does not let us in is absent.
 */
export async function readEachDatabase(
  databases: readonly Row[],
  open: (database: string) => Promise<Session>,
  parts: Parts,
  signal: AbortSignal,
): Promise<EachDatabase> {
  const found: EachDatabase = { extensions: [], collations: [] };
  const cut = new Set<keyof EachDatabase>();
  const add = (kind: keyof EachDatabase, rows: readonly Row[]): void => {
    const room = MOST_ROWS - found[kind].length;
    if (rows.length > room) cut.add(kind);
    found[kind].push(...rows.slice(0, room));
  };
  const asked = databases.filter((one) => one['allowsConnections'] === true && !one['template']);
  if (asked.length > MOST_DATABASES) {
    parts.truncated.push(
      `extensions and collations: only of the first ${MOST_DATABASES} databases`,
    );
  }
  const visited = asked.slice(0, MOST_DATABASES);
  for (const [at, row] of visited.entries()) {
    const name = String(row['name']);
    await parts.read(`extensions and collations of database ${name}`, async () => {
      signal.throwIfAborted();
      await withSession(open(name), async (session) => {
        const extensions = await session.query<Row>(EXTENSIONS, [], signal);
        const collations = await session.query<Row>(COLLATIONS, [], signal);
        add('extensions', extensions);
        add('collations', collations);
      });
    });
    const left = visited.length - at - 1;
    if (!signal.aborted || left === 0) continue;
    const part = `extensions and collations of ${left} further databases`;
    parts.leaveOut(part, `The time for the metadata ended after database ${name}.`);
    break;
  }
  for (const kind of cut) parts.truncated.push(`${kind}: only the first ${MOST_ROWS}`);
  return found;
}
