import { QuiesceError } from '../../../errors.ts';
import type { RetryLater } from '../../../lib/retry-later.ts';
import type { FreezeContext, Hold } from '../../engine.ts';
import type { Layout } from '../data-dir/layout.ts';
import type { Privileges } from '../privileges.ts';
import type { ServerFacts } from '../server.ts';
import type { Session } from '../connection/session.ts';

/** What is known about the server when a freeze begins. */
export interface ModeInput {
  /** The freeze's own session. The mode closes it, in `PreparedFreeze.close` or with its hold. */
  readonly session: Session;
  readonly server: ServerFacts;
  readonly privileges: Privileges;
  readonly layout: Layout;
  /** QUIESCE_DATA_DIR. */
  readonly dataDir: string | undefined;
  readonly context: FreezeContext;
  /** Opens another session to the same server. */
  readonly open: (signal: AbortSignal) => Promise<Session>;
  /**
   * Keeps a session open after the freeze, and with it its slot or backup, until `ms` have passed,
   * another freeze begins, or the engine is closed.
   */
  readonly keepSession: (session: Session, ms: number) => Promise<void>;
  /** Takes what a roll-back could not undo, and tries it again until it succeeds. */
  readonly retry: RetryLater;
}

/** The slow half of a freeze, done. The caller calls `hold` next, or `close`. */
export interface PreparedFreeze {
  /** Rejects with nothing held. The caller then calls `close`. */
  hold(signal: AbortSignal): Promise<Hold>;
  /** Undoes what was prepared; never throws. */
  close(): Promise<void>;
}

/**
 * One way to freeze, for one copy method.
 *
 * @throws QuiesceError COPY_UNSUPPORTED where it cannot keep its promise for these volumes. What
 * had begun by then is undone, except for the session, which the caller closes.
 */
export type Mode = (input: ModeInput, signal: AbortSignal) => Promise<PreparedFreeze>;

export function refuseLayout({ message, hint }: NonNullable<Layout['refusal']>): QuiesceError {
  return new QuiesceError('COPY_UNSUPPORTED', message, { hint });
}
