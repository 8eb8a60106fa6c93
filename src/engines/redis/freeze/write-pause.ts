import type { Session } from '../connection/session.ts';

/** How much longer the server's own pause runs than the lease, so that the lease ends it first. */
const GRACE_MS = 1_000;
/** How old a pause may be when the lease begins; an older one is renewed. */
const FRESH_MS = GRACE_MS / 4;

/**
 * The pause of writers. It is the server's dead-man's switch for the lease: `CLIENT PAUSE ms WRITE` ends
 * by itself. A longer pause extends the present one; a shorter one does not shorten it (measured).
 */
export class WritePause {
  readonly #now: () => number;
  #until = 0;
  #ttlMs: number;

  constructor(ttlMs: number, now: () => number = () => performance.now()) {
    this.#ttlMs = ttlMs;
    this.#now = now;
  }

  /** The pause has ended, by our monotonic clock. */
  get expired(): boolean {
    return this.#now() >= this.#until;
  }

  /** Pauses writers, or extends the pause, for a lease of `ttlMs` from now. */
  async pause(session: Session, ttlMs: number, signal: AbortSignal): Promise<void> {
    // Counted from before the command is sent, so we never believe in a pause that has ended.
    const until = this.#now() + ttlMs + GRACE_MS;
    await session.call(signal, 'CLIENT', 'PAUSE', Math.ceil(ttlMs + GRACE_MS), 'WRITE');
    this.#ttlMs = ttlMs;
    this.#until = Math.max(this.#until, until);
  }

  /** Extends the pause, when half of it is over, while the hold is being made: the lease begins after that. */
  async keep(session: Session, signal: AbortSignal): Promise<void> {
    if (this.#until - this.#now() > (this.#ttlMs + GRACE_MS) / 2) return;
    await this.pause(session, this.#ttlMs, signal);
  }

  /** Extends the pause unless it has only just begun. */
  async refresh(session: Session, signal: AbortSignal): Promise<void> {
    if (this.#until - this.#now() > this.#ttlMs + GRACE_MS - FRESH_MS) return;
    await this.pause(session, this.#ttlMs, signal);
  }
}
