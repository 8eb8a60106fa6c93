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

/** The names of the metrics in an exposition. */
export function namesOf(text: string): string[] {
  return [...text.matchAll(/^# TYPE (\S+)/gm)].map(([, name = '']) => name);
}
