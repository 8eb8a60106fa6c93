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
import { attachMetadata } from './attach-metadata.ts';
import { blankReceipt, endedReceipt, heldReceipt } from './receipt-states.ts';
import type { CallId } from './idempotency.ts';
import type { Journal, JournalEntry, Kept } from './journal.ts';
import type { Cause, Owner, Verdict } from './lease-types.ts';
import type { PersistedDue } from './persisted-due.ts';
import { NOT_REMOVED, type Receipt } from '../receipt/receipt.ts';
import type { RestoreMark } from '../receipt/restore-mark.ts';
import type { ReceiptVolume } from '../receipt/volume.ts';

/** Limits for the server's evidence at thaw and for each attempt to release it. */
const CHECK_WITHIN_MS = 8_000;
const RELEASE_WITHIN_MS = 8_000;
const RENEW_WITHIN_MS = 5_000;
const RELEASE_AGAIN_AFTER_MS = 1_000;
/** How much longer file operations may take once a freeze in the making has been ended. */
const FILES_WITHIN_MS = 2_000;

export interface RunDeps {
  readonly engine: Engine;
  readonly journal: Journal;
  readonly volume: ReceiptVolume;
  readonly copy: CopyMethod;
  readonly app: string | undefined;
  readonly restoreMark?: RestoreMark;
  readonly logger: Logger;
  /** Milliseconds on a monotonic clock. */
  readonly now: () => number;
  /** Resolves when the volume is no longer needed by anything else, such as the verification of a restore. */
  readonly volumeFree: (signal: AbortSignal) => Promise<void>;
}

/** Who requested a freeze. */
export interface Requester {
  readonly id: string;
  /** Whether the caller gave the id; otherwise it was generated. */
  readonly named: boolean;
  readonly by: string;
  readonly call?: CallId;
  /** The caller copies every volume before its thaw. */
  readonly thawLast?: boolean;
}

interface HoldLimits {
  readonly ttlMs: number;
  readonly deadline: number;
}

/** The current step of a freeze, for the message of one that timed out. */
type Stage = 'journal' | 'prepare' | 'hold' | 'receipt' | 'held';

/**
 * One freeze, from its first journal entry to its final receipt. It carries out what the lease decides
 * and decides nothing itself.
 */
export class FreezeRun {
  readonly id: string;
  readonly by: string;
  readonly named: boolean;
  readonly call: CallId | undefined;
  readonly #thawLast: boolean;
  stage: Stage = 'journal';
  receipt: Receipt;
  /** Why making the hold failed. */
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
  /** What the engine asked to record before it changed anything on the server. */
  #remembered: JsonObject | undefined;
  /** The progress of a long step, in the engine's words. */
  progress: string | undefined;
  /**
   * The journal entry of a freeze that an earlier process left open; its hold may still be in place.
   * `null`: the entry is unreadable. `undefined`: this process started the freeze.
   */
  #leftOpen: JournalEntry | null | undefined;

  constructor({ id, by, named, call, thawLast = false }: Requester, deps: RunDeps) {
    this.id = id;
    this.by = by;
    this.named = named;
    this.call = call;
    this.#thawLast = thawLast;
    this.#deps = deps;
    this.#startedAt = deps.now();
    this.receipt = blankReceipt(id, deps);
  }

  /** The run of a freeze that an earlier process left open. @param entry `null`: its entry is unreadable */
  static leftOpen(entry: JournalEntry | null, deps: RunDeps): FreezeRun {
    const id = entry?.receipt.id ?? 'unreadable';
    const named = entry?.named ?? false;
    const call = entry?.call === undefined ? {} : { call: entry.call };
    const run = new FreezeRun({ id, named, by: 'an earlier process', ...call }, deps);
    if (entry) run.receipt = entry.receipt;
    run.#leftOpen = entry;
    return run;
  }

  /** The freeze as the lease identifies it. */
  get owner(): Owner {
    const { id, named, call } = this;
    return { id, named, ...(call === undefined ? {} : { key: call.key }) };
  }

  /**
   * Makes the hold: writes the journal, prepares, holds, then writes the journal again and the receipt to
   * the volume.
   *
   * @param limits the lease, from the moment of the hold, and the instant at which the freeze times out
   * @param onLost called at most once, when the hold is found broken
   * @param deadline when the freeze times out, on the monotonic clock
   * @returns the monotonic instant of the hold. Rejects when a step fails or `abort` was called; `release`
   *   then undoes what is in place.
   */
  makeHold(limits: HoldLimits, onLost: () => void): Promise<number> {
    const work = this.#makeHold(limits, onLost);
    this.#makingHold = work;
    return work;
  }

