import type { Session } from '../../connection/session.ts';

const SEND_EVERY_MS = 5_000;

/**
 * Sends a statement on the session of a backup now and then while files are copied. The server ends
 * a session that is silent for too long, and the backup with it.
 *
 * @returns a signal that aborts with the session, or with the one given; `stop` ends the
 * statements.
 */
export function keepAlive(
  session: Session,
  signal: AbortSignal,
): { readonly signal: AbortSignal; stop(): void } {
  const ended = new AbortController();
  const timer = setInterval(() => {
    session.query('SELECT 1', [], signal).catch((error: unknown) => ended.abort(error));
  }, SEND_EVERY_MS);
  return {
    signal: AbortSignal.any([signal, session.lost, ended.signal]),
    stop: () => clearInterval(timer),
  };
}
