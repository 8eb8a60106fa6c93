import type { Session } from './session.ts';

/** The connection of one freeze, reopened when lost. The pause and the settings outlive a connection. */
export class ReconnectingSession {
  readonly #open: (signal: AbortSignal) => Promise<Session>;
  readonly #closed = new AbortController();
  #session: Session;

  constructor(session: Session, open: (signal: AbortSignal) => Promise<Session>) {
    this.#session = session;
    this.#open = open;
  }

  async session(signal: AbortSignal): Promise<Session> {
    if (!this.#session.lost.aborted) return this.#session;
    const session = await this.#open(signal);
    if (this.#closed.signal.aborted) session.close();
    this.#session = session;
    return session;
  }

  /**
   * Does the work, and repeats it once on a new connection if the connection is lost meanwhile: a lost
   * connection may show only when it is used. Only for work that may be done twice.
   */
  async run<T>(signal: AbortSignal, work: (session: Session) => Promise<T>): Promise<T> {
    const session = await this.session(signal);
    try {
      return await work(session);
    } catch (error) {
      if (!session.lost.aborted || signal.aborted || this.#closed.signal.aborted) throw error;
      return await work(await this.session(signal));
    }
  }

  close(): void {
    this.#closed.abort();
    this.#session.close();
  }
}
