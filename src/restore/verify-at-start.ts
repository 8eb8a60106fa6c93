import type { Logger } from 'pino';
import type { Difference, Engine, VerifyResult } from '../engines/engine.ts';
import { describeErrno } from '../lib/durable-files.ts';
import { abortedWithin, unlessAborted, withDeadline } from '../lib/deadline.ts';
import type { Receipt } from '../receipt/receipt.ts';
import { judgeRestore, type RestoreCheckLevel } from '../receipt/restore-level.ts';
import { originOf, type RestoreMark } from '../receipt/restore-mark.ts';
import { RESTORED_PREFIX, type ReceiptVolume } from '../receipt/volume.ts';
import {
  hasProven,
  isKnownCopy,
  lastRestored,
  restoredReceipt,
} from '../receipt/volume-results.ts';
import { untilAnswered, unverifiable } from './ask.ts';
import { ContentCheck } from './content-check.ts';
import { findDifferences, keepMetadata, metadataOf } from './differences.ts';
import { Leftovers } from './leftovers.ts';
import { notYet } from './not-yet.ts';
import { recordFor, RestoreRecords } from './record.ts';
import { RestoreReport } from './report.ts';
import {
  type Acknowledged,
  logFieldsOf,
  notChecked,
  now,
  type RestoreView,
  withContent,
  withoutReceipt,
} from './view.ts';

export type { Acknowledged, RestoreView } from './view.ts';

const LOOK_WITHIN_MS = 2_000;
/** A hanging volume must not delay the stop for longer. */
const STOP_WITHIN_MS = 5_000;

export interface RestoreCheckDeps {
  readonly engine: Engine;
  readonly volume: ReceiptVolume;
  readonly stateDir: string;
  readonly logger: Logger;
  /** Which restores made this pod. */
  readonly restoreMark?: RestoreMark;
  /** QUIESCE_RESTORE_CHECK. */
  readonly check: RestoreCheckLevel;
  /** Exports one series for each level; `null` removes it. */
  readonly restoreVerified: (level: RestoreCheckLevel, reached: boolean | null) => void;
}

/**
 * Says what the restored data of this pod may be called. A volume whose receipt is not of this sidecar's
 * open freeze is a copy, unless the mark of the pod shows that it is the live volume of a pod that died
 * while frozen. As soon as the server answers, it is verified against that receipt, and `restored-ID.json` replaces the receipt on the volume. A restored pod whose
 * volume has no receipt is reported as unproven until a person or a consistent freeze ends that.
 */
export class RestoreCheck {
  readonly #deps: RestoreCheckDeps;
  readonly #records: RestoreRecords;
  readonly #report: RestoreReport;
  readonly #content: ContentCheck;
  readonly #leftovers: Leftovers;
  readonly #stop = new AbortController();
  #running: Promise<void> = Promise.resolve();
  /** Asks whether the database is empty; a freeze does not wait for it. */
  #asking: Promise<void> = Promise.resolve();

  constructor(deps: RestoreCheckDeps) {
    this.#deps = deps;
    this.#records = new RestoreRecords(deps.volume, deps.stateDir);
    this.#report = new RestoreReport(deps, this.#records);
    this.#leftovers = new Leftovers(deps, this.#stop.signal);
    this.#content = new ContentCheck(deps.engine, deps.logger);
  }

  /** `null`: nothing is known of a restore, or its report was ended. */
  get view(): RestoreView | null {
    return this.#report.view;
  }

  /** The restore that a person has accepted last; `null`: none. */
  get acknowledged(): Acknowledged | null {
    return this.#report.acknowledged;
  }

  /** Ends the report of a restore that is unproven or refused, or whose content is. Idempotent. */
  async acknowledge(by: string): Promise<Acknowledged> {
    return await this.#report.acknowledge(by);
  }

  /** Call it at the end of every freeze. */
  async freezeEnded(consistent: boolean): Promise<void> {
    this.#content.resume();
    if (consistent) await this.#report.settleByFreeze();
  }

