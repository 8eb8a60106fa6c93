import { setTimeout } from 'node:timers/promises';
import type { Logger } from 'pino';
import type { Engine, Probe } from '../engines/engine.ts';
import { toQuiesceError } from '../errors.ts';
import { abortedWithin } from '../lib/deadline.ts';

const LOOK_EVERY_MS = 10_000;
const LOOK_AGAIN_AFTER_MS = 1_000;
const ANSWER_WITHIN_MS = 5_000;

export interface MonitorDeps {
  readonly engine: Engine;
  /** Rejects where another sidecar uses the volume. */
  readonly volumeOurs: () => Promise<void>;
  /** Rejects where a freeze could not be journaled. */
  readonly journalWritable: () => Promise<void>;
  readonly logger: Logger;
}

/**
 * Checks whether a freeze could succeed: every ten seconds, and every second while it could not. An
 * unreachable database makes the sidecar not ready; it never fails the liveness probe.
 */
export class Monitor {
  readonly #deps: MonitorDeps;
  readonly #stop = new AbortController();
  #probe: Probe | null = null;
  #problem: string | null = 'The database has not been checked yet.';
  #running: Promise<void> = Promise.resolve();

  constructor(deps: MonitorDeps) {
    this.#deps = deps;
  }

  /** The last answer of the database, kept while it is unreachable so that the status can still report it. */
  get probe(): Probe | null {
    return this.#probe;
  }

  /** Why a freeze would fail now; `null`: no obstacle is known. */
  get problem(): string | null {
    return this.#problem;
  }

  start(): void {
    this.#running = this.#run();
  }

  async stop(): Promise<void> {
    this.#stop.abort();
    await this.#running;
  }

  async #run(): Promise<void> {
    while (!this.#stop.signal.aborted) {
      await this.#look();
      await this.#sleep(this.#problem === null ? LOOK_EVERY_MS : LOOK_AGAIN_AFTER_MS);
    }
  }

  async #look(): Promise<void> {
    const before = this.#problem;
    try {
      const signal = abortedWithin(ANSWER_WITHIN_MS, this.#stop.signal);
      await this.#deps.volumeOurs();
      this.#probe = await this.#deps.engine.probe(signal);
      await this.#deps.journalWritable();
      this.#problem = null;
    } catch (error) {
      if (this.#stop.signal.aborted) return;
      const known = toQuiesceError(error);
      this.#problem = `${known.code}: ${known.message}`;
    }
    if (before === this.#problem) return;
    if (this.#problem === null) this.#deps.logger.info({ server: this.#probe }, 'ready');
    else this.#deps.logger.warn({ problem: this.#problem }, 'not ready');
  }

  async #sleep(ms: number): Promise<void> {
    await setTimeout(ms, undefined, { signal: this.#stop.signal }).catch(() => undefined);
  }
}