  async #makeHold({ ttlMs, deadline }: HoldLimits, onLost: () => void): Promise<number> {
    const { engine, journal, volume, now } = this.#deps;
    const { signal } = this.#abort;
    const context = this.#context(ttlMs, deadline);
    await this.#unlessHanging(journal.open(this.#entry(null)));
    await this.#deps.volumeFree(signal);
    signal.throwIfAborted();
    this.#enter('prepare');
    const began = now();
    await this.#prepare(context, signal);
    signal.throwIfAborted();
    // After the engine has its session: a limit on connections must cost the metadata, not the freeze.
    const missing = await attachMetadata(this.#deps, this.id, deadline - now(), signal);
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
      notes: missing === null ? [] : [missing],
    });
    this.#enter('receipt');
    // At the same time, because writers may wait. Both must end before the freeze can be ended.
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

  #context(ttlMs: number, deadline: number): FreezeContext {
    return {
      id: this.id,
      copy: this.#deps.copy,
      thawLast: this.#thawLast,
      ttlMs,
      remainingMs: () => deadline - this.#deps.now(),
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

  /** A file system that hangs must not delay the end of the freeze: its operations are left to run. */
  #unlessHanging<T>(work: Promise<T>): Promise<T> {
    return withDeadlineAfterAbort(work, this.#abort.signal, FILES_WITHIN_MS);
  }

  /**
   * Reserves space while no writer waits, so that writing under the hold is quick. This comes before the
   * engine starts: on a volume that hangs the engine would leave hanging calls of its own.
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
   * Extends the lease on the server, in the receipt that callers get, and in the journal. The expiry in
   * the journal is informative: a renewal does not fail if it cannot be written.
   */
  async renew(asked: number): Promise<void> {
    const ttlMs = this.#longestAllowed(asked);
    await this.#hold?.renew?.(ttlMs, AbortSignal.timeout(RENEW_WITHIN_MS));
    // An entry written now would outlive the freeze, and the next start would take it for an open one.
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

  /** The longest lease that the hold allows; `undefined`: any. */
  get longestLeaseMs(): number | undefined {
    return this.#hold?.longestLeaseMs;
  }

  #longestAllowed(ttlMs: number): number {
    return Math.min(ttlMs, this.longestLeaseMs ?? ttlMs);
  }

  /** Makes a running `makeHold` reject soon. */
  abort(): void {
    this.#abort.abort(new Error('the freeze was ended before its hold was in place'));
  }

  /**
   * Releases the freeze in any state. For a thaw it first checks the evidence on the volume. Then it
   * removes the receipt from the volume, asks the engine for its evidence (also for a thaw only), and
   * releases everything, with retries until that succeeds.
   *
   * @param onStuck called after each failed attempt to release
   * @returns the evidence against the hold; empty: it held until now. The lease decides the verdict by it.
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
    // An entry of a renewal written later would pass for an open freeze at the next start.
    await this.#renewing;
    return [...onVolume, ...found, ...left, ...after];
  }

  /** Writes the verdict into the receipt, which is then final. @param by who thawed; `undefined`: no thaw ended it */
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
        // A hold that failed halfway may not have undone what it had changed by then.
        const toRecover =
          this.#leftOpen === undefined ? this.#remembered : (this.#leftOpen?.engine ?? null);
        if (toRecover !== undefined) await this.#deps.engine.recover(toRecover, signal);
        return undefined;
      } catch (error) {
        onStuck(toQuiesceError(error));
        await new Promise((resolve) => setTimeout(resolve, RELEASE_AGAIN_AFTER_MS));
      }
    }
  }

  /**
   * Writes the final receipt to the journal and closes the entry. Call it immediately after `recordVerdict`.
   * Never rejects: the journal retries writes that the disk refuses.
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
      // The entry stays until the journal can be written. A sidecar that starts before then finds it and
      // records this freeze as interrupted: worse than the truth, never better.
      this.#deps.logger.error({ freeze: this.id, err: error }, 'the journal could not be closed');
    }
  }
}

function unproven(why: string): QuiesceError {
  return new QuiesceError(
    'COPY_UNSUPPORTED',
    `A restore of this kind of copy needs the files that the freeze leaves on the volume. ${why}`,
    { hint: 'Make the volume writable for the sidecar and free some space on it.' },
  );
}

function explain(cause: Cause, failure: QuiesceError | undefined): string {
  const sentences: Record<Cause, string> = {
    thaw: 'It was thawed.',
    'thaw-ambiguous':
      'The thaw that ended it may belong to another freeze, whose thaw is still expected: it cannot be matched to a backup.',
    abandoned: 'A caller released it without claiming a success (quiesce thaw --abandon).',
    'lease-expired': 'The lease expired before a thaw came; the sidecar released the database.',
    'hold-lost': 'The hold was lost before a thaw came.',
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
