import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Receipt } from '../../src/receipt/receipt.ts';
import type { By, CutCopy, HoldName } from './records.ts';
import type { Story } from './story.ts';
import type { World } from './world.ts';

/** Cuts the copies of a run, and completes them as a backup does. */
export class Copying {
  readonly cut: CutCopy[] = [];
  readonly #world: World;
  readonly #story: Story;

  constructor(world: World, story: Story) {
    this.#world = world;
    this.#story = story;
  }

  /** @param by whose copy it is; `undefined`: nobody's. */
  async make(by: By | undefined): Promise<void> {
    const begunAt = this.#story.now;
    try {
      const copy = await this.#world.cut();
      const endedAt = this.#story.now;
      const carries = await holdIn(copy.path);
      const whose = by === undefined ? '' : ` for ${by}`;
      this.#story.tell(
        `${copy.path} cut${whose} (since ${(endedAt - begunAt).toFixed(0)} ms), carries ${carries?.id} of ${carries?.frozenAt}`,
      );
      this.cut.push({ copy, by, begunAt, endedAt, carries });
    } catch (error) {
      // A full volume has no room for a copy either.
      this.#story.tell(`no copy: ${(error as Error).message}`);
    }
  }

  /** What a backup still copies once its thaw has been answered. */
  async complete(): Promise<void> {
    const { database } = this.#world;
    if (!database.complete) return;
    for (const cut of this.cut) {
      if (cut.completedAt !== undefined) continue;
      await database.complete(cut.copy).then(
        () => {
          cut.completedAt = this.#story.now;
          this.#story.tell(`${cut.copy.path} is complete`);
        },
        (error: unknown) => this.#story.tell(`not completed: ${String(error)}`),
      );
    }
  }
}

/** Whose receipt a copy carries; torn by a copy that was not atomic, it is nobody's. */
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
