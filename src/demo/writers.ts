import type { Span } from './latency.ts';
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
  readonly copied: Span;
  readonly ended: number;
}

const COLUMNS = 72;

/**
 * The writers' latencies before, during and after.
 *
 * @param stopped the server stood still for the copy: that span is told apart, since it comes from
 *   how this machine copies and not from the freeze.
 */
export function tellWriters(load: DemoLoad, moments: Moments, stopped: boolean): WriterStory {
  const { measured, frozen, thawed, copied, ended } = moments;
  const log = load.latencies;
  const share = (moment: number): number => (moment - measured) / (ended - measured);
  return {
    clients: load.clients,
    transactions: load.acknowledged().count,
    before: log.window(measured, frozen),
    frozen: log.window(frozen, thawed, stopped ? copied : undefined),
    snapshot: stopped ? log.touching(copied) : null,
    after: log.window(thawed, ended),
    timeline: {
      counts: log.histogram(measured, ended, COLUMNS),
      columnMs: (ended - measured) / COLUMNS,
      marks: {
        frozenFrom: share(frozen),
        frozenTo: share(thawed),
        snapshot: share((copied.from + copied.to) / 2),
      },
    },
  };
}
