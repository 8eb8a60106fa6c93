import type { Logger } from '../../logger.ts';
import type { Sink } from '../api/follow.ts';
import { textAt } from '../inventory/catalog.ts';
import { type RunLedger, runOf } from './runs.ts';
import type { SnapshotLedger } from './snapshots.ts';
import { viewOf } from './snapshot-view.ts';

/** VolumeSnapshots into their ledger. */
export function snapshotSink(ledger: SnapshotLedger, logger: Logger): Sink {
  let listed = false;
  const see = (object: unknown, how: 'first-list' | 'list' | 'watch'): void => {
    const view = viewOf(object);
    if (view !== undefined) ledger.see(view, performance.now(), how);
  };
  return {
    listing: () => ledger.listing(),
    listed: (object) => see(object, listed ? 'list' : 'first-list'),
    listedAll() {
      const unseen = ledger.listedAll(performance.now());
      if (unseen > 0) {
        logger.warn({ snapshots: unseen }, 'snapshots ended while the watch was interrupted');
      }
      logger.info({ snapshots: ledger.size }, 'VolumeSnapshots are listed');
      listed = true;
    },
    changed: (object) => see(object, 'watch'),
    gone(object) {
      const view = viewOf(object);
      if (view !== undefined) ledger.gone(view, performance.now());
    },
  };
}

/** ConfigMaps with reports into the ledger of runs. */
export function runSink(ledger: RunLedger, logger: Logger): Sink {
  const see = (object: unknown): void => {
    const run = runOf(object);
    const uid = textAt(object, 'metadata', 'uid') ?? '';
    if (run === undefined) return ledger.gone(uid);
    if (run.unreadable !== undefined) {
      const name = textAt(object, 'metadata', 'name');
      const { namespace, unreadable: reason } = run;
      logger.warn({ namespace, name, reason }, 'a report cannot be read, and counts as failed');
    }
    ledger.see(run);
  };
  return {
    listing: () => ledger.listing(),
    listed: see,
    listedAll: () => ledger.listedAll(),
    changed: see,
    gone: (object) => ledger.gone(textAt(object, 'metadata', 'uid') ?? ''),
  };
}
