import { toQuiesceError } from '../../errors.ts';
import type { AbsentPart, CopyMetadata, JsonObject } from '../engine.ts';

/** More rows than this of one kind do not travel: the sidecar has little memory. */
export const MOST_ROWS = 5_000;

/** Reads metadata part by part: one that cannot be read is absent, with the reason, and the rest is there. */
export class Parts {
  readonly absent: AbsentPart[] = [];
  readonly truncated: string[] = [];

  /** @returns `null` where the part is absent */
  async read<T>(part: string, work: () => Promise<T>): Promise<T | null> {
    try {
      return await work();
    } catch (error) {
      this.leaveOut(part, toQuiesceError(error).message);
      return null;
    }
  }

  leaveOut(part: string, reason: string): void {
    this.absent.push({ part, reason });
  }

  /** At most `MOST_ROWS` of the rows. */
  bounded<T>(part: string, rows: readonly T[]): readonly T[] {
    if (rows.length <= MOST_ROWS) return rows;
    this.truncated.push(`${part}: only the first ${MOST_ROWS}`);
    return rows.slice(0, MOST_ROWS);
  }

  /** The parts that were read, without those that are absent. */
  collect(metadata: JsonObject): CopyMetadata {
    const read = Object.entries(metadata).filter(
      ([name, value]) => value !== null || !this.absent.some(({ part }) => part === name),
    );
    const { absent, truncated } = this;
    return { metadata: Object.fromEntries(read), absent, truncated };
  }
}
