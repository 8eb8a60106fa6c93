import { setTimeout as sleep } from 'node:timers/promises';
import type { Acknowledgement } from '../../../src/testbed/latency.ts';
import type { Load } from './app.ts';
import { LedgerFile, type LedgerHeader } from './ledger.ts';

const STOP_WITHIN_MS = 10_000;

/** One of the loads of the testbed, as far as a story needs it. */
export interface Writers {
  start(): Promise<void>;
  total(): number;
  trouble(): readonly string[];
  stop(withinMs: number): Promise<void>;
}

/** Starts writers whose acknowledgements go to a ledger. */
export async function startWriters(
  path: string,
  header: LedgerHeader,
  make: (onAcknowledged: (one: Acknowledgement) => void) => Promise<Writers>,
): Promise<Load> {
  const file = await LedgerFile.open(path, header);
  try {
    const writers = await make(file.acknowledged);
    await writers.start();
    return new RunningLoad(writers, file);
  } catch (error) {
    await file.close([]);
    throw error;
  }
}

class RunningLoad implements Load {
  readonly #writers: Writers;
  readonly #file: LedgerFile;
  #stopped: Promise<void> | undefined;

  constructor(writers: Writers, file: LedgerFile) {
    this.#writers = writers;
    this.#file = file;
  }

  get total(): number {
    return this.#writers.total();
  }

  get trouble(): readonly string[] {
    return this.#writers.trouble();
  }

  async progress(count: number, withinMs = 60_000): Promise<void> {
    const goal = this.total + count;
    const deadline = performance.now() + withinMs;
    while (this.total < goal) {
      if (performance.now() > deadline) {
        const last = this.trouble.at(-1) ?? 'no error';
        throw new Error(`${goal - this.total} of ${count} writes are not acknowledged: ${last}`);
      }
      await sleep(20);
    }
  }

  stop(): Promise<void> {
    this.#stopped ??= (async () => {
      await this.#writers.stop(STOP_WITHIN_MS);
      await this.#file.close(this.trouble);
    })();
    return this.#stopped;
  }
}

/** Resolves when the promise does, or when the time is over. */
export async function within(promise: Promise<unknown>, ms: number): Promise<void> {
  await Promise.race([promise, sleep(ms, undefined, { ref: false })]);
}
