import { randomBytes } from 'node:crypto';
import type { FreezeRequest, LeasePhase, LeaseView, ThawRequest } from '../control.ts';
import { formatDuration, LONGEST_MS } from '../duration.ts';
import { QuiesceError, toQuiesceError } from '../errors.ts';
import {
  ambiguous,
  answer,
  failureOf,
  heldBy,
  nothingToThaw,
  refusedSince,
  refuseOther,
  stuck,
  within,
} from './answers.ts';
import { Deferred } from './deferred.ts';
import { initialLease, interruptedLease, nextDeadline, reduce } from './lease.ts';
import type { Cause, Effect, LeaseEvent, LeaseState } from './lease-types.ts';
import { dueByReceipts } from './overdue.ts';
import { NOT_REMOVED, type Receipt } from './receipt.ts';
import { FreezeRun, type RunDeps } from './run.ts';
import { story } from './story.ts';

/** What the coordinator tells the metrics. */
export interface FreezeObserver {
  hookRun(hook: 'freeze' | 'thaw', result: string, seconds: number): void;
  /** At the end of every freeze: was it proven consistent? */
  consistency(ok: boolean): void;
  frozen(since: Date | null): void;
  autoThaw(): void;
  lastSuccess(at: Date): void;
}

export interface CoordinatorDeps extends RunDeps {
  readonly observer: FreezeObserver;
  readonly defaults: { readonly ttlMs: number; readonly timeoutMs: number };
  readonly ttlMaxMs: number;
}

/** How long a caller whose freeze has failed waits for the roll-back before it is told. */
const ROLL_BACK_WITHIN_MS = 2_000;

/** A freeze under way, and those who wait for it. */
interface Current {
  readonly run: FreezeRun;
  /** Settles when the hold is in place, or rejects with why it never will be. */
  readonly frozen: Deferred<Receipt>;
  /** Settles when all is released. */
  readonly ended: Deferred<Receipt>;
  /** Callers that still wait for `frozen`. */
  callers: number;
}

/**
 * Carries out what the lease decides: one freeze at a time, each with its journal, its hold and its
 * receipt. All events go through `#dispatch`, one after the other.
 */
export class Coordinator {
  readonly #deps: CoordinatorDeps;
  #state: LeaseState = initialLease;
  #current: Current | undefined;
  #last: Receipt | undefined;
  #timer: NodeJS.Timeout | undefined;
  #stopping = false;
  /** Kept ids of which a further freeze was refused: the receipt kept is not that one's. */
  readonly #refused = new Set<string>();

  constructor(deps: CoordinatorDeps) {
    this.#deps = deps;
  }

  /** What an earlier process left open is not released yet. */
  get recovering(): boolean {
    return this.#state.phase === 'thawing' && this.#state.cause === 'interrupted';
  }

  get phase(): LeasePhase {
    return this.#state.phase;
  }

  /** The final receipt of the freeze that ended last, or the open one's. */
  get lastReceipt(): Receipt | null {
    return this.#current?.run.receipt ?? this.#last ?? this.#deps.journal.receipts[0] ?? null;
  }

