import { LIMITS } from './limits.ts';

/**
 * The calls to the volume that may run at the same time. They belong to the engine, not to one freeze: a
 * call that hangs keeps its lane over the end of its freeze, so freezes one after the other on a volume
 * that hangs keep no more threads than one.
 */
export class Lanes {
  #free: number;
  /** The files whose fsync has not returned. */
  readonly #busy = new Set<string>();

  constructor(lanes = LIMITS.lanes) {
    this.#free = lanes;
  }

  get free(): number {
    return this.#free;
  }

  /** Whether an fsync of this file has not returned yet. */
  isBusy(path: string): boolean {
    return this.#busy.has(path);
  }

  get busy(): readonly string[] {
    return [...this.#busy];
  }

  /** Runs `work` in a lane that is free. The lane is taken until the work has ended. */
  async run(work: () => Promise<void>): Promise<void> {
    this.#free -= 1;
    try {
      await work();
    } finally {
      this.#free += 1;
    }
  }

  /** Runs the fsync of one file, within a lane. */
  async on<T>(path: string, work: () => Promise<T>): Promise<T> {
    this.#busy.add(path);
    try {
      return await work();
    } finally {
      this.#busy.delete(path);
    }
  }
}
