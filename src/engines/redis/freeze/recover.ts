import { RefusedError } from '../connection/replies.ts';
import { readServer } from '../server.ts';
import type { Session } from '../connection/session.ts';
import {
  type SettingChanges,
  readChanged,
  restoreSettings,
  type ServerSettings,
} from './config-changes.ts';

/**
 * Puts back every setting the freeze has changed, exactly as it was found, then lets the writers go. In
 * this order because of what waits in the pause: the commands with which a Sentinel demotes the server
 * end with CONFIG REWRITE, which would make a setting of the freeze last. A setting that cannot be put
 * back does not keep writers waiting.
 *
 * Idempotent. The pause is ended only in the run of the server in which it was made; the settings in
 * any, for CONFIG REWRITE may have carried them over a restart.
 *
 * @param paused is a pause known to be in place? Otherwise a server that refuses CLIENT UNPAUSE has
 * most likely refused CLIENT PAUSE as well, and a pause ends by itself at the latest with its lease.
 * @param found the settings, where they have just been read: all is then one round trip.
 * @throws QuiesceError when something may still be held: to be called again.
 */
export async function undoChanges(
  session: Session,
  changes: SettingChanges,
  paused: boolean,
  signal: AbortSignal,
  found?: ServerSettings,
): Promise<void> {
  // Writers wait: a connection that has told once which run it leads to is not asked again.
  const runId = session.runId ?? (await readServer(session, signal)).runId;
  const restoring = found
    ? restoreSettings(session, changes, found, signal)
    : readChanged(session, changes, signal).then((now) =>
        restoreSettings(session, changes, now, signal),
      );
  const done = restoring.catch(() => undefined);
  // Where nothing is to be read first both are sent in one go, and the server keeps the order.
  if (!found) await done;
  const refused = runId === changes.runId ? await unpause(session, signal) : null;
  await restoring;
  if (refused && paused) throw refused;
}

async function unpause(session: Session, signal: AbortSignal): Promise<RefusedError | null> {
  try {
    await session.call(signal, 'CLIENT', 'UNPAUSE');
    return null;
  } catch (error) {
    if (error instanceof RefusedError) return error;
    throw error;
  }
}
