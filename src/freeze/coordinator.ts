import { randomBytes } from 'node:crypto';
import type { Abandoned, FreezeRequest, LeasePhase, LeaseView, ThawRequest } from './requests.ts';
import { LONGEST_MS } from '../defaults.ts';
import { QuiesceError, toQuiesceError } from '../errors.ts';
import { type CallId, Calls, checkSame } from './idempotency.ts';
import type { Kept } from './journal.ts';
import type { Reply } from './lease-types.ts';
import {
  alreadyEnded,
  checkBounds,
  endedSince,
  failureOf,
  heldByAnother,
  nothingToRenew,
  nothingToThaw,
  renewalRefused,
  waitEnded,
  refusedSince,
  staleKey,
  successOf,
} from './outcomes.ts';
import type { Receipt } from '../receipt/receipt.ts';
import { type Requester, FreezeRun } from './freeze-run.ts';
import { CallerGone, LeaseRunner, type RunnerDeps } from './runner.ts';
import { Turns } from './turns.ts';

export interface CoordinatorDeps extends RunnerDeps {
  readonly defaults: { readonly ttlMs: number; readonly timeoutMs: number };
  readonly ttlMaxMs: number;
  /** Rejects with `VOLUME_IN_USE` where another living sidecar uses the volume. */
  readonly claimVolume: () => Promise<void>;
}

/** Ends that the caller most likely did not learn of: a retry of its call freezes again. */
const ANSWER_LOST: readonly string[] = ['interrupted', 'sidecar-stopped', 'caller-gone'];

/**
 * Answers freeze and thaw requests. The lease decides and the runner carries out; the coordinator turns
 * each decision into the answer for its caller, retries included.
 */
export class Coordinator {
  readonly #deps: CoordinatorDeps;
  readonly #runner: LeaseRunner;
  readonly #calls = new Calls();
  readonly #turns = new Turns();
  #stopping = false;

  constructor(deps: CoordinatorDeps) {
    this.#deps = deps;
    this.#runner = new LeaseRunner(deps, () => this.#turns.next());
  }

  /** Whether a freeze that an earlier process left open is not yet released. */
  get recovering(): boolean {
    const { state } = this.#runner;
    return state.phase === 'thawing' && state.cause === 'interrupted';
  }

  /** The longest lease that a freeze may ask for. */
  get ttlMaxMs(): number {
    return this.#deps.ttlMaxMs;
  }

  get phase(): LeasePhase {
    return this.#runner.phase;
  }

  /** The receipt of the open freeze, or else of the last one that ended. */
  get lastReceipt(): Receipt | null {
    return this.receipts()[0] ?? null;
  }

  /** Receipts of the open freeze and of the last ended ones, newest first, at most ten. */
  receipts(): readonly Receipt[] {
    return this.#runner.receipts();
  }

  lease(): LeaseView | null {
    return this.#runner.lease();
  }

  /** See `LeaseRunner.load`. Call it once, before anything else. */
  async load(): Promise<string | null> {
    return await this.#runner.load();
  }

  /** See `LeaseRunner.resume`. */
  async resume(): Promise<void> {
    await this.#runner.resume();
  }

  /** See `LeaseRunner.leftBehind`. */
  get leftBehind(): readonly string[] {
    return this.#runner.leftBehind;
  }

  /** See `Control.freeze`. */
  async freeze(request: FreezeRequest): Promise<Receipt> {
    const work = async (earlier?: Promise<Receipt>): Promise<Receipt> =>
      earlier ? await this.#freezeAgain(request, earlier) : await this.#freezeFirst(request);
    return await this.#measured('freeze', () => this.#calls.once(request.call, work));
  }

  /** Handles a retry of a call whose answer apparently did not arrive. */
  async #freezeAgain(request: FreezeRequest, earlier: Promise<Receipt>): Promise<Receipt> {
    const [outcome] = await Promise.allSettled([earlier]);
    if (outcome.status === 'fulfilled') {
      const open = this.#runner.current?.run.receipt;
      if (this.phase === 'frozen' && open?.id === outcome.value.id) return open;
      throw endedSince(this.#runner.kept(outcome.value.id)?.receipt ?? outcome.value);
    }
    const { reason } = outcome as { readonly reason: unknown };
    // The connection broke and the freeze was rolled back. Now the same caller is back.
    if (reason instanceof CallerGone) return await this.#freeze({ ...request, wait: true });
    throw reason;
  }

