import { Counter, Gauge, Histogram, Registry } from 'prom-client';
import { VERSION } from '../../version.ts';
import { declareGroups, type GroupStates } from './group-metrics.ts';
import type { SeriesLabels } from './labels.ts';
import type { SnapshotCounts } from './snapshots.ts';

/** The kinds that the exporter reads. */
const READ_KINDS = ['volumesnapshots', 'configmaps'] as const;
export type ReadKind = (typeof READ_KINDS)[number];

export interface ExporterMetrics {
  readonly snapshots: SnapshotCounts;
  /** When a kind was last read with success everywhere; `undefined`: not yet. */
  lastRead(kind: ReadKind, at: Date): void;
  readError(kind: ReadKind): void;
  /** The namespaces that have series of snapshots. */
  namespaces(): readonly string[];
  /** Removes the series of a namespace. */
  forget(namespace: string): void;
  /** The Prometheus exposition text. */
  text(): Promise<string>;
}

const LABELS = ['namespace', 'group', 'driver'] as const;
/** From a snapshot on local storage to the first one of a large volume in a cloud. */
const BUCKETS = [1, 5, 15, 60, 300, 900, 3_600, 14_400];

/** Counters start at zero with the process; the series of groups are read from `groups` at each scrape. */
export function createExporterMetrics(groups: GroupStates): ExporterMetrics {
  const registry = new Registry();
  const registers = [registry];
  const counted = declareSnapshots(registers);
  const reading = declareReading(registers);
  for (const resource of READ_KINDS) reading.errors.inc({ resource }, 0);
  declareGroups(registers, groups);
  const known = new Map<string, SeriesLabels>();
  return {
    snapshots: {
      known(labels) {
        const key = `${labels.namespace}\n${labels.group}\n${labels.driver}`;
        if (known.has(key)) return;
        known.set(key, labels);
        counted.attempts.inc({ ...labels }, 0);
        counted.failed.inc({ ...labels }, 0);
      },
      attempted: (labels) => counted.attempts.inc({ ...labels }),
      failed: (labels) => counted.failed.inc({ ...labels }),
      ready: (labels, seconds) => counted.ready.observe({ ...labels }, seconds),
    },
    lastRead: (resource, when) => reading.last.set({ resource }, when.getTime() / 1_000),
    readError: (resource) => reading.errors.inc({ resource }),
    namespaces: () => [...known.values()].map(({ namespace }) => namespace),
    forget(namespace) {
      for (const [key, labels] of known) {
        if (labels.namespace !== namespace) continue;
        known.delete(key);
        for (const one of Object.values(counted)) one.remove({ ...labels });
      }
    },
    text: () => registry.metrics(),
  };
}

function declareSnapshots(registers: Registry[]) {
  const own = { labelNames: LABELS, registers };
  return {
    attempts: new Counter({
      name: 'volume_snapshot_attempts_total',
      help: 'Volume snapshots created since the exporter started',
      ...own,
    }),
    failed: new Counter({
      name: 'volume_snapshot_failed_total',
      help: 'Volume snapshots that failed, or were deleted before they were ready',
      ...own,
    }),
    ready: new Histogram({
      name: 'volume_snapshot_ready_seconds',
      help: 'From the creation of a volume snapshot until it was ready to use',
      buckets: BUCKETS,
      ...own,
    }),
  };
}

function declareReading(registers: Registry[]) {
  return {
    last: new Gauge({
      name: 'quiesce_exporter_last_read_timestamp_seconds',
      help: 'When the exporter last read this resource with success, in every namespace it reads',
      labelNames: ['resource'],
      registers,
    }),
    errors: new Counter({
      name: 'quiesce_exporter_read_errors_total',
      help: 'Failed attempts to read this resource',
      labelNames: ['resource'],
      registers,
    }),
    info: buildInfo(registers),
  };
}

function buildInfo(registers: Registry[]): Gauge {
  const info = new Gauge({
    name: 'quiesce_exporter_build_info',
    help: 'The version of quiesce',
    labelNames: ['version'],
    registers,
  });
  info.set({ version: VERSION }, 1);
  return info;
}
