import type { Logger } from 'pino';
import type { Difference, Engine, VerifyResult } from '../engines/engine.ts';
import { toQuiesceError } from '../errors.ts';
import { describeErrno } from '../lib/durable-files.ts';
import { unlessAborted, withDeadline } from '../lib/deadline.ts';
import type { Receipt } from '../receipt/receipt.ts';
import { RESTORED_PREFIX, type ReceiptVolume } from '../receipt/volume.ts';
import { keepRestoredMetadata } from '../receipt/volume-metadata.ts';
import { findDifferences, metadataOf } from './differences.ts';
import { notYet } from './not-yet.ts';

const TRY_AGAIN_AFTER_MS = 1_000;
const ANSWER_WITHIN_MS = 30_000;
const LOOK_WITHIN_MS = 2_000;
/** A hanging volume must not delay the stop for longer. */
const STOP_WITHIN_MS = 5_000;

export interface RestoreView {
  readonly id: string;
  readonly verified: boolean | null;
  readonly checkedAt: string | null;
  readonly message: string;
  /** In what the server differs from the one that was copied; `null`: not known. */
  readonly differences?: readonly Difference[] | null;
}

export interface RestoreCheckDeps {
  readonly engine: Engine;
  readonly volume: ReceiptVolume;
  readonly logger: Logger;
  readonly restoreVerified: (ok: boolean) => void;
}

/**
 * Verifies a restored copy. A volume whose receipt is not of this sidecar's open freeze is a copy (or its
 * pod moved while frozen). As soon as the server answers, it is verified against that receipt. The result
 * goes to the log, the status and the metric, and `restored-ID.json` replaces the receipt on the volume.
 */
export class RestoreCheck {
  readonly #deps: RestoreCheckDeps;
  readonly #stop = new AbortController();
  #view: RestoreView | null = null;
  #running: Promise<void> = Promise.resolve();

  constructor(deps: RestoreCheckDeps) {
    this.#deps = deps;
  }

  /** `null` where the volume had no receipt at start. */
  get view(): RestoreView | null {
    return this.#view;
  }

  /**
   * Reads the receipt from the volume, then verifies in the background. Waits two seconds at most for a
   * volume that hangs: the recovery of an open freeze must not wait for it.
   *
   * @param openId the freeze that is open in this sidecar's journal: its receipt is not of a restore.
   * @param leftBehind freezes that ended here and whose receipt could not be removed from the volume.
   */
  async start(openId: string | null, leftBehind: readonly string[] = []): Promise<void> {
    const looking = this.#deps.volume.receipt();
    this.#running = looking.then((receipt) => this.#handleReceipt(receipt, openId, leftBehind));
    await withDeadline(LOOK_WITHIN_MS, looking).catch((error: unknown) => {
      this.#deps.logger.warn({ err: error }, 'the volume does not answer');
    });
  }

