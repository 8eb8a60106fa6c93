import { QuiesceError, toQuiesceError } from '../../../errors.ts';
import { withDeadline } from '../../../lib/deadline.ts';
import type { Breach } from '../../engine.ts';
import {
  ANSWER_WITHIN_MS,
  Looks,
  LOOK_EVERY_MS,
  RECONNECT_AFTER_MS,
  RECONNECT_TRIES,
} from '../../shared/watch.ts';
import { SessionLimit } from '../connection/session-limit.ts';
import { compareRuns, readServer, type ServerFacts } from '../server.ts';
import type { Session } from '../connection/session.ts';

/** Asks the server for codes and sentences of what no longer holds. */
type ExtraCheck = (session: Session, signal: AbortSignal) => Promise<Breach[]>;

/**
 * Watches, during a hold, that the same run of the same server goes on, and tells the server each
 * second how much of the lease is left ({@link SessionLimit}). A server that only does not answer is not
 * gone: the evidence at thaw decides about that one.
 *
 * Where the session itself may end (somebody terminates it), it connects again and compares. Where
 * the session is the hold, `open` is `null`: its end is the loss.
 *
 * `still` is asked all the time and gives codes and sentences for what no longer holds.
 */
export class Watch {
  readonly #then: ServerFacts;
  readonly #open: ((signal: AbortSignal) => Promise<Session>) | null;
  readonly #extraCheck: ExtraCheck;
  readonly #stop = new AbortController();
  readonly #opened = new Set<Session>();
  #session: Session;
  #sessionLimit: SessionLimit;
  /** They end with the watch, and where the session is taken over. */
  readonly #looks: Looks;

  /**
   * The server knows its part of the lease when this resolves.
   *
   * @param ttlMs the lease that begins with the hold.
   */
  static async start(
    session: Session,
    then: ServerFacts,
    ttlMs: number,
    open: ((signal: AbortSignal) => Promise<Session>) | null,
    signal: AbortSignal,
    extraCheck: ExtraCheck = async () => [],
  ): Promise<Watch> {
    const watch = new Watch(session, then, ttlMs, open, extraCheck);
    try {
      await watch.#sessionLimit.send(signal);
    } catch (error) {
      // The session is still the caller's.
      void watch.#looks.stop();
      throw error;
    }
    watch.#follow();
    return watch;
  }

  private constructor(
    session: Session,
    then: ServerFacts,
    ttlMs: number,
    open: ((signal: AbortSignal) => Promise<Session>) | null,
    extraCheck: ExtraCheck,
  ) {
    this.#session = session;
    this.#opened.add(session);
    this.#sessionLimit = new SessionLimit(session, ttlMs);
    this.#then = then;
    this.#open = open;
    this.#extraCheck = extraCheck;
    this.#looks = new Looks({ firstAfterMs: LOOK_EVERY_MS, look: () => this.#look() });
  }

  /** Aborts with a list of `Breach` as reason when the server ended or is no longer the same run. */
  get lost(): AbortSignal {
    return this.#looks.lost;
  }

  /** A live session to the server, connected anew if need be. */
  async session(signal: AbortSignal): Promise<Session> {
    if (this.#session.lost.aborted) await this.#reconnect(signal);
    await this.#sessionLimit.leave(signal);
    return this.#session;
  }

  /** The lease now runs for `ttlMs` from here. Rejects when the server could not be told. */
  async renew(ttlMs: number, signal: AbortSignal): Promise<void> {
    if (this.#session.lost.aborted) await this.#reconnect(signal);
    this.#sessionLimit.renew(ttlMs);
    await this.#sessionLimit.send(signal);
  }

  /** Ends the watch and hands over its session, open and outside of any transaction. */
  async take(signal: AbortSignal): Promise<Session> {
    // A look under way is not given up: with its statement the session would go.
    void this.#looks.stop();
    if (this.#session.lost.aborted) throw this.#session.lost.reason;
    await this.#sessionLimit.leave(signal);
    return this.#session;
  }

  /** Closes every connection that was ever opened for this hold, and with them what they keep. */
  async stop(): Promise<void> {
    this.#stop.abort();
    void this.#looks.stop();
    await Promise.all([...this.#opened].map((session) => session.close()));
  }

  async #reconnect(signal: AbortSignal): Promise<void> {
    if (!this.#open) throw this.#session.lost.reason;
    const session = await this.#open(signal);
    this.#opened.add(session);
    // It may have arrived after the end: then nobody else would ever close it.
    if (this.#stop.signal.aborted) return await session.close();
    this.#session = session;
    this.#sessionLimit = new SessionLimit(session, this.#sessionLimit.remainingMs);
  }

  #follow(): void {
    this.#session.lost.addEventListener('abort', () => void this.#examine(), { once: true });
  }

  #sessionLost(): Breach {
    const { message } = toQuiesceError(this.#session.lost.reason);
    return {
      code: 'backup-lost',
      note: `The session in which the backup was begun has ended, and the server ended the backup with it: ${message}`,
    };
  }

  /** A statement of little weight: a connection through which nothing flows would hide that it is dead. */
  async #look(): Promise<readonly Breach[]> {
    if (this.#session.lost.aborted) return [];
    const looked = this.#sessionLimit
      .send(this.#stop.signal)
      .then(() => this.#extraCheck(this.#session, this.#stop.signal));
    return await withDeadline(ANSWER_WITHIN_MS, looked);
  }

  async #examine(): Promise<void> {
    if (this.#looks.over) return;
    const found = this.#open ? await this.#compare() : [this.#sessionLost()];
    if (this.#stop.signal.aborted) return;
    if (found.length > 0) this.#looks.declare(found);
    else this.#follow();
  }

  async #compare(): Promise<Breach[]> {
    if (this.#then.checkpointerStartedAt === null) {
      return [
        {
          code: 'session-lost',
          note: 'The connection of the freeze ended, and the role may not see whether the server crashed (GRANT pg_monitor).',
        },
      ];
    }
    let problem = new QuiesceError('ENGINE_UNREACHABLE', 'The server did not answer.');
    for (let attempt = 0; attempt < RECONNECT_TRIES && !this.#stop.signal.aborted; attempt += 1) {
      await new Promise((resolve) => setTimeout(resolve, RECONNECT_AFTER_MS));
      const signal = AbortSignal.any([this.#stop.signal, AbortSignal.timeout(ANSWER_WITHIN_MS)]);
      try {
        await this.#reconnect(signal);
        return compareRuns(this.#then, await readServer(this.#session, signal));
      } catch (error) {
        problem = toQuiesceError(error);
      }
    }
    return [
      {
        code: 'server-lost',
        note: `The server ended the connection and is not back: ${problem.message}`,
      },
    ];
  }
}
