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
 * Restores every setting that the freeze changed, exactly as it was found, then lets writers go on. The
 * order matters, because commands may be waiting in the pause: those with which a Sentinel demotes the
 * server end with CONFIG REWRITE, which would make a setting of the freeze permanent. A setting that
 * cannot be restored does not keep writers waiting.
 *
 * Idempotent. Ends the pause only in the server process in which it began. Restores the settings in any
 * process, because CONFIG REWRITE may have carried them over a restart.
 *
 * @param paused a pause is known to be in place. Otherwise a refused CLIENT UNPAUSE is no error: the
 * server most likely refused CLIENT PAUSE as well, and a pause ends by itself.
 * @param found the settings, if they have just been read: then one round trip does everything.
 * @throws QuiesceError when something may still be held; call it again.
 */
export async function undoChanges(
  session: Session,
  changes: SettingChanges,
  paused: boolean,
  signal: AbortSignal,
  found?: ServerSettings,
): Promise<void> {
  // Writers are waiting: do not ask again for a run_id that this connection already knows.
  const runId = session.runId ?? (await readServer(session, signal)).runId;
  const restoring = found
    ? restoreSettings(session, changes, found, signal)
    : readChanged(session, changes, signal).then((now) =>
        restoreSettings(session, changes, now, signal),
      );
  const done = restoring.catch(() => undefined);
  // With `found` nothing must be read first: both are sent together, and the server keeps the order.
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
