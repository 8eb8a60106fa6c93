import type { Session } from '../../connection/session.ts';
import { ResumeSwitch } from './resume-switch.ts';

type Open = (signal: AbortSignal) => Promise<Session>;

/**
 * Keeps a resume switch armed on the server from the hold to its release, so that the server can
 * always end the pause.
 */
export class ArmedSwitch {
  #switch: ResumeSwitch;
  #leaseEndsAt: number;
  readonly #open: Open;
  /** One change at a time: a switch that this object lost track of would fire during the lease. */
  #changing: Promise<unknown> = Promise.resolve();
  #ended = false;

  /** @param ttlMs the lease that begins now. */
  constructor(first: ResumeSwitch, open: Open, ttlMs: number) {
    this.#switch = first;
    this.#open = open;
    this.#leaseEndsAt = performance.now() + ttlMs;
  }

  /** Arms a switch for the renewed lease. The server gets it before the old one is disarmed. */
  async renew(witness: Session, ttlMs: number, signal: AbortSignal): Promise<void> {
    await this.#oneAtATime(async () => {
      const old = this.#switch;
      this.#switch = await ResumeSwitch.arm(this.#open, witness, ttlMs, signal);
      this.#leaseEndsAt = performance.now() + ttlMs;
      await old.disarm(witness, signal);
    });
  }

  /** Arms a switch for the rest of the lease if the session of the old one has ended. */
  async rearm(witness: Session, signal: AbortSignal): Promise<void> {
    await this.#oneAtATime(async () => {
      if (this.#ended || !this.#switch.lost) return;
      const leftMs = Math.max(0, this.#leaseEndsAt - performance.now());
      this.#switch = await ResumeSwitch.arm(this.#open, witness, leftMs, signal);
    });
  }

  /**
   * Arms no further switch. Resolves once a switch that was being armed is known and can be ended.
   */
  async armNoMore(): Promise<void> {
    this.#ended = true;
    await this.#changing;
  }

  /** Closes our session, once the server's process is gone. */
  async close(): Promise<void> {
    await this.#switch.close();
  }

  async #oneAtATime(change: () => Promise<void>): Promise<void> {
    const turn = this.#changing.then(change);
    this.#changing = turn.catch(() => undefined);
    await turn;
  }
}
