import type { Session } from '../../connection/session.ts';

const SPEAK_EVERY_MS = 5_000;

/**
 * Speaks on the session of a backup while files are copied: a session of which nothing is heard for
 * long is ended by the server, and one that has ended ends its backup.
 *
 * @returns a signal that aborts with the session, or with the one given; `stop` ends the speaking.
 */
export function keepAlive(
  session: Session,
  signal: AbortSignal,
): { readonly signal: AbortSignal; stop(): void } {
  const ended = new AbortController();
  const timer = setInterval(() => {
    session.query('SELECT 1', [], signal).catch((error: unknown) => ended.abort(error));
  }, SPEAK_EVERY_MS);
  return {
    signal: AbortSignal.any([signal, session.lost, ended.signal]),
    stop: () => clearInterval(timer),
  };
}
