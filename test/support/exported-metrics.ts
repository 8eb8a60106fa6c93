import { createExporterMetrics } from '../../src/cluster/exporter/metrics.ts';
import { createMetrics } from '../../src/sidecar/metrics.ts';

/** The exposition of a sidecar after each event has happened once. */
export async function metricsOfTheSidecar(): Promise<string> {
  const metrics = createMetrics({ app: 'shop', engine: 'postgres' });
  metrics.hookRun('freeze', 'success', 1);
  metrics.consistency(true);
  metrics.frozen(new Date());
  metrics.lastSuccess(new Date());
  metrics.unsynced(0);
  metrics.restoreVerified('position', true);
  metrics.replicaWait(1);
  return await metrics.text();
}

/** The exposition of an exporter that has read one snapshot, and one run of each kind. */
export async function metricsOfTheExporter(): Promise<string> {
  const run = {
    uid: 'r',
    namespace: 'shop',
    group: 'shop',
    verdict: 'proven',
    recordedAt: 0,
    endedAt: 0,
    freezeSpreadMs: 1,
  } as const;
  const state = { namespace: 'shop', group: 'shop', last: run, success: run };
  const recovery = { ...run, rtoSeconds: 1, rpoSeconds: 1 };
  const recovered = { ...state, last: recovery, success: recovery, running: recovery };
  const metrics = createExporterMetrics({
    snapshots: () => [state],
    restores: () => [recovered],
    drills: () => [recovered],
  });
  const labels = { namespace: 'shop', group: 'shop', driver: 'csi.example' };
  metrics.snapshots.known(labels);
  metrics.snapshots.ready(labels, 1);
  metrics.lastRead('configmaps', new Date());
  return await metrics.text();
}

/** The names of the metrics in an exposition. */
export function namesOf(text: string): string[] {
  return [...text.matchAll(/^# TYPE (\S+)/gm)].map(([, name = '']) => name);
}
