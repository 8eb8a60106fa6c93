import type { Logger } from 'pino';
import type {
  Breach,
  Engine,
  FreezeContext,
  Hold,
  HoldEnd,
  JsonObject,
} from '../engines/engine.ts';
import type { CopyMethod } from '../receipt/receipt.ts';
import { QuiesceError, toQuiesceError } from '../errors.ts';
import { withDeadlineAfterAbort, unlessAborted } from '../lib/deadline.ts';
import { blankReceipt, endedReceipt, heldReceipt } from './receipt-states.ts';
import type { CallId } from './idempotency.ts';
import type { Journal, JournalEntry, Kept } from './journal.ts';
import type { Cause, Owner, Verdict } from './lease-types.ts';
import type { PersistedDue } from './persisted-due.ts';
import { NOT_REMOVED, type Receipt } from '../receipt/receipt.ts';
import type { ReceiptVolume } from '../receipt/volume.ts';

/** How long the server may take to give its evidence at thaw, and how long each try to release it. */
const CHECK_WITHIN_MS = 8_000;
const RELEASE_WITHIN_MS = 8_000;
const RENEW_WITHIN_MS = 5_000;
const RELEASE_AGAIN_AFTER_MS = 1_000;
/** How much longer files are waited for once a freeze in the making has been ended. */
const FILES_WITHIN_MS = 2_000;

export interface RunDeps {
  readonly engine: Engine;
  readonly journal: Journal;
  readonly volume: ReceiptVolume;
  readonly copy: CopyMethod;
  readonly app: string | undefined;
  readonly logger: Logger;
  /** Milliseconds on a monotonic clock. */
  readonly now: () => number;
  /** Resolves when nothing on the volume is still needed, e.g. by the verification of a restore. */
  readonly volumeFree: (signal: AbortSignal) => Promise<void>;
}

/** Who asked for a freeze. */
export interface Requester {
  readonly id: string;
  /** The id was given, and not made. */
  readonly named: boolean;
  readonly by: string;
  readonly call?: CallId;
}

/** Where a freeze is on its way, for the message of one that timed out. */
type Stage = 'journal' | 'prepare' | 'hold' | 'receipt' | 'held';

/**
 * One freeze, from its first journal entry to its final receipt. It does what the lease decides;
 * it decides nothing itself.
 */
export class FreezeRun {
  readonly id: string;
  readonly by: string;
  readonly named: boolean;
  readonly call: CallId | undefined;
  stage: Stage = 'journal';
  receipt: Receipt;
  /** Why establishing failed, once it has. */
  failure: QuiesceError | undefined;
  readonly #deps: RunDeps;
  readonly #abort = new AbortController();
  readonly #startedAt: number;
  #makingHold: Promise<unknown> = Promise.resolve();
  #renewing: Promise<unknown> = Promise.resolve();
  #hold: Hold | undefined;
  #heldAt: number | undefined;
  #endedAt = 0;
  #end: HoldEnd | undefined;
  /** What the engine wanted to be known before it did anything to the server. */
  #remembered: JsonObject | undefined;
  /** Where a long step is, in the engine's own words. */
  progress: string | undefined;
  /** Set for a freeze found in the journal: its process is gone, and its hold perhaps is not. */
  #leftOpen: JournalEntry | null | undefined;

  constructor({ id, by, named, call }: Requester, deps: RunDeps) {
    this.id = id;
    this.by = by;
    this.named = named;
    this.call = call;
    this.#deps = deps;
    this.#startedAt = deps.now();
    this.receipt = blankReceipt(id, deps);
  }

  /** The freeze an earlier process left open; `null`: there was one, but its entry is unreadable. */
  static leftOpen(entry: JournalEntry | null, deps: RunDeps): FreezeRun {
    const id = entry?.receipt.id ?? 'unreadable';
    const named = entry?.named ?? false;
    const call = entry?.call === undefined ? {} : { call: entry.call };
    const run = new FreezeRun({ id, named, by: 'an earlier process', ...call }, deps);
    if (entry) run.receipt = entry.receipt;
    run.#leftOpen = entry;
    return run;
  }

