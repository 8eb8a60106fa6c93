import { Counter, Gauge, Histogram, Registry } from 'prom-client';
import type { ReviewResult } from './review.ts';

/** What the webhook measures. */
export interface WebhookMetrics {
  request(result: ReviewResult, seconds: number): void;
  /** A certificate was taken into service. */
  certificate(expiresAt: number): void;
  certificateError(): void;
  text(): Promise<string>;
}

const PREFIX = 'quiesce_webhook';

export function createWebhookMetrics(): WebhookMetrics {
  const registry = new Registry();
  const registers = [registry];
  const requests = new Counter({
    name: `${PREFIX}_requests_total`,
    help: 'Admission requests by what was done',
    labelNames: ['result'],
    registers,
  });
  const duration = new Histogram({
    name: `${PREFIX}_request_duration_seconds`,
    help: 'How long an admission request took',
    buckets: [0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.1, 1],
    registers,
  });
  const expiry = new Gauge({
    name: `${PREFIX}_certificate_expiry_timestamp_seconds`,
    help: 'When the certificate that is served expires',
    registers,
  });
  const renewals = new Counter({
    name: `${PREFIX}_certificate_renewals_total`,
    help: 'Certificates taken into service after the first',
    registers,
  });
  const errors = new Counter({
    name: `${PREFIX}_certificate_errors_total`,
    help: 'Attempts to keep certificate or trust right that failed',
    registers,
  });
  let served = false;
  return {
    request(result, seconds) {
      requests.inc({ result });
      duration.observe(seconds);
    },
    certificate(expiresAt) {
      expiry.set(expiresAt / 1_000);
      if (served) renewals.inc();
      served = true;
    },
    certificateError: () => errors.inc(),
    text: () => registry.metrics(),
  };
}
