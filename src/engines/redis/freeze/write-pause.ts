import type { Session } from '../connection/session.ts';

/** How much longer the server's own switch runs than the lease, which ends the pause first. */
const GRACE_MS = 1_000;
/** How old a pause may be at the beginning of the lease that is as long. */
const FRESH_MS = GRACE_MS / 4;

/**
 * The pause of writers, with the lease's own time as the server's dead-man's switch: `CLIENT PAUSE ms
 * WRITE` ends by itself. A longer pause extends one in place, a shorter one does not cut it (measured).
 */
export class WritePause {
  readonly #now: () => number;
  #until = 0;
  #ttlMs: number;

  constructor(ttlMs: number, now: () => number = () => performance.now()) {
    this.#ttlMs = ttlMs;
    this.#now = now;
  }

  /** The server's switch has fired, by our monotonic clock. */
  get expired(): boolean {
    return this.#now() >= this.#until;
  }

  /** The lease runs for `ttlMs` from here. */
  async pause(session: Session, ttlMs: number, signal: AbortSignal): Promise<void> {
    // Counted from before it was sent: the server counts from later.
    const until = this.#now() + ttlMs + GRACE_MS;
    await session.call(signal, 'CLIENT', 'PAUSE', Math.ceil(ttlMs + GRACE_MS), 'WRITE');
    this.#ttlMs = ttlMs;
    this.#until = Math.max(this.#until, until);
  }

  /** Keeps the pause alive while the hold is still being made: its lease begins only then. */
  async keep(session: Session, signal: AbortSignal): Promise<void> {
    if (this.#until - this.#now() > (this.#ttlMs + GRACE_MS) / 2) return;
    await this.pause(session, this.#ttlMs, signal);
  }

  /** Tells the server once more where the last pause is no longer fresh. */
  async refresh(session: Session, signal: AbortSignal): Promise<void> {
    if (this.#until - this.#now() > this.#ttlMs + GRACE_MS - FRESH_MS) return;
    await this.pause(session, this.#ttlMs, signal);
  }
}
