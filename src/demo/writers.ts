import type { Span } from '../testbed/latency.ts';
import type { DemoLoad } from './database.ts';
import type { WriterSummary } from './report.ts';

/** The moments of a run, on the clock of `performance.now()`. */
export interface Moments {
  /** When the writers were warm and the measurement began. */
  readonly measured: number;
  /** When `quiesce freeze` was called. */
  readonly frozen: number;
  /** When `quiesce thaw` ended. */
  readonly thawed: number;
  readonly snapshot: Span;
  /**
   * The snapshot if the server was stopped for it, otherwise `null`. It is reported separately: that
   * wait comes from how this machine copies, not from the freeze.
   */
  readonly stopped: Span | null;
  /** From the end of the freeze to the call of the thaw, if writers wait that long; otherwise `null`. */
  readonly held: Span | null;
  /** When the measurement ended. */
  readonly ended: number;
}

const COLUMNS = 72;

/** Summarizes the writers' latencies before, during and after the freeze. */
export function summarizeWriters(load: DemoLoad, moments: Moments): WriterSummary {
  const { measured, frozen, thawed, snapshot, stopped, held, ended } = moments;
  const log = load.latencies;
  const share = (moment: number): number => (moment - measured) / (ended - measured);
  return {
    clients: load.clients,
    transactions: load.acknowledged().count,
    before: log.window(measured, frozen),
    frozen: log.window(frozen, thawed, stopped ?? undefined),
    snapshot: stopped && log.touching(stopped),
    held: held && log.touching(held),
    heldWrites: held ? (log.histogram(held.from, held.to, 1)[0] ?? 0) : null,
    after: log.window(thawed, ended),
    timeline: {
      counts: log.histogram(measured, ended, COLUMNS),
      columnMs: (ended - measured) / COLUMNS,
      marks: {
        frozenFrom: share(frozen),
        frozenTo: share(thawed),
        snapshot: share((snapshot.from + snapshot.to) / 2),
      },
    },
  };
}
