import type { Logger } from 'pino';
import type {
  CopyMethod,
  Engine,
  FreezeContext,
  Hold,
  HoldCheck,
  HoldEnd,
  JsonObject,
} from '../engines/engine.ts';
import { QuiesceError, toQuiesceError } from '../errors.ts';
import { unlessAborted } from '../unless-aborted.ts';
import { blankReceipt, endedReceipt, heldReceipt } from './drafts.ts';
import type { Journal, JournalEntry } from './journal.ts';
import { soonAfterAbort } from './lane.ts';
import type { Cause } from './lease-types.ts';
import { NOT_REMOVED, type Receipt } from './receipt.ts';
import type { Volume } from './volume.ts';

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
  readonly volume: Volume;
  readonly copy: CopyMethod;
  readonly app: string | undefined;
  readonly logger: Logger;
  /** Milliseconds on a monotonic clock. */
  readonly now: () => number;
  /** Resolves when nothing on the volume is still needed, e.g. by the verification of a restore. */
  readonly volumeFree: (signal: AbortSignal) => Promise<void>;
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
  stage: Stage = 'journal';
  receipt: Receipt;
  /** Why establishing failed, once it has. */
  failure: QuiesceError | undefined;
  readonly #deps: RunDeps;
  readonly #abort = new AbortController();
  readonly #startedAt: number;
  #establishing: Promise<unknown> = Promise.resolve();
  #renewing: Promise<unknown> = Promise.resolve();
  #hold: Hold | undefined;
  #heldAt: number | undefined;
  /** What the engine wanted to be known before it did anything to the server. */
  #remembered: JsonObject | undefined;
  /** Where a long step is, in the engine's own words. */
  progress: string | undefined;
  /** Set for a freeze found in the journal: its process is gone, and its hold perhaps is not. */
  #orphan: JournalEntry | null | undefined;

  constructor(id: string, by: string, deps: RunDeps) {
    this.id = id;
    this.by = by;
    this.#deps = deps;
    this.#startedAt = deps.now();
    this.receipt = blankReceipt(id, deps);
  }

  /** The freeze an earlier process left open; `null`: there was one, but its entry is unreadable. */
  static orphan(entry: JournalEntry | null, deps: RunDeps): FreezeRun {
    const run = new FreezeRun(entry?.receipt.id ?? 'unreadable', 'an earlier process', deps);
    if (entry) run.receipt = entry.receipt;
    run.#orphan = entry;
    return run;
  }

  get frozenAt(): string | null {
    return this.receipt.frozenAt;
  }

  /**
   * Makes the hold: journal, prepare, hold, journal again, and the receipt on the volume last.
   *
   * @param ttlMs lease from the moment of the hold.
   * @param onLost called at most once, when the hold is found broken.
   * @returns the monotonic instant of the hold. Rejects when any step fails or `abort` was called;
   * whatever is in place then is undone by `finish`.
   */
  establish(ttlMs: number, onLost: () => void): Promise<number> {
    const work = this.#establish(ttlMs, onLost);
    this.#establishing = work;
    return work;
  }

  async #establish(ttlMs: number, onLost: () => void): Promise<number> {
    const { engine, journal, volume, now } = this.#deps;
    const { signal } = this.#abort;
    const context = this.#context(ttlMs);
    await this.#unlessHanging(journal.open({ receipt: this.receipt, engine: null }));
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
      ttlMs: this.#bearable(ttlMs),
      prepareMs: preparedAt - began,
      freezeMs: heldAt - this.#startedAt,
      evidence: volume.plan(),
    });
    this.#enter('receipt');
    // Both at once, for writers may wait, and both to their end, for what ends a freeze comes after.
    const entry = {
      receipt: this.receipt,
      engine: { ...hold.journal } as JournalEntry['engine'],
    };
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
        const entry = { receipt: this.receipt, engine: { ...engine } as JournalEntry['engine'] };
        await this.#unlessHanging(this.#deps.journal.open(entry));
        this.#remembered = engine;
      },
    };
  }

  /** A file system that hangs must not hold up the end: what is under way is left to itself then. */
  #unlessHanging<T>(work: Promise<T>): Promise<T> {
    return soonAfterAbort(work, this.#abort.signal, FILES_WITHIN_MS);
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
    const ttlMs = this.#bearable(asked);
    await this.#hold?.renew?.(ttlMs, AbortSignal.timeout(RENEW_WITHIN_MS));
    // What is written now would outlive the end of the freeze, and be found by the next start.
    if (this.#abort.signal.aborted) return;
    const expiresAt = new Date(Date.now() + ttlMs).toISOString();
    this.receipt = { ...this.receipt, expiresAt };
    const engine = { ...this.#hold?.journal } as JournalEntry['engine'];
    const renewing = this.#renewing.then(() =>
      this.#deps.journal.open({ receipt: this.receipt, engine }),
    );
    this.#renewing = this.#unlessHanging(renewing).catch((error: unknown) =>
      this.#deps.logger.warn({ freeze: this.id, err: error }, 'the renewal is not in the journal'),
    );
    await this.#renewing;
  }

  /** The longest lease that the hold bears; `undefined`: any. */
  get longestLeaseMs(): number | undefined {
    return this.#hold?.longestLeaseMs;
  }

  #bearable(ttlMs: number): number {
    return Math.min(ttlMs, this.longestLeaseMs ?? ttlMs);
  }

  /** Makes an `establish` under way reject soon. */
  abort(): void {
    this.#abort.abort(new Error('the freeze was ended before its hold was in place'));
  }

  /**
   * Ends it, whatever state it is in: receipt off the volume first, then (for a thaw) the engine's
   * evidence, then the release, tried again until it succeeds.
   *
   * @param onStuck called after each try to release that failed.
   * @returns whether the hold held until now, by the engine's own evidence.
   */
  async finish(cause: Cause, onStuck: (error: QuiesceError) => void): Promise<boolean> {
    this.abort();
    await this.#establishing.catch(() => undefined);
    const asked = this.#deps.now();
    const { volume } = this.#deps;
    const leftover = await volume.withdraw(this.#orphan === null ? null : this.id);
    const check = await this.#evidence(cause);
    if (leftover !== null) check.push([NOT_REMOVED, leftover]);
    const end = await this.#release(onStuck);
    if (end && cause === 'thaw') check.push(...pairs(end));
    const tidying = volume.tidy();
    if (leftover === null) await tidying;
    const held = check.length === 0 && cause === 'thaw';
    this.receipt = endedReceipt(this.receipt, {
      verdict: held ? 'consistent' : 'inconsistent',
      broken: check,
      heldMs: this.#heldAt === undefined ? null : asked - this.#heldAt,
      thawMs: this.#deps.now() - asked,
      position: end?.position,
      restore: end?.restore,
    });
    await this.#conclude();
    return held;
  }

  async #evidence(cause: Cause): Promise<[code: string, note: string][]> {
    const hold = this.#hold;
    const known = hold?.lost.aborted ? pairs(hold.lost.reason as HoldCheck) : [];
    if (cause !== 'thaw') return [[cause, explain(cause, this.failure)], ...known];
    if (known.length > 0 || hold === undefined) return known;
    try {
      const signal = AbortSignal.timeout(CHECK_WITHIN_MS);
      return pairs(await unlessAborted(hold.check(signal), signal));
    } catch (error) {
      const { message } = toQuiesceError(error);
      return [['not-provable', `The server could not be asked whether the hold held: ${message}`]];
    }
  }

  async #release(onStuck: (error: QuiesceError) => void): Promise<HoldEnd | undefined> {
    for (;;) {
      try {
        const signal = AbortSignal.timeout(RELEASE_WITHIN_MS);
        if (this.#hold) return (await this.#hold.release(signal)) ?? undefined;
        // A hold that failed half-way may not have been able to undo what it had done by then.
        const owed = this.#orphan === undefined ? this.#remembered : (this.#orphan?.engine ?? null);
        if (owed !== undefined) await this.#deps.engine.recover(owed, signal);
        return undefined;
      } catch (error) {
        onStuck(toQuiesceError(error));
        await new Promise((resolve) => setTimeout(resolve, RELEASE_AGAIN_AFTER_MS));
      }
    }
  }

  async #conclude(): Promise<void> {
    await this.#renewing;
    try {
      await this.#deps.journal.conclude(this.receipt);
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

function pairs(check: HoldCheck): [code: string, note: string][] {
  return check.broken.map((code, index) => [code, check.notes[index] ?? code]);
}

function explain(cause: Cause, failure: QuiesceError | undefined): string {
  const sentences: Record<Cause, string> = {
    thaw: 'It was thawed.',
    'thaw-ambiguous':
      'A thaw without an id ended it, while the thaw of an earlier freeze, which had ended by itself, was still to come: nobody can tell whose it was.',
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
