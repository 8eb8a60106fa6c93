import type { Logger } from 'pino';
import { DEEP_TIMEOUT_MS } from '../defaults.ts';
import type { Engine } from '../engines/engine.ts';
import { toQuiesceError } from '../errors.ts';
import { abortedWithin } from '../lib/deadline.ts';
import { judgeRestore } from '../receipt/restore-level.ts';
import type { Receipt } from '../receipt/receipt.ts';
import { type ContentView, now } from './view.ts';
import { beforeNextTry } from './ask.ts';

const ANSWER_WITHIN_MS = 30_000;
/** What a verification may take in addition to its deep check. */
const AROUND_MS = 60_000;
/** A server may stop during a check by chance, but not twice. */
const FAILURES_THAT_COUNT = 2;

/**
 * Runs the engine's deep check of a restored database in the background. It gives way to a freeze, and
 * starts again after it: a check could hold locks that the freeze needs, and both would load the database.
 */
export class ContentCheck {
  readonly #engine: Engine;
  readonly #logger: Logger;
  readonly #stop = new AbortController();
  /** Aborted while a freeze is open. */
  #turn = new AbortController();
  #resume: () => void = () => undefined;
  #paused: Promise<void> | undefined;
  #looking: Promise<unknown> = Promise.resolve();
  #running: Promise<void> = Promise.resolve();

  constructor(engine: Engine, logger: Logger) {
    this.#engine = engine;
    this.#logger = logger;
  }

  start(receipt: Receipt, report: (content: ContentView) => Promise<void>): void {
    this.#running = this.#run(receipt, report);
  }

  /** Ends a check that runs; the next one waits for `resume`. Resolves once the database is free. */
  async pause(): Promise<void> {
    this.#paused ??= new Promise((resolve) => {
      this.#resume = resolve;
    });
    this.#turn.abort(new Error('a freeze has begun'));
    await this.#looking.catch(() => undefined);
  }

  resume(): void {
    this.#paused = undefined;
    this.#resume();
  }

  async stop(): Promise<void> {
    this.#stop.abort();
    this.resume();
    this.#turn.abort();
    await this.#running;
  }

  async #run(receipt: Receipt, report: (content: ContentView) => Promise<void>): Promise<void> {
    const stop = this.#stop.signal;
    for (let failures = 0; !stop.aborted;) {
      await this.#paused;
      if (stop.aborted) return;
      this.#turn = new AbortController();
      const looking = this.#look(receipt, AbortSignal.any([stop, this.#turn.signal]));
      this.#looking = looking;
      const found = await looking;
      if (this.#turn.signal.aborted) continue;
      if (found?.state === 'failed') failures += 1;
      if (found && (found.state !== 'failed' || failures >= FAILURES_THAT_COUNT)) {
        return await report(found);
      }
      await beforeNextTry(stop);
    }
  }

  /** `undefined`: the server does not answer, or it is not this check's turn any more. */
  async #look(receipt: Receipt, turn: AbortSignal): Promise<ContentView | undefined> {
    const within = (ms: number): AbortSignal => abortedWithin(ms, turn);
    try {
      await this.#engine.probe(within(ANSWER_WITHIN_MS));
    } catch {
      return undefined;
    }
    const options = { deep: true, deepTimeoutMs: DEEP_TIMEOUT_MS };
    try {
      const signal = within(DEEP_TIMEOUT_MS + AROUND_MS);
      const { checks } = await this.#engine.verify(receipt, options, signal);
      const state = judgeRestore(checks, true).content ?? 'unchecked';
      const messages = checks.filter(({ deep, ok }) => deep && (!ok || state === 'passed'));
      const message = messages.map((check) => check.message).join(' ');
      return { state, checkedAt: now(), message: message || 'This engine has no deep check.' };
    } catch (error) {
      if (turn.aborted) return undefined;
      const { message } = toQuiesceError(error);
      this.#logger.warn({ problem: message }, 'the deep check of the restored copy failed');
      const what = `The database failed while it was checked: ${message}`;
      return { state: 'failed', checkedAt: now(), message: what };
    }
  }
}
