import { setTimeout as sleep } from 'node:timers/promises';
import { unlessAborted } from '../../../../lib/deadline.ts';
import type { Breach } from '../../../engine.ts';
import { type HoldFacts, PostgresHold } from '../sealed/hold.ts';
import { replayedTo } from '../position.ts';
import type { Session } from '../../connection/session.ts';
import { nothingListens } from '../../connection/sqlstate.ts';
import { Watch } from '../watch.ts';
import { Armed } from './armed.ts';
import type { ResumeSwitch } from './resume-switch.ts';
import { claimJournal, endPause, type PauseClaim, readPauseState } from './pause.ts';

const PROMOTION_LOOKS = 10;
const PROMOTION_LOOK_EVERY_MS = 100;

type Differences = Breach[];

/**
 * A standby whose replay stands still. Beside the evidence of every hold: replay is still paused,
 * and has not moved by a byte. That is looked at all the time, for somebody else may resume it.
 */
export class PausedHold extends PostgresHold {
  readonly #claim: PauseClaim;
  readonly #armed: Armed;
  readonly #watch: Watch;
  readonly #still: (session: Session, signal: AbortSignal) => Promise<Differences>;
  readonly #ending: { now: boolean };

  /**
   * Watches a pause that is in place.
   *
   * @param ttlMs the lease that begins with the hold.
   */
  static async over(
    facts: HoldFacts,
    claim: PauseClaim,
    resumeSwitch: ResumeSwitch,
    session: Session,
    open: (signal: AbortSignal) => Promise<Session>,
    ttlMs: number,
    signal: AbortSignal,
  ): Promise<PausedHold> {
    const ending = { now: false };
    const armed = new Armed(resumeSwitch, open, ttlMs);
    const still = async (session: Session, signal: AbortSignal): Promise<Differences> => {
      const found = await moved(session, facts, signal);
      if (found.length === 0 && !ending.now) await armed.again(session, signal);
      return ending.now ? [] : found;
    };
    const watch = await Watch.start(session, facts.server, ttlMs, open, signal, still);
    return new PausedHold(facts, claim, armed, { watch, still, ending });
  }

  private constructor(
    facts: HoldFacts,
    claim: PauseClaim,
    armed: Armed,
    { watch, still, ending }: Watching,
  ) {
    super(facts, watch, claimJournal(claim));
    this.#claim = claim;
    this.#armed = armed;
    this.#watch = watch;
    this.#still = still;
    this.#ending = ending;
  }

  override async check(signal: AbortSignal): Promise<readonly Breach[]> {
    const breaches = await super.check(signal);
    const session = await this.#watch.session(signal);
    // What is said of another run of the server would only repeat it.
    return breaches.length > 0 ? breaches : await this.#still(session, signal);
  }

  /** The server gets a new switch before the old one goes: at no moment there is none. */
  override async renew(ttlMs: number, signal: AbortSignal): Promise<void> {
    await super.renew(ttlMs, signal);
    await this.#armed.renew(await this.#watch.session(signal), ttlMs, signal);
  }

  override async release(signal: AbortSignal): Promise<void> {
    this.#ending.now = true;
    await unlessAborted(this.#armed.last(), signal);
    try {
      await endPause(await this.#watch.session(signal), this.#claim, signal);
    } catch (error) {
      // The pause was in the memory of a server that is no more.
      if (!nothingListens(error)) throw error;
    }
    await this.#armed.close();
    await super.release(signal);
  }
}

interface Watching {
  readonly watch: Watch;
  readonly still: (session: Session, signal: AbortSignal) => Promise<Differences>;
  readonly ending: { now: boolean };
}

async function moved(
  session: Session,
  { position }: HoldFacts,
  signal: AbortSignal,
): Promise<Differences> {
  const state = await readPauseState(session, signal);
  const replayed = await replayedTo(session, signal);
  if (state === 'paused' && replayed === position.lsn) return [];
  if (await wasPromoted(session, signal)) {
    return [{ code: 'role-changed', note: 'The standby was promoted during the hold.' }];
  }
  const where =
    replayed === position.lsn ? '' : ` and has gone on from ${position.lsn} to ${replayed}`;
  return [
    {
      code: 'replay-resumed',
      note: `Replay on the standby is ${state}${where}: somebody resumed it during the hold, or is promoting this standby.`,
    },
  ];
}

/** A promotion ends the pause before it ends recovery; for the better word it is waited for a moment. */
async function wasPromoted(session: Session, signal: AbortSignal): Promise<boolean> {
  for (let look = 0; look < PROMOTION_LOOKS; look += 1) {
    const [row] = await session.query<{ recovery: boolean }>(
      'SELECT pg_catalog.pg_is_in_recovery() AS recovery',
      [],
      signal,
    );
    if (row?.recovery === false) return true;
    await sleep(PROMOTION_LOOK_EVERY_MS, undefined, { signal });
  }
  return false;
}