  /** The freeze, as the lease knows it. */
  get owner(): Owner {
    const { id, named, call } = this;
    return { id, named, ...(call === undefined ? {} : { key: call.key }) };
  }

  /**
   * Makes the hold: journal, prepare, hold, journal again, and the receipt on the volume last.
   *
   * @param ttlMs lease from the moment of the hold.
   * @param onLost called at most once, when the hold is found broken.
   * @returns the monotonic instant of the hold. Rejects when any step fails or `abort` was called;
   * whatever is in place then is undone by `finish`.
   */
  makeHold(ttlMs: number, onLost: () => void): Promise<number> {
    const work = this.#makeHold(ttlMs, onLost);
    this.#makingHold = work;
    return work;
  }

  async #makeHold(ttlMs: number, onLost: () => void): Promise<number> {
    const { engine, journal, volume, now } = this.#deps;
    const { signal } = this.#abort;
    const context = this.#context(ttlMs);
    await this.#unlessHanging(journal.open(this.#entry(null)));
    await this.#deps.volumeFree(signal);
    signal.throwIfAborted();
    this.#enter('prepare');
    const began = now();
    await this.#prepare(context, signal);
    signal.throwIfAborted();
    this.#enter('hold');
    const preparedAt = now();
    const hold = await engine.hold(context, signal);
    this.#hold = hold;
    const heldAt = now();
    this.#heldAt = heldAt;
    if (hold.lost.aborted) onLost();
    else hold.lost.addEventListener('abort', onLost, { once: true });
    this.receipt = heldReceipt(this.receipt, hold, {
      ttlMs: this.#longestAllowed(ttlMs),
      prepareMs: preparedAt - began,
      freezeMs: heldAt - this.#startedAt,
      evidence: volume.place(),
    });
    this.#enter('receipt');
    // Both at once, for writers may wait, and both to their end, for what ends a freeze comes after.
    const entry = this.#entry(hold.journal);
    const sealing = this.#unlessHanging(volume.seal(this.receipt, signal));
    const recording = this.#unlessHanging(journal.held(entry));
    const [recorded] = await Promise.allSettled([recording, sealing]);
    if (recorded.status === 'rejected') throw recorded.reason;
    const evidence = await sealing;
    this.receipt = { ...this.receipt, evidence };
    if (hold.needsReceipt && !evidence.onVolume) throw unproven(evidence.detail);
    signal.throwIfAborted();
    this.#enter('held');
    return heldAt;
  }

  #enter(stage: Stage): void {
    this.stage = stage;
    this.progress = undefined;
  }

  #context(ttlMs: number): FreezeContext {
    return {
      id: this.id,
      copy: this.#deps.copy,
      ttlMs,
      progress: (sentence) => {
        this.progress = sentence;
      },
      keep: (files) => this.#unlessHanging(this.#deps.volume.keep(files)),
      remember: async (engine) => {
        await this.#unlessHanging(this.#deps.journal.open(this.#entry(engine)));
        this.#remembered = engine;
      },
    };
  }

  #entry(engine: JsonObject | null): JournalEntry {
    const { receipt, named, call } = this;
    const known = engine === null ? null : ({ ...engine } as JournalEntry['engine']);
    return { receipt, named, engine: known, ...(call === undefined ? {} : { call }) };
  }

  /** A file system that hangs must not hold up the end: what is under way is left to itself then. */
  #unlessHanging<T>(work: Promise<T>): Promise<T> {
    return withDeadlineAfterAbort(work, this.#abort.signal, FILES_WITHIN_MS);
  }

  /**
   * Room is made while nobody waits: what is written under the hold will then be quick. Before the
   * engine begins, for on a volume that hangs it would leave calls of its own behind.
   */
  async #prepare(context: FreezeContext, signal: AbortSignal): Promise<void> {
    const { engine, journal, volume } = this.#deps;
    const reserving = [journal.reserve(), volume.reserve()];
    const reserved = await Promise.allSettled(reserving.map((one) => this.#unlessHanging(one)));
    for (const one of reserved) if (one.status === 'rejected') throw one.reason;
    signal.throwIfAborted();
    await engine.prepare(context, signal);
  }

  /**
   * Extends the lease on the server, in the receipt that callers get, and in the journal. The
   * journal's expiry is for readers only: a renewal does not fail because of it.
   */
  async renew(asked: number): Promise<void> {
    const ttlMs = this.#longestAllowed(asked);
    await this.#hold?.renew?.(ttlMs, AbortSignal.timeout(RENEW_WITHIN_MS));
    // What is written now would outlive the end of the freeze, and be found by the next start.
    if (this.#abort.signal.aborted) return;
    const expiresAt = new Date(Date.now() + ttlMs).toISOString();
    this.receipt = { ...this.receipt, expiresAt };
    const entry = this.#entry({ ...this.#hold?.journal });
    const renewing = this.#renewing.then(() => this.#deps.journal.open(entry));
    this.#renewing = this.#unlessHanging(renewing).catch((error: unknown) =>
      this.#deps.logger.warn({ freeze: this.id, err: error }, 'the renewal is not in the journal'),
    );
    await this.#renewing;
  }

  /** The longest lease that the hold bears; `undefined`: any. */
  get longestLeaseMs(): number | undefined {
    return this.#hold?.longestLeaseMs;
  }

  #longestAllowed(ttlMs: number): number {
    return Math.min(ttlMs, this.longestLeaseMs ?? ttlMs);
  }

  /** Makes an `establish` under way reject soon. */
  abort(): void {
    this.#abort.abort(new Error('the freeze was ended before its hold was in place'));
  }

  /**
   * Releases it, whatever state it is in: for a thaw the evidence on the volume is looked at, then the
   * receipt is taken off the volume, then the engine is asked for its evidence, then all is released,
   * tried again until it succeeds.
   *
   * @param onStuck called after each try to release that failed.
   * @returns what speaks against the hold; nothing: it held until now. The lease decides by it.
   */
  async release(cause: Cause, onStuck: (error: QuiesceError) => void): Promise<readonly Breach[]> {
    this.abort();
    await this.#makingHold.catch(() => undefined);
    this.#endedAt = this.#deps.now();
    const { volume } = this.#deps;
    const asked = cause === 'thaw' && this.receipt.evidence.onVolume;
    const onVolume = asked ? await volume.inspect() : [];
    const leftover = await volume.withdraw(this.#leftOpen === null ? null : this.id);
    const found = await this.#evidence(cause);
    const left = leftover === null ? [] : [{ code: NOT_REMOVED, note: leftover }];
    this.#end = await this.#release(onStuck);
    const after = this.#end && cause === 'thaw' ? this.#end.breaches : [];
    const tidying = volume.tidy();
    if (leftover === null) await tidying;
    // A renewal written later would be found by the next start.
    await this.#renewing;
    return [...onVolume, ...found, ...left, ...after];
  }

  /** Writes the verdict into the receipt: it is final then. @param by who thawed, if anybody. */
  recordVerdict({ consistent, cause, evidence }: Verdict, by: string | undefined): Receipt {
    const why = { code: cause, note: explain(cause, this.failure) };
    this.receipt = endedReceipt(this.receipt, {
      verdict: consistent ? 'consistent' : 'inconsistent',
      breaches: cause === 'thaw' ? evidence : [why, ...evidence],
      heldMs: this.#heldAt === undefined ? null : this.#endedAt - this.#heldAt,
      thawMs: this.#deps.now() - this.#endedAt,
      thawedBy: by,
      position: this.#end?.position,
      restore: this.#end?.restore,
    });
    return this.receipt;
  }

  async #evidence(cause: Cause): Promise<readonly Breach[]> {
    const hold = this.#hold;
    const known = hold?.lost.aborted ? (hold.lost.reason as readonly Breach[]) : [];
    if (cause !== 'thaw' || known.length > 0 || hold === undefined) return known;
    try {
      const signal = AbortSignal.timeout(CHECK_WITHIN_MS);
      return await unlessAborted(hold.check(signal), signal);
    } catch (error) {
      const { message } = toQuiesceError(error);
      const note = `The server could not be asked whether the hold held: ${message}`;
      return [{ code: 'not-provable', note }];
    }
  }

  async #release(onStuck: (error: QuiesceError) => void): Promise<HoldEnd | undefined> {
    for (;;) {
      try {
        const signal = AbortSignal.timeout(RELEASE_WITHIN_MS);
        if (this.#hold) return (await this.#hold.release(signal)) ?? undefined;
        // A hold that failed half-way may not have been able to undo what it had done by then.
        const toRecover = this.#leftOpen === undefined ? this.#remembered : (this.#leftOpen?.engine ?? null);
        if (toRecover !== undefined) await this.#deps.engine.recover(toRecover, signal);
        return undefined;
      } catch (error) {
        onStuck(toQuiesceError(error));
        await new Promise((resolve) => setTimeout(resolve, RELEASE_AGAIN_AFTER_MS));
      }
    }
  }

  /**
   * Puts the final receipt into the journal, and closes its entry; to be called at once after `recordVerdict`.
   * Never rejects: what the disk refuses is tried again.
   */
  async conclude(thaw: CallId | undefined, due: readonly PersistedDue[]): Promise<void> {
    const kept: Kept = {
      receipt: this.receipt,
      ...(this.call === undefined ? {} : { freeze: this.call }),
      ...(thaw === undefined ? {} : { thaw }),
    };
    try {
      await this.#deps.journal.conclude(kept, due);
    } catch (error) {
      // The entry stays until the journal can be written: a start meanwhile finds it and calls this
      // freeze interrupted. Never better.
      this.#deps.logger.error({ freeze: this.id, err: error }, 'the journal could not be closed');
    }
  }
}

