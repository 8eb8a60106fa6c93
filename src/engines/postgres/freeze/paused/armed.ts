import type { Session } from '../../connection/session.ts';
import { ResumeSwitch } from './resume-switch.ts';

type Open = (signal: AbortSignal) => Promise<Session>;

/** The switch by which the server ends a pause by itself, from the hold to its release: there always is one. */
export class ArmedSwitch {
  #switch: ResumeSwitch;
  #leaseEndsAt: number;
  readonly #open: Open;
  /** One change at a time: a switch that nobody knows would fire into the lease. */
  #changing: Promise<unknown> = Promise.resolve();
  #ended = false;

  /** @param ttlMs the lease that begins now. */
  constructor(first: ResumeSwitch, open: Open, ttlMs: number) {
    this.#switch = first;
    this.#open = open;
    this.#leaseEndsAt = performance.now() + ttlMs;
  }

  /** For the lease as renewed. The server gets a new switch before the old one goes. */
  async renew(witness: Session, ttlMs: number, signal: AbortSignal): Promise<void> {
    await this.#oneAtATime(async () => {
      const old = this.#switch;
      this.#switch = await ResumeSwitch.arm(this.#open, witness, ttlMs, signal);
      this.#leaseEndsAt = performance.now() + ttlMs;
      await old.disarm(witness, signal);
    });
  }

  /** For what is left of the lease, where the session of the switch was ended by somebody else. */
  async rearm(witness: Session, signal: AbortSignal): Promise<void> {
    await this.#oneAtATime(async () => {
      if (this.#ended || !this.#switch.lost) return;
      const leftMs = Math.max(0, this.#leaseEndsAt - performance.now());
      this.#switch = await ResumeSwitch.arm(this.#open, witness, leftMs, signal);
    });
  }

  /** Arms no other from here on. Resolves once the one that was being armed is known, and can be ended. */
  async armNoMore(): Promise<void> {
    this.#ended = true;
    await this.#changing;
  }

  /** Closes our end of it, once the server's is gone. */
  async close(): Promise<void> {
    await this.#switch.close();
  }

  async #oneAtATime(change: () => Promise<void>): Promise<void> {
    const turn = this.#changing.then(change);
    this.#changing = turn.catch(() => undefined);
    await turn;
  }
}
