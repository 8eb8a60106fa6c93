import { Counter, Gauge, Histogram, Registry } from 'prom-client';
import type { Decision } from '../gates/decide.ts';
import type { RestoreSeen } from './restores.ts';
import type { ReviewResult } from './review.ts';

/** The metrics of the webhook. */
export interface WebhookMetrics {
  request(result: ReviewResult, seconds: number): void;
  /** A pod was created in a namespace that a staged restore fills. */
  gate(result: Decision['outcome'] | 'error'): void;
  /** A new certificate is served. `expiresAt` is in milliseconds of the epoch. */
  certificate(expiresAt: number): void;
  certificateError(): void;
  text(): Promise<string>;
}

const PREFIX = 'quiesce_webhook';

/** @param restores the namespaces with the label of a run, at each scrape */
export function createWebhookMetrics(
  restores: () => readonly RestoreSeen[] = () => [],
): WebhookMetrics {
  const registry = new Registry();
  const registers = [registry];
  const requests = new Counter({
    name: `${PREFIX}_requests_total`,
    help: 'Admission requests by result',
    labelNames: ['result'],
    registers,
  });
  const duration = new Histogram({
    name: `${PREFIX}_request_duration_seconds`,
    help: 'Duration of an admission request',
    buckets: [0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.1, 1],
    registers,
  });
  const expiry = new Gauge({
    name: `${PREFIX}_certificate_expiry_timestamp_seconds`,
    help: 'When the served certificate expires',
    registers,
  });
  const renewals = new Counter({
    name: `${PREFIX}_certificate_renewals_total`,
    help: 'Certificates served after the first',
    registers,
  });
  const errors = new Counter({
    name: `${PREFIX}_certificate_errors_total`,
    help: 'Failed attempts to refresh the certificate or the trust in it',
    registers,
  });
  const gates = new Counter({
    name: `${PREFIX}_restore_requests_total`,
    help: 'Pods created in namespaces of staged restores, by result',
    labelNames: ['result'],
    registers,
  });
  new Gauge({
    name: `${PREFIX}_restore_abandoned`,
    help: 'Whether the staged restore of a namespace gives no sign of life, while its pods wait for it',
    labelNames: ['restored_namespace', 'run'],
    registers,
    collect() {
      this.reset();
      for (const { namespace, run, alive } of restores()) {
        this.set({ restored_namespace: namespace, run }, alive ? 0 : 1);
      }
    },
  });
  let served = false;
  return {
    request(result, seconds) {
      requests.inc({ result });
      duration.observe(seconds);
    },
    gate: (result) => gates.inc({ result }),
    certificate(expiresAt) {
      expiry.set(expiresAt / 1_000);
      if (served) renewals.inc();
      served = true;
    },
    certificateError: () => errors.inc(),
    text: () => registry.metrics(),
  };
}
