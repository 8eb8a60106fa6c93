import type { WalRecord } from './record.ts';
import { type Reach, WrittenPages } from './written-pages.ts';
import { WrittenState } from './written-state.ts';

/**
 * What the checkpoint in pg_control has written: the changes of WAL before its redo position. Recovery
 * as after a crash does not repeat them, so what lacks one was copied before that checkpoint wrote it,
 * and pg_control after. An atomic copy lacks none.
 */
export class Written {
  readonly #reach: Reach;
  readonly pages: WrittenPages;
  readonly state: WrittenState;

  constructor(reach: Reach) {
    this.#reach = reach;
    this.pages = new WrittenPages(reach);
    this.state = new WrittenState(reach.redo, reach.major);
  }

  see(record: WalRecord): void {
    // Recovery begins where the WAL does, and repeats everything.
    if (this.#reach.redo <= this.#reach.from) return;
    this.pages.see(record);
    this.state.see(record);
  }
}
