import type { Session } from './session.ts';

/** The connection of one freeze: opened anew where it was lost. Neither pause nor settings end with it. */
export class Link {
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

  close(): void {
    this.#closed.abort();
    this.#session.close();
  }
}