  /** Handles a call that is new to this process. An earlier process may have seen it. */
  async #freezeFirst(request: FreezeRequest): Promise<Receipt> {
    const { call } = request;
    const { run } = this.#runner.current ?? {};
    if (call && run?.call?.key === call.key) {
      checkSame(run.call, call);
      return await this.#freeze({ ...request, wait: true });
    }
    const kept = this.#onRecord(call);
    const answered = kept && !kept.receipt.reasons.some((reason) => ANSWER_LOST.includes(reason));
    if (answered) throw endedSince(kept.receipt);
    return await this.#freeze(request);
  }

  /**
   * The ended freeze that this call started or ended, perhaps in an earlier process.
   *
   * @throws QuiesceError IDEMPOTENCY_KEY_REUSED
   */
  #onRecord(call: CallId | undefined): Kept | undefined {
    if (call === undefined) return undefined;
    for (const kept of this.#deps.journal.kept) {
      const same = [kept.freeze, kept.thaw].find((one) => one?.key === call.key);
      if (same === undefined) continue;
      checkSame(same, call);
      return kept;
    }
    return undefined;
  }

  async #freeze(request: FreezeRequest): Promise<Receipt> {
    this.#refuseWhileStopping();
    const { defaults, ttlMaxMs } = this.#deps;
    const ttlMs = checkBounds('ttl', request.ttlMs ?? defaults.ttlMs, ttlMaxMs);
    const asked = request.timeoutMs ?? defaults.timeoutMs;
    const timeoutMs = checkBounds('timeout', asked, LONGEST_MS);
    if (request.renew) return await this.#renew(request, ttlMs);
    const requester = requesterOf(request);
    const deadline = this.#deps.now() + timeoutMs;
    await this.#deps.claimVolume();
    if (request.wait) await this.#waitForTurn(requester, ttlMs, deadline, request.gone);
    return await this.#begin(requester, ttlMs, deadline, request.gone);
  }

  #refuseWhileStopping(): void {
    if (this.#stopping) throw new QuiesceError('SHUTTING_DOWN', 'The sidecar is stopping.');
  }

  async #begin(
    requester: Requester,
    ttlMs: number,
    deadline: number,
    gone: AbortSignal | undefined,
  ): Promise<Receipt> {
    this.#refuseWhileStopping();
    const { id, named, by } = requester;
    const timeoutMs = deadline - this.#deps.now();
    const shared = (this.#runner.kept(id)?.receipt.frozenAt ?? null) !== null;
    const run = new FreezeRun(requester, this.#deps);
    const event = { type: 'freeze', ...run.owner, shared, ttlMs, timeoutMs } as const;
    const reply = this.#runner.dispatch(event, run);
    if (reply.type === 'refused') throw await this.#refused(by);
    this.#deps.logger.info({ freeze: id, named, by, ttlMs, timeoutMs }, 'freeze requested');
    this.#warnOfDueThaws(id);
    return await this.#untilHeldOrGone(run, gone);
  }

  get #isFree(): boolean {
    return this.phase === 'thawed';
  }

  /** Waits until nothing is frozen. The freeze must start in the same turn of the event loop. */
  async #waitForTurn(
    requester: Requester,
    ttlMs: number,
    deadline: number,
    gone: AbortSignal | undefined,
  ): Promise<void> {
    const began = this.#deps.now();
    for (let again = false; !this.#isFree; again = true) {
      const ms = deadline - this.#deps.now();
      const waiting = this.#turns.wait({ id: requester.id, ms, gone, again });
      this.#deps.logger.info({ by: requester.by, behind: this.lease()?.id }, 'freeze waits');
      if (await waiting) continue;
      const { id, named, call } = requester;
      const key = call === undefined ? {} : { key: call.key };
      this.#runner.dispatch({ type: 'gave-up', id, named, ttlMs, ...key });
      // The turn may have come at the moment the caller gave up.
      if (this.#isFree) this.#turns.next();
      if (gone?.aborted) throw new CallerGone();
      throw await this.#refused(requester.by, this.#deps.now() - began);
    }
  }

  #warnOfDueThaws(freeze: string): void {
    const due = this.#runner.state.due.map(({ id }) => id);
    if (due.length === 0) return;
    const what =
      'a thaw without an id will not prove this freeze: the thaw of another freeze is still expected';
    this.#deps.logger.warn({ freeze, due }, what);
  }

  async #refused(by: string, waitedMs?: number): Promise<QuiesceError> {
    const lease = this.lease();
    const refusal = heldByAnother(lease, this.phase, waitedMs);
    this.#deps.logger.warn({ freeze: lease?.id, by }, 'freeze refused: another one is held');
    await this.#runner.remember();
    return refusal;
  }

  async #renew({ id, by }: FreezeRequest, ttlMs: number): Promise<Receipt> {
    if (id === undefined) {
      const hint = 'Give the id of the freeze to renew: quiesce freeze --renew --id ID';
      throw new QuiesceError('INVALID_FIELD', 'renew needs an id.', { field: 'id', hint });
    }
    const reply = this.#runner.dispatch({ type: 'renew', id, ttlMs });
    const current = this.#runner.current;
    if (reply.type === 'refused') throw renewalRefused(id, this.lease());
    if (reply.type !== 'renewed' || !current) throw nothingToRenew(id);
    this.#deps.logger.info({ freeze: id, by, ttlMs }, 'lease renewed');
    await current.run.renew(ttlMs);
    // The freeze may have ended while the renewal was written: an ended freeze is not held, whatever its receipt says.
    if (this.#runner.current === current && this.phase === 'frozen') return current.run.receipt;
    throw failureOf(current.run, 'thaw', current.run.stage, false);
  }

  async #untilHeldOrGone(run: FreezeRun, gone: AbortSignal | undefined): Promise<Receipt> {
    const current = this.#runner.current;
    if (current?.run !== run) throw failureOf(run, 'freeze-aborted', run.stage, false);
    const leave = (): void => {
      if (this.#runner.current === current) this.#runner.dispatch({ type: 'gone' });
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
    const work = async (earlier?: Promise<Receipt>): Promise<Receipt> =>
      earlier ? await this.#thawAgain(earlier) : await this.#thaw(request);
    return await this.#measured('thaw', () => this.#calls.once(request.call, work));
  }

  /** A caller that sends the same key every night must not get an old success for a freeze that is still held. */
  async #thawAgain(earlier: Promise<Receipt>): Promise<Receipt> {
    const open = this.#runner.current?.run.id;
    const receipt = await earlier;
    if (open === undefined || open === receipt.id) return receipt;
    throw staleKey(open);
  }

  async #thaw({ id, by, call }: ThawRequest): Promise<Receipt> {
    const kept = this.#onRecord(call);
    const open = this.#runner.current?.run.id;
    if (kept && open !== undefined) throw staleKey(open);
    if (kept) return successOf(kept.receipt);
    const cancelled = this.#cancelWait(id);
    const reply = this.#runner.dispatch({ type: 'thaw', id });
    const current = this.#runner.current;
    this.#deps.logger.info({ freeze: id ?? current?.run.id, by }, 'thaw requested');
    if (reply.type === 'ends' && current) {
      current.endedBy = { by, ...(call === undefined ? {} : { call }) };
      return successOf(await current.ended.promise);
    }
    if (reply.type === 'joins' && current) throw alreadyEnded(await current.ended.promise);
    throw cancelled ? waitEnded(id) : this.#nothingHeldFor(id, reply);
  }

  /** Ends the wait of a freeze with this id that has not had its turn: its caller no longer wants it. @returns whether one waited */
  #cancelWait(id: string | undefined): boolean {
    return id !== undefined && this.#runner.current?.run.id !== id && this.#turns.cancel(id);
  }

  /** The error for a thaw that matches no open freeze. */
  #nothingHeldFor(id: string | undefined, reply: Reply): QuiesceError {
    const meant = id ?? (reply.type === 'ended' ? reply.id : undefined);
    const kept = meant === undefined ? undefined : this.#runner.kept(meant)?.receipt;
    if (!kept) return nothingToThaw(id, this.#runner.current?.run.id);
    const refused = id !== undefined && this.#runner.state.refused.includes(id);
    return refused ? refusedSince(kept) : alreadyEnded(kept);
  }

  /** See `Control.abandon`. */
  async abandon(request: ThawRequest): Promise<Abandoned> {
    const work = async (earlier?: Promise<Abandoned>): Promise<Abandoned> =>
      earlier ? await earlier : await this.#abandon(request);
    return await this.#measured('thaw', () => this.#calls.once(request.call, work), 'abandoned');
  }

  async #abandon({ id, by }: ThawRequest): Promise<Abandoned> {
    this.#cancelWait(id);
    const reply = this.#runner.dispatch({ type: 'abandon', id });
    const current = this.#runner.current;
    this.#deps.logger.warn({ freeze: id ?? current?.run.id, by }, 'abandon requested');
    if (reply.type === 'not-held' || !current) return { released: false, receipt: null };
    if (reply.type === 'ends') current.endedBy = { by };
    return { released: true, receipt: await current.ended.promise };
  }

  /** Refuses new freezes, thaws the open one, and resolves when nothing is held any more. */
  async shutdown(): Promise<void> {
    this.#stopping = true;
    this.#turns.close(new QuiesceError('SHUTTING_DOWN', 'The sidecar is stopping.'));
    await this.#runner.stop();
  }

  async #measured<T>(
    hook: 'freeze' | 'thaw',
    work: () => Promise<T>,
    success = 'success',
  ): Promise<T> {
    const { observer, now } = this.#deps;
    const began = now();
    let result = success;
    try {
      return await work();
    } catch (error) {
      result = toQuiesceError(error).code.toLowerCase();
      throw error;
    } finally {
      observer.hookRun(hook, result, (now() - began) / 1_000);
    }
  }
}

function requesterOf({ id, by, call, thawLast = false }: FreezeRequest): Requester {
  const named = id !== undefined;
  return { id: id ?? newId(), named, by, thawLast, ...(call === undefined ? {} : { call }) };
}

function newId(): string {
  const at = new Date().toISOString().replace(/[-:]|\.\d+/g, '');
  return `${at}-${randomBytes(4).toString('hex')}`;
}
