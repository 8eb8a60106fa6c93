import type { Session } from '../connection/session.ts';
import { listDatabases } from '../freeze/document-counts.ts';

/** Databases that a server has from its first start. `admin` then holds its users. */
const OWN: ReadonlySet<string> = new Set(['admin', 'config', 'local']);

/** Whether the server has no database of an application: one exists from its first collection on. */
export async function hasNoData(session: Session, signal: AbortSignal): Promise<boolean> {
  return (await listDatabases(session, signal)).every((name) => OWN.has(name));
}
