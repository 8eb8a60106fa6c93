import type { LeasePhase, LeaseView } from './requests.ts';
import { formatDuration } from '../lib/duration.ts';
import { QuiesceError, toQuiesceError } from '../errors.ts';
import { bootClock } from '../lib/boot-clock.ts';
import { Deferred } from '../lib/deferred.ts';
import { type DueThaw, LATE_AT_MOST_MS } from './due-thaws.ts';
import type { CallId } from './idempotency.ts';
import type { Kept } from './journal.ts';
import { initialLease, interruptedLease, nextDeadline, reduce } from './lease.ts';
import type {
  Cause,
  Command,
  Freezing,
  LeaseEvent,
  LeaseState,
  Reply,
  Verdict,
} from './lease-types.ts';
import { lateThawOf } from './left-open.ts';
import { failureOf, requireSameEngine, notReleasedYet } from './outcomes.ts';
import { type Clock, fromPersisted, type PersistedDue, toPersisted } from './persisted-due.ts';
import { NOT_REMOVED, type Receipt } from '../receipt/receipt.ts';
import { FreezeRun, type RunDeps } from './freeze-run.ts';
import { logFields } from './log-fields.ts';

/** Events reported to the metrics. */
export interface FreezeObserver {
  hookRun(hook: 'freeze' | 'thaw', result: string, seconds: number): void;
  /** At the end of every freeze: whether it was proven consistent. */
  consistency(ok: boolean): void;
  frozen(since: Date | null): void;
  autoThaw(): void;
  lastSuccess(at: Date): void;
  /** At every hold for which files were synced: how many entries its receipt has in `unsynced`. */
  unsynced(entries: number): void;
}

export interface RunnerDeps extends RunDeps {
  readonly observer: FreezeObserver;
}

/** How long the answer to a failed freeze waits for the roll-back. */
const ROLL_BACK_WITHIN_MS = 2_000;

/** The caller's connection broke before its freeze was in place. */
export class CallerGone extends QuiesceError {
  constructor(message = 'The caller went away; nothing was frozen for it.') {
    super('FREEZE_ABORTED', message);
  }
}

/** The open freeze and the promises its callers wait for. */
export interface Current {
  readonly run: FreezeRun;
  /** Resolves when the hold is in place; rejects with why it never will be. */
  readonly frozen: Deferred<Receipt>;
  /** Resolves when everything is released; rejects after a failed attempt to release. */
  readonly ended: Deferred<Receipt>;
  /** Who ended it; absent where no request did. */
  endedBy?: { readonly by: string; readonly call?: CallId };
}

/**
 * Carries out what the lease decides, one freeze at a time, each with its journal entry, its hold and
 * its receipt. All events go through `dispatch`, one at a time.
 */
export class LeaseRunner {
  readonly #deps: RunnerDeps;
  readonly #onThawed: () => void;
  #state: LeaseState = initialLease;
  #current: Current | undefined;
  #timer: NodeJS.Timeout | undefined;

  /** @param onThawed called as soon as the next freeze can start */
  constructor(deps: RunnerDeps, onThawed: () => void) {
    this.#deps = deps;
    this.#onThawed = onThawed;
  }

  get state(): LeaseState {
    return this.#state;
  }

  get phase(): LeasePhase {
    return this.#state.phase;
  }

  /** The freeze that is open. */
  get current(): Current | undefined {
    return this.#current;
  }

  /** Receipts of the open freeze and of the last ended ones, newest first, at most ten. */
  receipts(): readonly Receipt[] {
    const ended = this.#deps.journal.receipts;
    return this.#current ? [this.#current.run.receipt, ...ended].slice(0, 10) : ended;
  }

