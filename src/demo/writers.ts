import type { Span } from '../testbed/latency.ts';
import type { DemoLoad } from './database.ts';
import type { WriterStory } from './report.ts';

/** When things happened, on the clock of `performance.now()`. */
export interface Moments {
  /** The writers were warm. */
  readonly measured: number;
  /** `quiesce freeze` was called. */
  readonly frozen: number;
  /** `quiesce thaw` had ended. */
  readonly thawed: number;
  /** The snapshot. */
  readonly span: Span;
  /**
   * The same, where the server stood still for it: that is told apart, since it comes from how this
   * machine copies and not from the freeze.
   */
  readonly copied: Span | null;
  /** From the end of the freeze to the call of the thaw, where writers wait for that long. */
  readonly held: Span | null;
  readonly ended: number;
}

const COLUMNS = 72;

/** The writers' latencies before, during and after. */
export function tellWriters(load: DemoLoad, moments: Moments): WriterStory {
  const { measured, frozen, thawed, span, copied, held, ended } = moments;
  const log = load.latencies;
  const share = (moment: number): number => (moment - measured) / (ended - measured);
  return {
    clients: load.clients,
    transactions: load.acknowledged().count,
    before: log.window(measured, frozen),
    frozen: log.window(frozen, thawed, copied ?? undefined),
    snapshot: copied && log.touching(copied),
    held: held && log.touching(held),
    heldWrites: held ? (log.histogram(held.from, held.to, 1)[0] ?? 0) : null,
    after: log.window(thawed, ended),
    timeline: {
      counts: log.histogram(measured, ended, COLUMNS),
      columnMs: (ended - measured) / COLUMNS,
      marks: {
        frozenFrom: share(frozen),
        frozenTo: share(thawed),
        snapshot: share((span.from + span.to) / 2),
      },
    },
  };
}
