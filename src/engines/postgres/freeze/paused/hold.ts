import { setTimeout as sleep } from 'node:timers/promises';
import { unlessAborted } from '../../../../lib/deadline.ts';
import type { Breach } from '../../../engine.ts';
import { type HoldFacts, PostgresHold } from '../sealed/hold.ts';
import { replayedTo } from '../position.ts';
import type { Session } from '../../connection/session.ts';
import { nothingListens } from '../../connection/sqlstate.ts';
import { Watch } from '../watch.ts';
import { ArmedSwitch } from './armed.ts';
import type { ResumeSwitch } from './resume-switch.ts';
import { journalOf, endPause, type PauseRecord, readPauseState } from './pause.ts';

const PROMOTION_LOOKS = 10;
const PROMOTION_LOOK_EVERY_MS = 100;

/**
 * A standby whose replay is paused. In addition to the evidence of every hold, replay is still
 * paused and has not moved by a byte. This is checked all the time, because another session may
 * resume it.
 */
export class PausedHold extends PostgresHold {
  readonly #record: PauseRecord;
  readonly #armed: ArmedSwitch;
  readonly #watch: Watch;
  readonly #checkReplay: (session: Session, signal: AbortSignal) => Promise<Breach[]>;
  readonly #ending: { now: boolean };

  /**
   * Starts to watch a pause that is in place.
   *
   * @param ttlMs the lease that begins with the hold.
   */
  static async over(
    facts: HoldFacts,
    record: PauseRecord,
    resumeSwitch: ResumeSwitch,
    session: Session,
    open: (signal: AbortSignal) => Promise<Session>,
    ttlMs: number,
    signal: AbortSignal,
  ): Promise<PausedHold> {
    const ending = { now: false };
    const armed = new ArmedSwitch(resumeSwitch, open, ttlMs);
    const checkReplay = async (session: Session, signal: AbortSignal): Promise<Breach[]> => {
      const found = await compareReplay(session, facts, signal);
      if (found.length === 0 && !ending.now) await armed.rearm(session, signal);
      return ending.now ? [] : found;
    };
    const watch = await Watch.start(session, facts.server, ttlMs, open, signal, checkReplay);
    return new PausedHold(facts, record, armed, { watch, checkReplay, ending });
  }

  private constructor(
    facts: HoldFacts,
    record: PauseRecord,
    armed: ArmedSwitch,
    { watch, checkReplay, ending }: WatchedPause,
  ) {
    super(facts, watch, journalOf(record));
    this.#record = record;
    this.#armed = armed;
    this.#watch = watch;
    this.#checkReplay = checkReplay;
    this.#ending = ending;
  }

  override async check(signal: AbortSignal): Promise<readonly Breach[]> {
    const breaches = await super.check(signal);
    const session = await this.#watch.session(signal);
    // After a restart or promotion, this check would only report the same again.
    return breaches.length > 0 ? breaches : await this.#checkReplay(session, signal);
  }

  /** The server gets a new switch before the old one is disarmed, so it always has one. */
  override async renew(ttlMs: number, signal: AbortSignal): Promise<void> {
    await super.renew(ttlMs, signal);
    await this.#armed.renew(await this.#watch.session(signal), ttlMs, signal);
  }

  override async release(signal: AbortSignal): Promise<void> {
    this.#ending.now = true;
    await unlessAborted(this.#armed.armNoMore(), signal);
    try {
      await endPause(await this.#watch.session(signal), this.#record, signal);
    } catch (error) {
      // The pause was in the memory of a server that has ended.
      if (!nothingListens(error)) throw error;
    }
    await this.#armed.close();
    await super.release(signal);
  }
}

interface WatchedPause {
  readonly watch: Watch;
  readonly checkReplay: (session: Session, signal: AbortSignal) => Promise<Breach[]>;
  readonly ending: { now: boolean };
}

async function compareReplay(
  session: Session,
  { position }: HoldFacts,
  signal: AbortSignal,
): Promise<Breach[]> {
  const state = await readPauseState(session, signal);
  const replayed = await replayedTo(session, signal);
  if (state === 'paused' && replayed === position.lsn) return [];
  if (await wasPromoted(session, signal)) {
    return [{ code: 'role-changed', note: 'The standby was promoted during the hold.' }];
  }
  const where =
    replayed === position.lsn ? '' : ` and has moved from ${position.lsn} to ${replayed}`;
  return [
    {
      code: 'replay-resumed',
      note: `Replay on the standby is ${state}${where}: another session resumed it during the hold, or is promoting this standby.`,
    },
  ];
}

/**
 * A promotion ends the pause before it ends recovery, so wait a moment in order to report the
 * promotion.
 */
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