  async #handleReceipt(
    receipt: Receipt | 'unreadable' | null,
    openId: string | null,
    leftBehind: readonly string[],
  ): Promise<void> {
    if (this.#stop.signal.aborted) return;
    if (receipt === null) {
      // No freeze is open and no copy needs verification: anything left here has no owner.
      if (openId === null) await this.#removeLeftovers();
      return;
    }
    if (receipt === 'unreadable') {
      const message = 'The receipt on the volume cannot be read, so nothing can be verified.';
      this.#report({ id: 'unreadable', verified: false, checkedAt: now(), message });
      return;
    }
    if (receipt.id === openId) return;
    if (leftBehind.includes(receipt.id)) {
      await this.#remove(receipt.id);
      return;
    }
    const message = 'This is a restored copy. It is verified as soon as the server answers.';
    this.#view = { id: receipt.id, verified: null, checkedAt: null, message };
    await this.#verify(receipt);
  }

  /**
   * The receipt of the copy from which this volume was last restored, read from its verification result;
   * `null` if there is none or the volume does not answer.
   */
  async lastRestored(): Promise<Receipt | null> {
    return await withDeadline(LOOK_WITHIN_MS, this.#deps.volume.lastRestored()).catch(() => null);
  }

  /** Resolves when this no longer needs the files on the volume; rejects when the signal aborts. */
  async waitUntilIdle(signal: AbortSignal): Promise<void> {
    await unlessAborted(this.#running, signal);
  }

  async stop(): Promise<void> {
    this.#stop.abort();
    await withDeadline(STOP_WITHIN_MS, this.#running).catch(() => undefined);
  }

  async #verify(receipt: Receipt): Promise<void> {
    const answer = await this.#askUntilAnswered(receipt);
    if (!answer) return;
    const differences = await this.differences(receipt, this.#stop.signal);
    const result = { ...answer, differences };
    const checkedAt = now();
    const wrong = result.checks.filter((check) => !check.ok).map((check) => check.message);
    const message = result.verified
      ? 'The running database contains what the receipt promises.'
      : wrong.join(' ');
    await this.#recordResult(receipt, checkedAt, result);
    const { verified } = result;
    this.#report({ id: receipt.id, verified, checkedAt, message, differences }, result);
  }

  /** In what the running server differs from the one in whose copy this receipt is; `null`: not known. */
  async differences(receipt: Receipt, signal: AbortSignal): Promise<readonly Difference[] | null> {
    return await findDifferences(this.#deps, receipt.id, signal);
  }

  async #askUntilAnswered(receipt: Receipt): Promise<VerifyResult | undefined> {
    const stop = this.#stop.signal;
    while (!stop.aborted) {
      const signal = AbortSignal.any([stop, AbortSignal.timeout(ANSWER_WITHIN_MS)]);
      try {
        const options = { deep: false, deepTimeoutMs: 0 };
        return await this.#deps.engine.verify(receipt, options, signal);
      } catch (error) {
        const known = toQuiesceError(error);
        // The engine refused the receipt itself, so a retry would fail as well.
        if (!known.code.startsWith('ENGINE_')) return unverifiable(known.message);
        const metadata = await metadataOf(this.#deps.volume, receipt.id, signal);
        this.#reportWaiting(receipt.id, notYet(known, receipt, metadata));
      }
      await new Promise((resolve) => setTimeout(resolve, TRY_AGAIN_AFTER_MS));
    }
    return undefined;
  }

  async #remove(id: string): Promise<void> {
    const problem = await this.#deps.volume.clear(id);
    this.#deps.logger.warn({ freeze: id, problem }, 'the receipt of an ended freeze was left here');
    await this.#removeLeftovers();
  }

  /** Lets the engine remove what a freeze left if its journal was lost with its pod. */
  async #removeLeftovers(): Promise<void> {
    try {
      await this.#deps.engine.recover(null, this.#stop.signal);
    } catch (error) {
      this.#deps.logger.warn(
        { err: error },
        'the remains of an earlier freeze could not be removed',
      );
    }
  }

  #reportWaiting(id: string, problem: string): void {
    const message = `Not verified yet: ${problem}`;
    if (this.#view?.message === message) return;
    this.#view = { id, verified: null, checkedAt: null, message };
    this.#deps.logger.warn({ freeze: id, problem }, 'the restored copy is not verified yet');
  }

  #report(view: RestoreView, result?: VerifyResult): void {
    this.#view = view;
    this.#deps.restoreVerified(view.verified === true);
    const { differences } = view;
    const facts = { freeze: view.id, checks: result?.checks, differences, problem: view.message };
    if (view.verified) this.#deps.logger.info(facts, 'the restored copy is verified');
    else this.#deps.logger.error(facts, 'the restored copy is NOT verified');
  }

  /** It is for people, and the volume may be full: the result is written without it. */
  async #keepMetadata(receipt: Receipt): Promise<void> {
    try {
      await keepRestoredMetadata(this.#deps.volume, receipt.id);
    } catch (error) {
      const problem = describeErrno(error);
      this.#deps.logger.warn(
        { freeze: receipt.id, problem },
        'the metadata of the copy could not be kept',
      );
    }
  }

  async #recordResult(receipt: Receipt, verifiedAt: string, result: VerifyResult): Promise<void> {
    const { verified, checks, differences } = result;
    const content = { receipt, verifiedAt, verified, checks, differences };
    try {
      const text = `${JSON.stringify(content, null, 2)}\n`;
      await this.#keepMetadata(receipt);
      await this.#deps.volume.write(`${RESTORED_PREFIX}${receipt.id}.json`, text);
      await this.#deps.volume.clear(receipt.id);
      await this.#removeLeftovers();
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

function unverifiable(message: string): VerifyResult {
  return { verified: false, checks: [{ name: 'receipt', ok: false, message }] };
}

function now(): string {
  return new Date().toISOString();
}
