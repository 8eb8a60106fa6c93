import type { Logger } from 'pino';
import type { VerifyCheck } from '../engines/engine.ts';
import { QuiesceError } from '../errors.ts';
import { SerialQueue } from '../lib/serial-queue.ts';
import type { RestoreCheckLevel } from '../receipt/restore-level.ts';
import type { RestoreRecord, RestoreRecords } from './record.ts';
import {
  type Acknowledged,
  logFieldsOf,
  needsAttention,
  now,
  reachesPosition,
  type RestoreView,
  type Settled,
} from './view.ts';

export interface ReportDeps {
  readonly logger: Logger;
  readonly check: RestoreCheckLevel;
  readonly restoreVerified: (level: RestoreCheckLevel, reached: boolean | null) => void;
}

/** Holds what is known about a restore, and reports it alike to status, metric, log and the volume. */
export class RestoreReport {
  readonly #deps: ReportDeps;
  readonly #records: RestoreRecords;
  /** One write at a time: a judgement that is kept late must not undo an acknowledgement. */
  readonly #writing = new SerialQueue();
  #latest: RestoreView | null = null;
  #known: RestoreRecord | null = null;

  constructor(deps: ReportDeps, records: RestoreRecords) {
    this.#deps = deps;
    this.#records = records;
  }

  /** What earlier runs of the sidecar found out about the present data. */
  get known(): RestoreRecord | null {
    return this.#known;
  }

  /** The latest judgement, settled or not. */
  get latest(): RestoreView | null {
    return this.#latest;
  }

  get view(): RestoreView | null {
    return this.#latest === null || this.#settles(this.#latest) ? null : this.#latest;
  }

  get acknowledged(): Acknowledged | null {
    const { view, settled } = this.#known ?? {};
    if (!view || settled?.how !== 'acknowledged') return null;
    const { id, mark, level, reason, message } = view;
    const { by, at } = settled;
    return { id, mark, level, ...(reason === undefined ? {} : { reason }), message, by, at };
  }

  load(record: RestoreRecord | null): void {
    this.#known = record;
  }

  /** Shows a view that may still change, and keeps nothing. */
  show(view: RestoreView): void {
    this.#latest = view;
    this.#export();
  }

  /** Writes a view to the volume and the state directory, unless the same one was settled. */
  async keep(view: RestoreView): Promise<void> {
    await this.#writing.run(async () => {
      if (this.#settles(view)) return;
      this.#known = { view, settled: null };
      const problem = await this.#records.write(this.#known);
      if (problem === null) return;
      this.#deps.logger.warn({ problem }, 'what is known about the restore could not be kept');
    });
  }

  /** Shows, keeps and logs a judgement. */
  async conclude(view: RestoreView, checks?: readonly VerifyCheck[]): Promise<void> {
    await this.keep(view);
    this.show(view);
    const facts = { ...logFieldsOf(view), checks };
    if (view.verified) this.#deps.logger.info(facts, 'the restored copy is verified');
    else if (view.level === 'unproven')
      this.#deps.logger.warn(facts, 'the restored copy is NOT proven');
    else this.#deps.logger.error(facts, 'the restored copy is NOT verified');
  }

  /** @throws QuiesceError NOTHING_TO_ACKNOWLEDGE, JOURNAL_FAILED */
  async acknowledge(by: string): Promise<Acknowledged> {
    const { view } = this;
    if (view !== null && needsAttention(view)) {
      await this.#settle(view, { how: 'acknowledged', by, at: now() });
    }
    const done = this.acknowledged;
    if (done !== null && this.view === null) return done;
    throw new QuiesceError(
      'NOTHING_TO_ACKNOWLEDGE',
      view === null
        ? 'There is no restore to acknowledge: none is known, or a consistent freeze has proven the data since.'
        : `The restore has the level ${view.level}: there is nothing to acknowledge.`,
    );
  }

  /** A consistent freeze has proven the present data. It says nothing about damage that a deep check found. */
  async settleByFreeze(): Promise<void> {
    const { view } = this;
    if (view === null || reachesPosition(view)) return;
    await this.#settle(view, { how: 'freeze', by: 'a consistent freeze', at: now() });
  }

  async #settle(view: RestoreView, settled: Settled): Promise<void> {
    await this.#writing.run(async () => {
      const record = { view, settled };
      const problem = await this.#records.write(record);
      if (problem !== null && settled.how === 'acknowledged') {
        const message = `The acknowledgement could not be kept: ${problem}.`;
        throw new QuiesceError('JOURNAL_FAILED', message);
      }
      this.#known = record;
    });
    this.#export();
    const facts = { ...logFieldsOf(view), ...settled };
    this.#deps.logger.warn(facts, 'the report of this restore was ended');
  }

  /** Whether the report of this judgement was ended. A worse one, or one of other data, is reported again. */
  #settles(view: RestoreView): boolean {
    if (!this.#known?.settled) return false;
    const key = ({ id, mark, level, reason, content }: RestoreView): string =>
      JSON.stringify([id, mark, level, reason ?? null, content?.state ?? null]);
    return key(this.#known.view) === key(view);
  }

  #export(): void {
    const { view } = this;
    const { check, restoreVerified } = this.#deps;
    restoreVerified('position', view === null ? null : reachesPosition(view));
    if (check === 'content') {
      restoreVerified('content', view === null ? null : view.level === 'content');
    }
  }
}
