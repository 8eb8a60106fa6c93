import type { Session } from './session.ts';

/** What the server waits beyond the lease, so that the sidecar's own end of it comes first. */
const MARGIN_MS = 5_000;
/** Probes of a silent TCP connection; `tcp_user_timeout` says when they have gone unanswered for too long. */
const PROBE_AFTER_S = 10;

/**
 * The server's own dead-man's switch on one session: when the sidecar, or its whole host, falls silent
 * without a goodbye, the server ends the session soon after the lease, and with it a backup or a
 * temporary slot.
 *
 * From 14 on by `idle_session_timeout`. 13 has only `idle_in_transaction_session_timeout`, so there
 * the session waits inside a transaction, which takes no snapshot and no lock (documentation,
 * "Statement Behavior"). On both `tcp_user_timeout` ends a TCP connection whose host is gone, also
 * where answers of the server are still on their way (documentation, "TCP Settings").
 */
export class SessionLimit {
  readonly #session: Session;
  #deadline: number;
  #inTransaction = false;
  #armed = false;

  constructor(session: Session, ttlMs: number) {
    this.#session = session;
    this.#deadline = performance.now() + ttlMs;
  }

  /** Milliseconds of the lease that are left. */
  get remainingMs(): number {
    return Math.max(0, this.#deadline - performance.now());
  }

  /** The lease now runs for `ttlMs` from here; `tell` tells the server. */
  renew(ttlMs: number): void {
    this.#deadline = performance.now() + ttlMs;
  }

  /** Tells the server how much of the lease is left. Light: made to be called every second. */
  async send(signal: AbortSignal): Promise<void> {
    const statements = limits(this.#session.major, this.remainingMs);
    if (!this.#armed) statements.push(...probes());
    this.#armed = true;
    if (this.#session.major < 14 && !this.#inTransaction) {
      this.#inTransaction = true;
      statements.unshift('BEGIN');
    }
    await this.#session.query(statements.join('; '), [], signal);
  }

  /** Leaves the transaction, if there is one, so that the session can be worked with. */
  async leave(signal: AbortSignal): Promise<void> {
    if (!this.#inTransaction) return;
    this.#inTransaction = false;
    await this.#session.query('COMMIT', [], signal);
  }
}

/** For a session at work whose lease has not begun. */
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