  lease(): LeaseView | null {
    if (!this.#current) return null;
    const { id, by, receipt } = this.#current.run;
    const left = this.#state.phase === 'frozen' ? this.#state.expiresAt - this.#deps.now() : null;
    return {
      id,
      by,
      requestedAt: receipt.requestedAt,
      frozenAt: receipt.frozenAt,
      expiresAt: receipt.expiresAt,
      progress: this.#current.run.progress ?? null,
      remainingMs: left === null ? null : Math.max(0, Math.round(left)),
    };
  }

  /**
   * Looks for a freeze that an earlier process left open. New freezes are refused until `resume` has
   * ended it. Call this once, before anything else.
   *
   * @returns its id; `null` where there is none
   * @throws QuiesceError CONFIG_INVALID where another engine made that freeze
   */
  async load(): Promise<string | null> {
    const { journal, engine } = this.#deps;
    const left = await journal.load();
    const clock = this.#clock();
    const due = [...fromPersisted(journal.due, clock), ...this.#dueWhereUnreadable(clock)];
    if (left === null) {
      const [last = null] = journal.receipts;
      this.#state = { ...initialLease, last, due };
      return null;
    }
    if (left !== 'unreadable') requireSameEngine(left.receipt, engine.name);
    const run = FreezeRun.leftOpen(left === 'unreadable' ? null : left, this.#deps);
    this.#current = currentOf(run);
    this.#state = interruptedLease(run.owner, [...due, ...lateThawOf(run, clock)]);
    return run.id;
  }

  /** If the record of expected thaws cannot be read, any caller's thaw may still be expected. */
  #dueWhereUnreadable({ now }: Clock): DueThaw[] {
    if (!this.#deps.journal.unreadable) return [];
    this.#deps.logger.error(
      'receipts.json in the state directory could not be read; it was renamed',
    );
    return [{ id: null, named: false, retried: false, until: now + LATE_AT_MOST_MS }];
  }

  /** Ids of freezes whose receipt could not be removed from the volume when they ended. Call after `load`. */
  get leftBehind(): readonly string[] {
    const left = this.receipts().filter(({ reasons }) => reasons.includes(NOT_REMOVED));
    return left.map(({ id }) => id);
  }

  /** Ends the freeze that `load` found, as `interrupted`. Resolves when nothing is held. */
  async resume(): Promise<void> {
    if (this.#current) await this.#finish(this.#current, 'interrupted');
  }

  /** The ended freeze on record with this id. */
  kept(id: string): Kept | undefined {
    return this.#deps.journal.kept.find(({ receipt }) => receipt.id === id);
  }

  /** Writes the expected thaws to the journal: they are still expected after a restart. */
  async remember(): Promise<void> {
    try {
      await this.#deps.journal.recordDue(this.#due());
    } catch (error) {
      this.#deps.logger.warn(
        { err: error },
        'the expected thaws could not be written to the journal',
      );
    }
  }

  #clock(): Clock {
    const boot = bootClock();
    const known = boot === undefined ? {} : { boot };
    return { now: this.#deps.now(), wallNow: Date.now(), ...known };
  }

  #due(): readonly PersistedDue[] {
    return toPersisted(this.#state.due, this.#clock());
  }

  /** Thaws the open freeze, and resolves when nothing is held any more. */
  async stop(): Promise<void> {
    this.dispatch({ type: 'stop' });
    await this.#current?.ended.promise.catch(() => undefined);
    clearTimeout(this.#timer);
  }

  /** Applies one event. @param run carries out the freeze that this event starts */
  dispatch(event: LeaseEvent, run?: FreezeRun): Reply {
    const { state, commands, reply } = reduce(this.#state, event, this.#deps.now());
    this.#state = state;
    for (const command of commands) this.#carryOut(command, run);
    this.#arm();
    return reply;
  }

  #carryOut(command: Command, run: FreezeRun | undefined): void {
    if (command.type === 'make-hold' && run) this.#current = currentOf(run);
    const current = this.#current;
    if (!current) return;
    if (command.type === 'make-hold') void this.#makeHold(current);
    if (command.type === 'roll-back') this.#rollBack(current, command.cause);
    if (command.type === 'release') {
      if (command.cause === 'lease-expired') this.#deps.observer.autoThaw();
      void this.#finish(current, command.cause);
    }
  }

  #arm(): void {
    clearTimeout(this.#timer);
    const at = nextDeadline(this.#state);
    if (at === null) return;
    // A millisecond late rather than early: an early tick would find nothing expired.
    const wait = Math.max(0, Math.ceil(at - this.#deps.now())) + 1;
    this.#timer = setTimeout(() => this.dispatch({ type: 'tick' }), wait);
  }

  async #makeHold(current: Current): Promise<void> {
    const { run, frozen } = current;
    const { ttlMs, deadline } = this.#state as Freezing;
    const onLost = (): void => {
      if (this.#current === current) this.dispatch({ type: 'lost' });
    };
    try {
      const heldAt = await run.makeHold({ ttlMs, deadline }, onLost);
      const { longestLeaseMs: longestMs } = run;
      const held = { type: 'held', heldAt, ...(longestMs !== undefined && { longestMs }) } as const;
      if (this.#current === current) this.dispatch(held);
      if (this.#state.phase !== 'frozen') return;
      const { receipt } = run;
      this.#deps.observer.frozen(new Date(receipt.frozenAt ?? Date.now()));
      const took = formatDuration(receipt.durationsMs.freeze ?? 0);
      this.#deps.logger.info(logFields(run), `frozen after ${took}, ${receipt.mode}`);
      this.#reportUnsynced(receipt);
      frozen.resolve(receipt);
    } catch (error) {
      run.failure ??= toQuiesceError(error);
      if (this.#current === current) this.dispatch({ type: 'failed' });
    }
  }

  #reportUnsynced({ id, unsynced }: Receipt): void {
    if (unsynced === undefined) return;
    this.#deps.observer.unsynced(unsynced.length);
    if (unsynced.length === 0) return;
    this.#deps.logger.warn(
      { freeze: id, unsynced },
      'files outside of the database may not be on the disk in a snapshot',
    );
  }

  #rollBack(current: Current, cause: Cause): void {
    const { run, frozen } = current;
    const done = this.#finish(current, cause);
    const limit = new Promise<'late'>((resolve) => {
      setTimeout(() => resolve('late'), ROLL_BACK_WITHIN_MS).unref();
    });
    const { stage } = run;
    void Promise.race([done, limit]).then((late) => {
      frozen.reject(failureFor(run, cause, stage, late === 'late'));
    });
  }

  async #finish(current: Current, cause: Cause): Promise<void> {
    const { run, ended } = current;
    const evidence = await run.release(cause, (error) => {
      this.#deps.logger.error({ freeze: run.id, err: error }, 'release failed, retrying');
      ended.reject(notReleasedYet(error, run.id));
    });
    this.#current = undefined;
    const reply = this.dispatch({ type: 'released', evidence });
    // Only a bug in the lease gives another reply here, and that must not pass for a success.
    const none: Verdict = { consistent: false, cause, evidence };
    const receipt = run.recordVerdict(
      reply.type === 'verdict' ? reply.verdict : none,
      current.endedBy?.by,
    );
    // Immediately: this entry must be closed before the next freeze writes its own.
    const concluded = run.conclude(current.endedBy?.call, this.#due());
    this.#report(run, cause);
    this.#onThawed();
    await concluded;
    current.frozen.reject(failureFor(run, cause, run.stage, false));
    ended.resolve(receipt);
  }

  #report(run: FreezeRun, cause: Cause): void {
    const { observer, logger } = this.#deps;
    const { verdict, reasons, notes, durationsMs, frozenAt } = run.receipt;
    const held = verdict === 'consistent';
    observer.frozen(null);
    observer.consistency(held);
    if (held) observer.lastSuccess(new Date());
    const since = frozenAt === null ? 'never held' : `held since ${frozenAt}`;
    const time = durationsMs.held === null ? since : `held ${formatDuration(durationsMs.held)}`;
    const facts = { ...logFields(run), cause, reasons, notes };
    logger[held ? 'info' : 'warn'](facts, `freeze ended by ${cause}: ${verdict}, ${time}`);
  }
}

function failureFor(run: FreezeRun, cause: Cause, stage: string, late: boolean): QuiesceError {
  const why = failureOf(run, cause, stage, late);
  return cause === 'caller-gone' ? new CallerGone(why.message) : why;
}

function currentOf(run: FreezeRun): Current {
  return { run, frozen: new Deferred(), ended: new Deferred() };
}
