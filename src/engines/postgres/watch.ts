import { QuiesceError, toQuiesceError } from '../../errors.ts';
import type { HoldCheck } from '../engine.ts';
import { compareRuns, readServer, type ServerFacts } from './server.ts';
import type { Session } from './session.ts';

const LOOK_EVERY_MS = 1_000;
const ANSWER_WITHIN_MS = 5_000;
const RECONNECT_TRIES = 3;
const RECONNECT_AFTER_MS = 300;

/**
 * Watches, during a hold, that the same run of the same server goes on. Its own connection may end
 * (somebody terminates it): then it connects again and compares. A server that only does not answer
 * is not gone: the evidence at thaw decides about that one.
 *
 * `still` is asked all the time and gives codes and sentences for what no longer holds.
 */
export class Watch {
  readonly #then: ServerFacts;
  readonly #open: (signal: AbortSignal) => Promise<Session>;
  readonly #still: (session: Session, signal: AbortSignal) => Promise<[string, string][]>;
  readonly #lost = new AbortController();
  readonly #stop = new AbortController();
  readonly #opened = new Set<Session>();
  #session: Session;
  #timer: NodeJS.Timeout | undefined;

  constructor(
    session: Session,
    then: ServerFacts,
    open: (signal: AbortSignal) => Promise<Session>,
    still: (session: Session, signal: AbortSignal) => Promise<[string, string][]> = answers,
  ) {
    this.#session = session;
    this.#opened.add(session);
    this.#then = then;
    this.#open = open;
    this.#still = still;
    this.#follow();
    this.#again();
  }

  /** Aborts with a `HoldCheck` as reason when the server ended or is no longer the same run. */
  get lost(): AbortSignal {
    return this.#lost.signal;
  }

  /** A live session to the server, connected anew if need be. */
  async session(signal: AbortSignal): Promise<Session> {
    if (this.#session.lost.aborted) await this.#connect(signal);
    return this.#session;
  }

  /** Closes every connection that was ever opened for this hold, and with them what they keep. */
  async stop(): Promise<void> {
    this.#stop.abort();
    clearTimeout(this.#timer);
    await Promise.all([...this.#opened].map((session) => session.close()));
  }

  async #connect(signal: AbortSignal): Promise<void> {
    const session = await this.#open(signal);
    this.#opened.add(session);
    // It may have arrived after the end: then nobody else would ever close it.
    if (this.#stop.signal.aborted) await session.close();
    else this.#session = session;
  }

  #follow(): void {
    this.#session.lost.addEventListener('abort', () => void this.#examine(), { once: true });
  }

  #again(): void {
    if (this.#stop.signal.aborted || this.lost.aborted) return;
    this.#timer = setTimeout(() => void this.#look(), LOOK_EVERY_MS);
  }

  /** A statement of no weight: a connection through which nothing flows would hide that it is dead. */
  async #look(): Promise<void> {
    if (!this.#session.lost.aborted) {
      const looked = this.#still(this.#session, this.#stop.signal).catch(() => []);
      const late = new Promise<[]>((resolve) => {
        setTimeout(() => resolve([]), ANSWER_WITHIN_MS).unref();
      });
      const found = await Promise.race([looked, late]);
      if (found.length > 0 && !this.#stop.signal.aborted) this.#declare(found);
    }
    this.#again();
  }

  async #examine(): Promise<void> {
    if (this.#stop.signal.aborted || this.lost.aborted) return;
    const found = await this.#compare();
    if (this.#stop.signal.aborted) return;
    if (found.length > 0) this.#declare(found);
    else this.#follow();
  }

  async #compare(): Promise<[code: string, note: string][]> {
    if (this.#then.checkpointerStartedAt === null) {
      return [
        [
          'session-lost',
          'The connection of the freeze ended, and the role may not see whether the server crashed (GRANT pg_monitor).',
        ],
      ];
    }
    let problem = new QuiesceError('ENGINE_UNREACHABLE', 'The server did not answer.');
    for (let attempt = 0; attempt < RECONNECT_TRIES && !this.#stop.signal.aborted; attempt += 1) {
      await new Promise((resolve) => setTimeout(resolve, RECONNECT_AFTER_MS));
      const signal = AbortSignal.any([this.#stop.signal, AbortSignal.timeout(ANSWER_WITHIN_MS)]);
      try {
        await this.#connect(signal);
        return compareRuns(this.#then, await readServer(this.#session, signal));
      } catch (error) {
        problem = toQuiesceError(error);
      }
    }
    return [['server-lost', `The server ended the connection and is not back: ${problem.message}`]];
  }

  #declare(found: [code: string, note: string][]): void {
    const check: HoldCheck = {
      broken: found.map(([code]) => code),
      notes: found.map(([, note]) => note),
    };
    this.#lost.abort(check);
  }
}

async function answers(session: Session, signal: AbortSignal): Promise<[]> {
  await session.query('SELECT 1', [], signal);
  return [];
}
