import { SessionLimit } from '../connection/session-limit.ts';
import type { Session } from '../connection/session.ts';

const SEND_WITHIN_MS = 5_000;

/**
 * At most one session that stays open for a while after its freeze, to keep its replication slot.
 */
export class KeptSession {
  #session: Session | undefined;
  #timer: NodeJS.Timeout | undefined;

  /**
   * Keeps the session open for `ms`, and ends one kept before. The server ends it soon after that
   * time if this process stops responding.
   */
  readonly keep = async (session: Session, ms: number): Promise<void> => {
    await this.end();
    this.#session = session;
    this.#timer = setTimeout(() => void this.end(), ms).unref();
    await new SessionLimit(session, ms).send(AbortSignal.timeout(SEND_WITHIN_MS));
  };

  async end(): Promise<void> {
    clearTimeout(this.#timer);
    const session = this.#session;
    this.#session = undefined;
    await session?.close();
  }
}