function unproven(why: string): QuiesceError {
  return new QuiesceError(
    'COPY_UNSUPPORTED',
    `A copy made in this way is restored by what the freeze leaves on the volume. ${why}`,
    { hint: 'Make the volume writable for the sidecar and free some space on it.' },
  );
}

function explain(cause: Cause, failure: QuiesceError | undefined): string {
  const sentences: Record<Cause, string> = {
    thaw: 'It was thawed.',
    'thaw-ambiguous':
      'A thaw ended it that may as well be that of another freeze, whose own is still to come: nobody can tell whose it was.',
    abandoned: 'Somebody released it without a thaw (quiesce thaw --abandon).',
    'lease-expired':
      'The lease ran out before anybody thawed; the database was released by itself.',
    'hold-lost': 'The hold was lost before anybody thawed.',
    'freeze-timeout': 'The hold was not in place by the timeout; everything was rolled back.',
    'freeze-failed': `The freeze failed and was rolled back: ${failure?.message ?? 'see the log'}`,
    'freeze-aborted': 'A thaw ended the freeze before its hold was in place.',
    'caller-gone': 'The caller went away before the hold was in place; everything was rolled back.',
    'sidecar-stopped':
      'The sidecar was stopped while the freeze was open; the database was released.',
    interrupted: 'The sidecar died while the freeze was open; the next one released the database.',
  };
  return sentences[cause];
}

/** What a line of the log tells of a freeze; `engine` itself stands in every line already. */
export function logFields(run: FreezeRun): Record<string, unknown> {
  const { mode, copy, engine, durationsMs, position, expiresAt } = run.receipt;
  const { version, role, identity } = engine;
  return {
    freeze: run.id,
    by: run.by,
    server: { version, role, ...identity },
    mode,
    copy,
    durationsMs,
    position,
    expiresAt,
  };
}