  /** The open freeze's receipt and the last ended ones, newest first, at most ten. */
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
   * Looks for a freeze that an earlier process left open; until `resume` has ended it, new ones are
   * refused. To be called once, before anything else.
   *
   * @returns its id; `null` where there is none.
   * @throws QuiesceError CONFIG_INVALID where it is a freeze of another engine than this one
   */
  async load(): Promise<string | null> {
    const left = await this.#deps.journal.load();
    const kept = this.#deps.journal.receipts;
    if (left === null) {
      this.#state = { ...initialLease, overdue: this.#dueBy(kept) };
      return null;
    }
    if (left !== 'unreadable') refuseOther(left.receipt, this.#deps.engine.name);
    const run = FreezeRun.orphan(left === 'unreadable' ? null : left, this.#deps);
    this.#current = begin(run);
    const interrupted = { ...run.receipt, reasons: ['interrupted'] };
    this.#state = interruptedLease(run.id, this.#dueBy([...kept, interrupted]));
    return run.id;
  }

  #dueBy(receipts: readonly Receipt[]): LeaseState['overdue'] {
    return dueByReceipts(receipts, { now: this.#deps.now(), wallNow: Date.now() });
  }

  /** Freezes that have ended while their receipt could not be removed from the volume; after `load`. */
  get leftBehind(): readonly string[] {
    const left = this.receipts().filter(({ reasons }) => reasons.includes(NOT_REMOVED));
    return left.map(({ id }) => id);
  }

  /** Ends, as `interrupted`, what `load` has found. Resolves once nothing is held. */
  async resume(): Promise<void> {
    if (this.#current) await this.#finish(this.#current, 'interrupted');
  }

  /** See `Control.freeze`. */
  async freeze(request: FreezeRequest): Promise<Receipt> {
    return await this.#observed('freeze', this.#freeze(request));
  }

  async #freeze(request: FreezeRequest): Promise<Receipt> {
    if (this.#stopping) throw new QuiesceError('SHUTTING_DOWN', 'The sidecar is stopping.');
    const ttlMs = within('ttl', request.ttlMs ?? this.#deps.defaults.ttlMs, this.#deps.ttlMaxMs);
    const timeoutMs = within(
      'timeout',
      request.timeoutMs ?? this.#deps.defaults.timeoutMs,
      LONGEST_MS,
    );
    const id = request.id ?? newId();
    const effects = this.#dispatch({ type: 'freeze', id, ttlMs, timeoutMs }, () => {
      this.#current = begin(new FreezeRun(id, request.by, this.#deps));
      this.#refused.delete(id);
    });
    const decision = effects.at(-1);
    const current = this.#current;
    if (!current || decision?.type === 'refuse-held') {
      if (id !== current?.run.id && this.#kept(id)) this.#refused.add(id);
      throw this.#refuse(request.by);
    }
    this.#deps.logger.info({ freeze: id, by: request.by, ttlMs, timeoutMs }, 'freeze requested');
    this.#warnOfOverdue(id);
    if (decision?.type === 'renewed') return await this.#renewed(current, ttlMs);
    return await this.#await(current, request.gone);
  }

  #warnOfOverdue(freeze: string): void {
    const overdue = this.#state.overdue.map(({ id }) => id);
    if (overdue.length === 0) return;
    const what =
      'a thaw without an id will not prove this freeze: that of another is still to come';
    this.#deps.logger.warn({ freeze, overdue }, what);
  }

  #refuse(by: string): QuiesceError {
    const lease = this.lease();
    this.#deps.logger.warn({ freeze: lease?.id, by }, 'freeze refused: another one is held');
    return heldBy(lease, this.phase);
  }

  async #renewed(current: Current, ttlMs: number): Promise<Receipt> {
    this.#deps.logger.info({ freeze: current.run.id, ttlMs }, 'lease renewed');
    await current.run.renew(ttlMs);
    // Renewed and ended in the same moment: what has ended is not held, whatever it says.
    if (this.#current === current && this.phase === 'frozen') return current.run.receipt;
    throw failureOf(current.run, 'thaw', current.run.stage, false);
  }

  async #await(current: Current, gone: AbortSignal | undefined): Promise<Receipt> {
    current.callers += 1;
    const leave = (): void => {
      current.callers -= 1;
      if (current.callers === 0 && this.#current === current) this.#dispatch({ type: 'gone' });
    };
    if (gone?.aborted) leave();
    else gone?.addEventListener('abort', leave, { once: true });
    try {
      return await current.frozen.promise;
    } finally {
      gone?.removeEventListener('abort', leave);
    }
  }

  /** See `Control.thaw`. */
  async thaw(request: ThawRequest): Promise<Receipt> {
    return await this.#observed('thaw', this.#thaw(request));
  }

  async #thaw({ id, by }: ThawRequest): Promise<Receipt> {
    const effects = this.#dispatch({ type: 'thaw', id });
    const decision = effects.at(-1);
    this.#deps.logger.info({ freeze: id ?? this.#current?.run.id, by }, 'thaw requested');
    const kept = id === undefined ? undefined : this.#kept(id);
    const past = decision?.type === 'repeat' || decision?.type === 'not-held';
    if (past && kept && this.#refused.has(kept.id)) throw refusedSince(kept);
    if (decision?.type === 'repeat' && this.#last) return answer(this.#last);
    if (decision?.type === 'ambiguous') return await this.#ambiguous();
    if (decision?.type === 'not-held' && kept) return answer(kept);
    if (decision?.type === 'not-held' || !this.#current)
      throw nothingToThaw(id, this.#current?.run.id);
    return answer(await this.#current.ended.promise);
  }

  async #ambiguous(): Promise<never> {
    const receipt = this.#current ? await this.#current.ended.promise : this.#last;
    throw receipt ? ambiguous(answer(receipt)) : nothingToThaw(undefined, undefined);
  }

  #kept(id: string): Receipt | undefined {
    return this.#deps.journal.receipts.find((one) => one.id === id);
  }

  /** Thaws what is open, refuses new freezes, and resolves when nothing is held any more. */
  async shutdown(): Promise<void> {
    this.#stopping = true;
    this.#dispatch({ type: 'stop' });
    await this.#current?.ended.promise.catch(() => undefined);
    clearTimeout(this.#timer);
  }

  /** Applies one event; `before` runs when a new freeze begins, ahead of its effects. */
  #dispatch(event: LeaseEvent, before?: () => void): readonly Effect[] {
    const { state, effects } = reduce(this.#state, event, this.#deps.now());
    this.#state = state;
    for (const effect of effects) {
      if (effect.type === 'establish') before?.();
      this.#carryOut(effect);
    }
    this.#arm();
    return effects;
  }

  #carryOut(effect: Effect): void {
    const current = this.#current;
    if (!current) return;
    if (effect.type === 'establish') void this.#establish(current);
    if (effect.type === 'roll-back') this.#rollBack(current, effect.cause);
    if (effect.type === 'release') {
      if (effect.cause === 'lease-expired') this.#deps.observer.autoThaw();
      void this.#finish(current, effect.cause);
    }
  }

  #arm(): void {
    clearTimeout(this.#timer);
    const at = nextDeadline(this.#state);
    if (at === null) return;
    // One millisecond late rather than early: an early tick would find nothing due.
    const wait = Math.max(0, Math.ceil(at - this.#deps.now())) + 1;
    this.#timer = setTimeout(() => this.#dispatch({ type: 'tick' }), wait);
  }

  async #establish(current: Current): Promise<void> {
    const { run, frozen } = current;
    const { ttlMs } = this.#state as { ttlMs: number };
    const onLost = (): void => {
      if (this.#current === current) this.#dispatch({ type: 'lost' });
    };
    try {
      const heldAt = await run.establish(ttlMs, onLost);
      const { longestLeaseMs: longestMs } = run;
      const held = { type: 'held', heldAt, ...(longestMs !== undefined && { longestMs }) } as const;
      if (this.#current === current) this.#dispatch(held);
      if (this.#state.phase !== 'frozen') return;
      const { receipt } = run;
      this.#deps.observer.frozen(new Date(receipt.frozenAt ?? Date.now()));
      const took = formatDuration(receipt.durationsMs.freeze ?? 0);
      this.#deps.logger.info(story(run), `frozen after ${took}, ${receipt.mode}`);
      frozen.resolve(receipt);
    } catch (error) {
      run.failure ??= toQuiesceError(error);
      if (this.#current === current) this.#dispatch({ type: 'failed' });
    }
  }

  #rollBack(current: Current, cause: Cause): void {
    const { run, frozen } = current;
    const done = this.#finish(current, cause);
    const patience = new Promise<'late'>((resolve) => {
      setTimeout(() => resolve('late'), ROLL_BACK_WITHIN_MS).unref();
    });
    const { stage } = run;
    void Promise.race([done, patience]).then((late) => {
      frozen.reject(failureOf(run, cause, stage, late === 'late'));
    });
  }

  async #finish(current: Current, cause: Cause): Promise<void> {
    const { run, ended } = current;
    const held = await run.finish(cause, (error) => {
      this.#deps.logger.error({ freeze: run.id, err: error }, 'release failed, trying again');
      ended.reject(stuck(error, run.id));
    });
    this.#last = run.receipt;
    this.#current = undefined;
    this.#dispatch({ type: 'released', held });
    this.#conclude(run, cause, held);
    current.frozen.reject(failureOf(run, cause, run.stage, false));
    ended.resolve(run.receipt);
  }

  #conclude(run: FreezeRun, cause: Cause, held: boolean): void {
    const { observer, logger } = this.#deps;
    for (const id of this.#refused) if (!this.#kept(id)) this.#refused.delete(id);
    observer.frozen(null);
    observer.consistency(held);
    if (held) observer.lastSuccess(new Date());
    const { verdict, reasons, notes, durationsMs } = run.receipt;
    const time =
      durationsMs.held === null ? 'never held' : `held ${formatDuration(durationsMs.held)}`;
    const facts = { ...story(run), cause, reasons, notes };
    logger[held ? 'info' : 'warn'](facts, `freeze ended by ${cause}: ${verdict}, ${time}`);
  }

  async #observed(hook: 'freeze' | 'thaw', work: Promise<Receipt>): Promise<Receipt> {
    const { observer, now } = this.#deps;
    const began = now();
    let result = 'success';
    try {
      return await work;
    } catch (error) {
      result = toQuiesceError(error).code.toLowerCase();
      throw error;
    } finally {
      observer.hookRun(hook, result, (now() - began) / 1_000);
    }
  }
}

function begin(run: FreezeRun): Current {
  return { run, frozen: new Deferred(), ended: new Deferred(), callers: 0 };
}

function newId(): string {
  const at = new Date().toISOString().replace(/[-:]|\.\d+/g, '');
  return `${at}-${randomBytes(4).toString('hex')}`;
}
