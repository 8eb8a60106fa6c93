import type { Logger } from '../../logger.ts';
import type { Sink } from '../api/follow.ts';
import { labelsOf, textAt } from '../objects/kube-object.ts';
import { RUN_LABELS } from '../run/names.ts';
import type { RecordView, RunLedger } from './runs.ts';
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

/** What a ledger makes of the records of its kind; `undefined` of a record: it counts for nothing. */
export interface Reports {
  readonly see: (object: unknown) => RecordView | undefined;
  readonly ledger: Pick<RunLedger<RecordView>, 'listing' | 'listedAll' | 'gone'>;
}

/** The ledger of a kind of reports, with its reader. */
export function reportsInto<V extends RecordView>(
  ledger: RunLedger<V>,
  read: (object: unknown) => V | undefined,
): Reports {
  const see = (object: unknown): V | undefined => {
    const view = read(object);
    if (view !== undefined) ledger.see(view);
    return view;
  };
  return { see, ledger };
}

/** ConfigMaps with reports into the ledgers of their kinds, by the label `quiesce.dev/report`. */
export function reportSink(kinds: ReadonlyMap<string, Reports>, logger: Logger): Sink {
  const all = [...kinds.values()];
  const goneFrom = (reports: readonly Reports[], object: unknown): void => {
    const uid = textAt(object, 'metadata', 'uid') ?? '';
    for (const { ledger } of reports) ledger.gone(uid);
  };
  const see = (object: unknown): void => {
    const own = kinds.get(labelsOf(object ?? {})[RUN_LABELS.report] ?? '');
    const view = own?.see(object);
    goneFrom(view === undefined ? all : all.filter((one) => one !== own), object);
    if (view?.unreadable === undefined) return;
    const name = textAt(object, 'metadata', 'name');
    const { namespace, unreadable: reason } = view;
    logger.warn({ namespace, name, reason }, 'a report cannot be read, and counts as failed');
  };
  return {
    listing: () => all.forEach(({ ledger }) => ledger.listing()),
    listed: see,
    listedAll: () => all.forEach(({ ledger }) => ledger.listedAll()),
    changed: see,
    gone: (object) => goneFrom(all, object),
  };
}