  /**
   * Reads the receipt from the volume, then verifies in the background. Waits two seconds at most for a
   * volume that hangs: the recovery of an open freeze must not wait for it.
   *
   * @param openId the freeze that is open in this sidecar's journal: its receipt is not of a restore.
   * @param leftBehind freezes that ended here and whose receipt could not be removed from the volume.
   */
  async start(openId: string | null, leftBehind: readonly string[] = []): Promise<void> {
    const looking = this.#look();
    this.#running = looking.then((receipt) => this.#handleReceipt(receipt, openId, leftBehind));
    await withDeadline(LOOK_WITHIN_MS, looking).catch((error: unknown) => {
      this.#deps.logger.warn({ err: error }, 'the volume does not answer');
    });
  }

  async #look(): Promise<Receipt | 'unreadable' | null> {
    const receipt = await this.#deps.volume.receipt();
    this.#report.load(recordFor(this.#deps.restoreMark, await this.#records.read()));
    return receipt;
  }

  async #handleReceipt(
    receipt: Receipt | 'unreadable' | null,
    openId: string | null,
    leftBehind: readonly string[],
  ): Promise<void> {
    if (this.#stop.signal.aborted) return;
    if (receipt === 'unreadable') {
      const message = 'The receipt on the volume cannot be read, so nothing can be verified.';
      return await this.#conclude({ ...this.#unchecked('unreadable', message), verified: false });
    }
    if (receipt === null || receipt.id === openId || leftBehind.includes(receipt.id)) {
      await this.#handleNone();
      if (receipt !== null && receipt.id !== openId)
        await this.#leftovers.removeReceipt(receipt.id);
      // No freeze is open and no copy needs verification: anything left here has no owner.
      else if (openId === null) await this.#leftovers.remove();
      return;
    }
    if (await this.#isLive(receipt)) {
      await this.#handleNone();
      return await this.#leftovers.takeOver(receipt);
    }
    const message = 'This is a restored copy. It is verified as soon as the server answers.';
    this.#report.show(this.#unchecked(receipt.id, message));
    await this.#verify(receipt);
  }

  #unchecked(id: string, message: string): RestoreView {
    const { restoreMark, check } = this.#deps;
    return notChecked(id, restoreMark || null, message, check === 'content');
  }

  /** The volume carries no copy's receipt: what was found out before still counts. */
  async #handleNone(): Promise<void> {
    const { restoreMark: mark, volume, logger } = this.#deps;
    const known = this.#report.known;
    if (known?.settled) return;
    if (known) {
      this.#report.show(known.view);
      logger[known.view.verified ? 'info' : 'warn'](
        logFieldsOf(known.view),
        'the restore of this data was judged before',
      );
      return await this.#checkContent(known.view);
    }
    if (!mark) return;
    const view = withoutReceipt(mark, volume.dataDir !== undefined, false);
    this.#report.show(view);
    logger.warn(logFieldsOf(view), 'the restored data is NOT proven');
    this.#asking = this.#askWhetherEmpty(view, mark);
  }

  async #askWhetherEmpty(view: RestoreView, mark: string): Promise<void> {
    const { engine, volume } = this.#deps;
    const empty = await untilAnswered(
      (signal) => engine.isEmpty(signal),
      () => false,
      () => undefined,
      this.#stop.signal,
    );
    if (empty === undefined || this.#report.view !== view) return;
    await this.#conclude(empty ? withoutReceipt(mark, volume.dataDir !== undefined, true) : view);
  }

  /** A copy that `prepare-restore` has proven or refused stays one, also for a later pod without the mark. */
  async #isLive(receipt: Receipt): Promise<boolean> {
    if (originOf(receipt, this.#deps.restoreMark) !== 'live') return false;
    const { volume } = this.#deps;
    return !(await hasProven(volume, receipt.id)) && !(await isKnownCopy(volume, receipt));
  }

  /**
   * The receipt of the copy from which this volume was last restored, read from its verification result;
   * `null` if there is none or the volume does not answer.
   */
  async lastRestored(): Promise<Receipt | null> {
    return await withDeadline(LOOK_WITHIN_MS, lastRestored(this.#deps.volume)).catch(() => null);
  }

  /**
   * Resolves when this no longer needs the files on the volume, and no deep check loads the database until
   * `freezeEnded`; rejects when the signal aborts.
   */
  async waitUntilIdle(signal: AbortSignal): Promise<void> {
    const pausing = this.#content.pause();
    await unlessAborted(this.#running, signal);
    await unlessAborted(pausing, signal);
  }

  async stop(): Promise<void> {
    this.#stop.abort();
    const all = Promise.all([this.#running, this.#asking, this.#content.stop()]);
    await withDeadline(STOP_WITHIN_MS, all).catch(() => undefined);
  }

  async #verify(receipt: Receipt): Promise<void> {
    const options = { deep: false, deepTimeoutMs: 0 };
    const soon = abortedWithin(LOOK_WITHIN_MS, this.#stop.signal);
    const metadata = await metadataOf(this.#deps.volume, receipt.id, soon);
    const answer = await untilAnswered(
      (signal) => this.#deps.engine.verify(receipt, options, signal),
      unverifiable,
      (error) => this.#reportWaiting(receipt.id, notYet(error, receipt, metadata)),
      this.#stop.signal,
    );
    if (!answer) return;
    const differences = await this.differences(receipt, this.#stop.signal);
    const result = { ...answer, differences };
    const checkedAt = now();
    const wrong = result.checks.filter((check) => !check.ok).map((check) => check.message);
    const message = result.verified
      ? 'The running database contains what the receipt promises.'
      : wrong.join(' ');
    const { verified } = result;
    const { level, reason } = judgeRestore(result.checks, false);
    const base = this.#unchecked(receipt.id, message);
    const view = { ...base, level, reason, verified, checkedAt, differences };
    await this.#recordResult(receipt, view, result);
    await this.#conclude(view, result);
    await this.#checkContent(view);
  }

  /** In what the running server differs from the one in whose copy this receipt is; `null`: not known. */
  async differences(receipt: Receipt, signal: AbortSignal): Promise<readonly Difference[] | null> {
    return await findDifferences(this.#deps, receipt.id, signal);
  }

  /** Runs the deep check where it was asked for and has not ended yet: a restart repeats it. */
  async #checkContent(view: RestoreView): Promise<void> {
    const { check, volume } = this.#deps;
    const ended = view.content !== null && view.content.state !== 'pending';
    if (check !== 'content' || ended || view.level !== 'position' || view.id === null) return;
    const receipt = await restoredReceipt(volume, view.id).catch(() => null);
    if (!receipt) {
      const message = `The receipt of ${view.id} is no longer on the volume.`;
      const content = { state: 'unchecked', checkedAt: now(), message } as const;
      return await this.#conclude(withContent(view, content));
    }
    this.#content.start(receipt, async (content) => {
      if (this.#report.view?.id === view.id) await this.#conclude(withContent(view, content));
    });
  }

  #reportWaiting(id: string, problem: string): void {
    const message = `Not verified yet: ${problem}`;
    if (this.#report.latest?.message === message) return;
    this.#report.show(this.#unchecked(id, message));
    this.#deps.logger.warn({ freeze: id, problem }, 'the restored copy is not verified yet');
  }

  async #conclude(view: RestoreView, result?: VerifyResult): Promise<void> {
    await this.#report.conclude(view, result?.checks);
  }

  async #recordResult(receipt: Receipt, view: RestoreView, result: VerifyResult): Promise<void> {
    const { level, reason, mark, verified, checkedAt } = view;
    const judged = { mark, level, ...(reason === undefined ? {} : { reason }) };
    const { checks, differences } = result;
    const facts = { verifiedAt: checkedAt, verified, ...judged, checks, differences };
    const content = { receipt, ...facts };
    try {
      const text = `${JSON.stringify(content, null, 2)}\n`;
      await keepMetadata(this.#deps, receipt.id);
      await this.#deps.volume.write(`${RESTORED_PREFIX}${receipt.id}.json`, text);
      await this.#report.keep(view);
      await this.#deps.volume.clear(receipt.id);
      await this.#leftovers.remove();
    } catch (error) {
      // The receipt stays, so the next start verifies again: late, but never wrong.
      const problem = describeErrno(error);
      this.#deps.logger.warn(
        { freeze: receipt.id, problem },
        'the result could not be written to the volume',
      );
    }
  }
}
