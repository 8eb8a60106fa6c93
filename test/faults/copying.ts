import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Receipt } from '../../src/receipt/receipt.ts';
import type { By, CutCopy, HoldName } from './records.ts';
import type { RunLog } from './run-log.ts';
import type { Rig } from './rig.ts';

/** Cuts the copies of a run, and completes them as a backup does. */
export class Copying {
  readonly cut: CutCopy[] = [];
  readonly #rig: Rig;
  readonly #log: RunLog;

  constructor(rig: Rig, log: RunLog) {
    this.#rig = rig;
    this.#log = log;
  }

  /** @param by the caller whose copy it is; `undefined`: of no caller */
  async make(by: By | undefined): Promise<void> {
    const begunAt = this.#log.now;
    try {
      const copy = await this.#rig.cut();
      const endedAt = this.#log.now;
      const carries = await holdIn(copy.path);
      const whose = by === undefined ? '' : ` for ${by}`;
      this.#log.note(
        `${copy.path} cut${whose} (since ${(endedAt - begunAt).toFixed(0)} ms), carries ${carries?.id} of ${carries?.frozenAt}`,
      );
      this.cut.push({ copy, by, begunAt, endedAt, carries });
    } catch (error) {
      // A full volume has no room for a copy either.
      this.#log.note(`no copy: ${(error as Error).message}`);
    }
  }

  /** Makes the part of the copies that a backup makes after the answer to its thaw. */
  async complete(): Promise<void> {
    const { database } = this.#rig;
    if (!database.complete) return;
    for (const cut of this.cut) {
      if (cut.completedAt !== undefined) continue;
      await database.complete(cut.copy).then(
        () => {
          cut.completedAt = this.#log.now;
          this.#log.note(`${cut.copy.path} is complete`);
        },
        (error: unknown) => this.#log.note(`not completed: ${String(error)}`),
      );
    }
  }
}

/** The hold whose receipt a copy carries; `null` for none, or for one torn by a copy that is not atomic. */
async function holdIn(copy: string): Promise<HoldName | null> {
  const text = await readFile(join(copy, '.quiesce/receipt.json'), 'utf8').catch(() => null);
  try {
    if (text === null) return null;
    const { id, frozenAt } = JSON.parse(text) as Receipt;
    return { id, frozenAt };
  } catch {
    return null;
  }
}
