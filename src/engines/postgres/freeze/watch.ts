import { QuiesceError, toQuiesceError } from '../../../errors.ts';
import { abortedWithin, withDeadline } from '../../../lib/deadline.ts';
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

/** A further check of the hold. Returns one breach for each thing that has changed. */
type ExtraCheck = (session: Session, signal: AbortSignal) => Promise<Breach[]>;

/**
 * Watches during a hold that the same run of the same server goes on, and tells the server each
 * second how much of the lease is left ({@link SessionLimit}). A server that only does not answer
 * is not lost: the evidence at the thaw decides.
 *
 * Where the session may end (an administrator may terminate it), the watch connects again and
 * compares. Where the session is the hold, `open` is `null`: the end of the session is the loss.
 *
 * `extraCheck` runs with every look.
 */
export class Watch {
  readonly #then: ServerFacts;
  readonly #open: ((signal: AbortSignal) => Promise<Session>) | null;
  readonly #extraCheck: ExtraCheck;
  readonly #stop = new AbortController();
  readonly #opened = new Set<Session>();
  #session: Session;
  #sessionLimit: SessionLimit;
  /** The looks end with the watch, and where `take` hands the session over. */
  readonly #looks: Looks;

  /**
   * Resolves once the server has its limit for the session.
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
      // The session still belongs to the caller.
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

  /**
   * Aborts when the server ended or is no longer the same run. The reason is a list of `Breach`.
   */
  get lost(): AbortSignal {
    return this.#looks.lost;
  }

  /** A live session to the server. Reconnects if necessary. */
  async session(signal: AbortSignal): Promise<Session> {
    if (this.#session.lost.aborted) await this.#reconnect(signal);
    return this.#session;
  }

  /** The lease now ends `ttlMs` from now. Rejects where the server did not get it. */
  async renew(ttlMs: number, signal: AbortSignal): Promise<void> {
    if (this.#session.lost.aborted) await this.#reconnect(signal);
    this.#sessionLimit.renew(ttlMs);
    await this.#sessionLimit.send(signal);
  }

  /** Ends the watch and hands over its session, which stays open. */
  take(): Session {
    // A look in progress is not cancelled: cancelling its statement would end the session.
    void this.#looks.stop();
    if (this.#session.lost.aborted) throw this.#session.lost.reason;
    return this.#session;
  }

  /** Closes every connection that was opened for this hold, and with them the slots they keep. */
  async stop(): Promise<void> {
    this.#stop.abort();
    void this.#looks.stop();
    await Promise.all([...this.#opened].map((session) => session.close()));
  }

  async #reconnect(signal: AbortSignal): Promise<void> {
    if (!this.#open) throw this.#session.lost.reason;
    const session = await this.#open(signal);
    this.#opened.add(session);
    // The watch may have stopped meanwhile. Nothing else would then close this session.
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
      note: `The session that began the backup has ended, and the server ended the backup with it: ${message}`,
    };
  }

  /** Sends a cheap statement, because an idle connection would not show that it is dead. */
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
          note: 'The connection of the freeze ended, and the role may not see whether the server crashed (grant it pg_monitor).',
        },
      ];
    }
    let problem = new QuiesceError('ENGINE_UNREACHABLE', 'The server did not answer.');
    for (let attempt = 0; attempt < RECONNECT_TRIES && !this.#stop.signal.aborted; attempt += 1) {
      await new Promise((resolve) => setTimeout(resolve, RECONNECT_AFTER_MS));
      const signal = abortedWithin(ANSWER_WITHIN_MS, this.#stop.signal);
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
        note: `The server ended the connection and does not accept a new one: ${problem.message}`,
      },
    ];
  }
}
