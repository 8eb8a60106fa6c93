import type { Session } from './session.ts';

/** How long the server waits after the lease, so that the sidecar ends the hold first. */
const MARGIN_MS = 5_000;
/**
 * Interval of the probes on a silent TCP connection. `tcp_user_timeout` decides when unanswered
 * probes end the connection.
 */
const PROBE_AFTER_S = 10;

/**
 * The server's own dead-man's switch on one session. If the sidecar or its whole host vanishes
 * without closing the session, the server ends it soon after the lease, and with it a backup or a
 * temporary slot.
 *
 * PostgreSQL 14 and newer use `idle_session_timeout`. 13 has only
 * `idle_in_transaction_session_timeout`, so there the session waits inside a transaction between two
 * statements, which takes no snapshot and no lock (documentation, "Statement Behavior"). On all versions
 * `tcp_user_timeout` ends a TCP connection whose host is gone, even while the server's answers are
 * still in transit (documentation, "TCP Settings").
 */
export class SessionLimit {
  readonly #session: Session;
  #deadline: number;
  #armed = false;

  constructor(session: Session, ttlMs: number) {
    this.#session = session;
    this.#deadline = performance.now() + ttlMs;
  }

  /** Milliseconds left of the lease. */
  get remainingMs(): number {
    return Math.max(0, this.#deadline - performance.now());
  }

  /** The lease now ends `ttlMs` from now. `send` passes that on to the server. */
  renew(ttlMs: number): void {
    this.#deadline = performance.now() + ttlMs;
  }

  /** Tells the server how much of the lease is left. Cheap enough to be called every second. */
  async send(signal: AbortSignal): Promise<void> {
    const statements = limits(this.#session.major, this.remainingMs);
    if (!this.#armed) statements.push(...probes());
    this.#armed = true;
    await this.#session.query(statements.join('; '), [], signal);
    if (this.#session.major < 14) await this.#session.waitInTransaction(signal);
  }
}

/** The same settings, for a session that runs statements and whose lease has not begun. */
export function sessionLimits(major: number, ttlMs: number): string {
  return [...limits(major, ttlMs), ...probes()].join('; ');
}

function limits(major: number, ms: number): string[] {
  const silence = Math.ceil(ms) + MARGIN_MS;
  const idle = major >= 14 ? 'idle_session_timeout' : 'idle_in_transaction_session_timeout';
  return [`SET ${idle} = ${silence}`, `SET tcp_user_timeout = ${silence}`];
}

function probes(): string[] {
  return [
    `SET tcp_keepalives_idle = ${PROBE_AFTER_S}`,
    `SET tcp_keepalives_interval = ${PROBE_AFTER_S}`,
  ];
}
