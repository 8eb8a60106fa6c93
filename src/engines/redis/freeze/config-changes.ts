import { z } from 'zod';
import type { JsonObject } from '../../engine.ts';
import { RefusedError, parsePairs } from '../connection/replies.ts';
import type { Session } from '../connection/session.ts';

/** The settings a freeze reads, and of which it may change some. */
const READ = [
  'dir',
  'dbfilename',
  'appendonly',
  'appendfilename',
  'appenddirname',
  'save',
  'appendfsync',
  'no-appendfsync-on-rewrite',
  'auto-aof-rewrite-percentage',
] as const;

export type ServerSettings = ReadonlyMap<string, string>;

/** @returns the refusal itself where the server does not let us read its settings. */
export async function readSettings(
  session: Session,
  signal: AbortSignal,
): Promise<ServerSettings | RefusedError> {
  try {
    const replies = await Promise.all(
      READ.map((name) => session.call(signal, 'CONFIG', 'GET', name)),
    );
    return new Map(replies.flatMap((reply) => [...parsePairs(reply)]));
  } catch (error) {
    if (error instanceof RefusedError) return error;
    throw error;
  }
}

/**
 * What a freeze has changed on the server, or is about to, as the journal keeps it. Both outlive our
 * connection and our process: the settings until somebody sets them again, the pause until its end.
 */
const changesSchema = z.object({
  runId: z.string(),
  /** Setting → what it was and what the freeze makes of it. */
  settings: z.record(z.string(), z.object({ was: z.string(), held: z.string() })),
});
export type SettingChanges = z.infer<typeof changesSchema>;

export function changesJournal(changes: SettingChanges): JsonObject {
  return { redis: changes };
}

export function changesIn(journal: JsonObject | null): SettingChanges | null {
  return changesSchema.safeParse(journal?.['redis']).data ?? null;
}

/** What a freeze changes: `auto-aof-rewrite-percentage` for all of it, the others for moments. */
export function planChanges(
  runId: string,
  settings: ServerSettings | null,
  wanted: Readonly<Record<string, string>>,
): SettingChanges {
  const changes: SettingChanges['settings'] = {};
  for (const [name, held] of Object.entries(wanted)) {
    const was = settings?.get(name);
    if (was !== undefined && was !== held) changes[name] = { was, held };
  }
  return { runId, settings: changes };
}

/** What of a claim is left once the others are put back: what somebody makes of those then is theirs. */
export function onlyChanges(changes: SettingChanges, names: readonly string[]): SettingChanges {
  const left = Object.entries(changes.settings).filter(([name]) => names.includes(name));
  return { ...changes, settings: Object.fromEntries(left) };
}

/** Makes settings what the freeze wants, in this order and in one round trip: writers may wait for it. */
export async function applyChanges(
  session: Session,
  changes: SettingChanges,
  names: readonly string[],
  signal: AbortSignal,
): Promise<void> {
  await setAll(session, changes, names, 'held', signal);
}

/** Puts back at once what `applyChanges` has just made, in one round trip: writers wait for it. */
export async function revertChanges(
  session: Session,
  changes: SettingChanges,
  names: readonly string[],
  signal: AbortSignal,
): Promise<void> {
  await setAll(session, changes, names, 'was', signal);
}

async function setAll(
  session: Session,
  changes: SettingChanges,
  names: readonly string[],
  to: 'was' | 'held',
  signal: AbortSignal,
): Promise<void> {
  const made = names.flatMap((name) => {
    const setting = changes.settings[name];
    return setting ? [session.call(signal, 'CONFIG', 'SET', name, setting[to])] : [];
  });
  await Promise.all(made);
}

/** What the settings of a claim are now, in one round trip. */
export async function readChanged(
  session: Session,
  changes: SettingChanges,
  signal: AbortSignal,
): Promise<ServerSettings> {
  const replies = await Promise.all(
    Object.keys(changes.settings).map((name) => session.call(signal, 'CONFIG', 'GET', name)),
  );
  return new Map(replies.flatMap((reply) => [...parsePairs(reply)]));
}

/**
 * Puts settings back exactly as they were found, all at once, for writers wait for it. One that is no
 * longer what the freeze made of it was set by somebody else since: that one is left alone.
 *
 * @param now as `readChanged` has found them.
 */
export async function restoreSettings(
  session: Session,
  changes: SettingChanges,
  now: ServerSettings,
  signal: AbortSignal,
): Promise<void> {
  const changed = Object.entries(changes.settings).filter(
    ([name, { held }]) => now.get(name) === held,
  );
  await Promise.all(
    changed.map(([name, { was }]) => session.call(signal, 'CONFIG', 'SET', name, was)),
  );
}
