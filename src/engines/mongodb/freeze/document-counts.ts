import type { Document } from 'mongodb';
import type { Session } from '../connection/session.ts';
import { abortedWithin } from '../../../lib/deadline.ts';

/** Counting must not stall writers for longer than this. */
const COUNT_WITHIN_MS = 1_000;
/** Databases that belong to one member and not to the application. */
const NOT_COPIED = new Set(['local']);
/** Databases that the server itself may write to at any time. */
const NOT_COUNTED = new Set(['local', 'config', 'admin']);

export async function listDatabases(session: Session, signal: AbortSignal): Promise<string[]> {
  const command = { listDatabases: 1, nameOnly: true };
  const answer = await session.admin(command, 'list the databases', signal);
  const names = (answer['databases'] as Document[]).map((one) => String(one['name']));
  return names.filter((name) => !NOT_COPIED.has(name)).toSorted();
}

/**
 * Counts the documents of each database, from the server's own counters.
 *
 * @returns `null` where counting took too long.
 */
export async function countDocuments(
  session: Session,
  databases: readonly string[],
  signal: AbortSignal,
  withinMs = COUNT_WITHIN_MS,
): Promise<Record<string, number> | null> {
  const soon = abortedWithin(withinMs, signal);
  const counts: Record<string, number> = {};
  try {
    for (const name of databases.filter((one) => !NOT_COUNTED.has(one))) {
      const stats = await session.command(name, { dbStats: 1 }, 'count the documents', soon);
      counts[name] = Number(stats['objects']);
    }
    return counts;
  } catch (error) {
    signal.throwIfAborted();
    if (soon.aborted) return null;
    throw error;
  }
}
