import { setTimeout } from 'node:timers/promises';
import type { Logger } from 'pino';
import type { Engine, Probe } from '../engines/engine.ts';
import { toQuiesceError } from '../errors.ts';

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
 * Looks at the database every ten seconds, every second while it does not answer. A database that
 * cannot be reached makes the sidecar not ready, never dead.
 */
export class Monitor {
  readonly #deps: MonitorDeps;
  readonly #stop = new AbortController();
  #probe: Probe | null = null;
  #problem: string | null = 'The database was not asked yet.';
  #running: Promise<void> = Promise.resolve();

  constructor(deps: MonitorDeps) {
    this.#deps = deps;
  }

  /** The last answer; kept while the database is away, so that status can still name it. */
  get probe(): Probe | null {
    return this.#probe;
  }

  /** Why a freeze would fail now; `null` when nothing is known to stand in its way. */
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
      const signal = AbortSignal.any([this.#stop.signal, AbortSignal.timeout(ANSWER_WITHIN_MS)]);
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
