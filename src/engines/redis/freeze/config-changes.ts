import { z } from 'zod';
import type { JsonObject } from '../../engine.ts';
import { RefusedError, parsePairs } from '../connection/replies.ts';
import type { Session } from '../connection/session.ts';

/** The settings that a freeze reads; it may change some of them. */
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

/** @returns the refusal where the server does not let us read its settings. */
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
 * What a freeze has changed on the server or is about to change, as kept in the journal. The changes
 * outlive our connection and process: settings until they are set again, the pause until it ends.
 */
const changesSchema = z.object({
  runId: z.string(),
  /** Setting → its value before the freeze and its value during it. */
  settings: z.record(z.string(), z.object({ was: z.string(), held: z.string() })),
});
export type SettingChanges = z.infer<typeof changesSchema>;

export function changesJournal(changes: SettingChanges): JsonObject {
  return { redis: changes };
}

export function changesIn(journal: JsonObject | null): SettingChanges | null {
  return changesSchema.safeParse(journal?.['redis']).data ?? null;
}

/** The changes that a freeze will make. Settings that are unknown or already right are left out. */
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

/** Only the changes to these settings. The others are already restored; later changes to them are not ours. */
export function onlyChanges(changes: SettingChanges, names: readonly string[]): SettingChanges {
  const left = Object.entries(changes.settings).filter(([name]) => names.includes(name));
  return { ...changes, settings: Object.fromEntries(left) };
}

/** Sets these settings for the freeze, in this order and in one round trip: writers may be waiting. */
export async function applyChanges(
  session: Session,
  changes: SettingChanges,
  names: readonly string[],
  signal: AbortSignal,
): Promise<void> {
  await setAll(session, changes, names, 'held', signal);
}

/** Reverts what `applyChanges` has just done, in one round trip: writers are waiting. */
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

/** The present values of the changed settings, read in one round trip. */
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
 * Restores the settings exactly as they were found, all at once: writers are waiting. A setting that no
 * longer has the freeze's value was changed by another client since, and is left alone.
 *
 * @param now the present values, from `readChanged`.
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
