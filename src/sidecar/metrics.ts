import { Counter, Gauge, Histogram, Registry } from 'prom-client';
import type { RestoreCheckLevel } from '../receipt/restore-level.ts';
import { VERSION } from '../version.ts';

export type HookName = 'freeze' | 'thaw';

/** The metrics of the sidecar. A series is exported once its event has happened. */
export interface Metrics {
  /** A freeze or thaw request ended; `result` is `success`, `abandoned` or an error code in lower case. */
  hookRun(hook: HookName, result: string, seconds: number): void;
  /** A freeze ended; `ok`: its verdict is consistent. */
  consistency(ok: boolean): void;
  /** The time at which the hold was in place; `null` once it is released. */
  frozen(since: Date | null): void;
  /** A lease expired. */
  autoThaw(): void;
  /** A freeze ended with the verdict `consistent`. */
  lastSuccess(at: Date): void;
  /** A hold is in place, and its receipt has so many entries in `unsynced`. */
  unsynced(entries: number): void;
  /** Whether a restored database has reached this level; `null`: no restore is reported. */
  restoreVerified(level: RestoreCheckLevel, reached: boolean | null): void;
  /** A freeze waited for so long until a replica had caught up. */
  replicaWait(seconds: number): void;
  /** The Prometheus exposition text. */
  text(): Promise<string>;
}

const PREFIX = 'stateful_backup';

/** Creates the metrics of one sidecar in their own registry. Every series has the labels `app` and `engine`. */
export function createMetrics(labels: { readonly app: string; readonly engine: string }): Metrics {
  const registry = new Registry();
  const own = { app: labels.app, engine: labels.engine };
  const series = declare([registry]);
  series.buildInfo.set({ ...own, version: VERSION }, 1);
  series.frozen.set(own, 0);
  series.autoThaw.inc(own, 0);
  collectProcess([registry]);
  return {
    hookRun(hook, result, seconds) {
      series.lastDuration.set({ ...own, hook }, seconds);
      series.duration.observe({ ...own, hook }, seconds);
      series.runs.inc({ ...own, hook, result });
    },
    consistency: (ok) => series.consistency.set(own, ok ? 1 : 0),
    frozen(since) {
      series.frozen.set(own, since ? 1 : 0);
      if (since) series.frozenSince.set(own, since.getTime() / 1_000);
      else series.frozenSince.remove(own);
    },
    autoThaw: () => series.autoThaw.inc(own),
    lastSuccess: (at) => series.lastSuccess.set(own, at.getTime() / 1_000),
    unsynced: (entries) => series.unsynced.set(own, entries),
    restoreVerified(level, reached) {
      if (reached === null) series.restoreVerified.remove({ ...own, level });
      else series.restoreVerified.set({ ...own, level }, reached ? 1 : 0);
    },
    replicaWait: (seconds) => series.replicaWait.set(own, seconds),
    text: () => registry.metrics(),
  };
}

function declare(registers: Registry[]) {
  const spec = <L extends string>(name: string, help: string, more: readonly L[] = []) => ({
    name: `${PREFIX}_${name}`,
    help,
    registers,
    labelNames: ['app', 'engine', ...more] as const,
  });
  return {
    consistency: new Gauge(
      spec('consistency_check', '1: the last freeze was consistent, 0: it was not'),
    ),
    lastDuration: new Gauge(
      spec('hook_duration_seconds', 'Duration of the last run of the hook', ['hook']),
    ),
    duration: new Histogram({
      ...spec('hook_run_duration_seconds', 'Durations of the runs of the hook', ['hook']),
      buckets: [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 25, 60],
    }),
    runs: new Counter(spec('hook_runs_total', 'Runs of the hook by result', ['hook', 'result'])),
    frozen: new Gauge(spec('frozen', '1 while a hold is in place')),
    frozenSince: new Gauge(
      spec('frozen_since_timestamp_seconds', 'When the hold was put in place'),
    ),
    autoThaw: new Counter(spec('auto_thaw_total', 'Leases that expired before a thaw')),
    lastSuccess: new Gauge(
      spec('last_success_timestamp_seconds', 'End of the last consistent freeze'),
    ),
    unsynced: new Gauge(
      spec(
        'unsynced_files',
        'Files outside of the database that the last freeze could not sync to the disk, as its receipt lists them',
      ),
    ),
    restoreVerified: new Gauge(
      spec('restore_verified', '1: the restored database has reached this level, 0: it has not', [
        'level',
      ]),
    ),
    replicaWait: new Gauge(
      spec(
        'replica_wait_seconds',
        'How long the last freeze waited until the replica had caught up with its primary',
      ),
    ),
    buildInfo: new Gauge(spec('build_info', 'The version of quiesce', ['version'])),
  };
}

/**
 * The usual process metrics. The full default set of prom-client is not used: its event loop and GC
 * observers wake an idle sidecar a hundred times a second.
 */
function collectProcess(registers: Registry[]): void {
  const cpu: Counter = new Counter({
    name: 'process_cpu_seconds_total',
    help: 'CPU time of the sidecar',
    registers,
    collect() {
      const { user, system } = process.cpuUsage();
      cpu.reset();
      cpu.inc((user + system) / 1e6);
    },
  });
  const memory: Gauge = new Gauge({
    name: 'process_resident_memory_bytes',
    help: 'Resident memory of the sidecar',
    registers,
    collect: () => memory.set(process.memoryUsage.rss()),
  });
  const start = new Gauge({
    name: 'process_start_time_seconds',
    help: 'Start of the sidecar',
    registers,
  });
  start.set(Math.round(Date.now() / 1_000 - process.uptime()));
}
