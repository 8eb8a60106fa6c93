import { LOG_LEVELS, type LogLevel } from '../../logger.ts';
import type { Address } from '../../config/schema.ts';
import type { InjectConfig } from '../inject/options.ts';
import { FlagReader, INJECT_FLAGS, readInjectConfig } from '../inject/flags.ts';
import type { RotationPolicy } from '../certificates/rotation.ts';
import { FAILURE_POLICIES, type FailurePolicy } from './review.ts';

/** Where the certificate comes from. */
export type CertificateOptions =
  | {
      readonly mode: 'self-managed';
      readonly namespace: string;
      readonly service: string;
      readonly secret: string;
      readonly configuration: string;
      readonly policy: RotationPolicy;
    }
  | { readonly mode: 'files'; readonly dir: string };

export interface WebhookOptions {
  readonly inject: InjectConfig;
  readonly failurePolicy: FailurePolicy;
  readonly address: Address;
  readonly metricsAddress: Address;
  readonly certificates: CertificateOptions;
  readonly shutdownDelayMs: number;
  readonly logLevel: LogLevel;
}

const CERTIFICATES = ['self-managed', 'files'] as const;
const NAME = /^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$/;
const MOST_SETTLE_MS = 60_000;

/** The flags of `quiesce webhook` with what they default to; `''` is required or found elsewhere. */
export const WEBHOOK_FLAGS: Readonly<Record<string, string>> = {
  ...INJECT_FLAGS,
  'failure-policy': 'Ignore',
  addr: '0.0.0.0:9443',
  'metrics-addr': '0.0.0.0:9095',
  certificates: 'self-managed',
  service: 'quiesce-webhook',
  namespace: '',
  secret: 'quiesce-webhook-tls',
  configuration: 'quiesce',
  'certificate-lifetime': '2160h',
  'ca-lifetime': '26280h',
  'cert-dir': '/etc/quiesce/tls',
  'shutdown-delay': '5s',
  'log-level': 'info',
};

/**
 * Reads flags, then the environment (`QUIESCE_WEBHOOK_…`), then the defaults.
 *
 * @throws QuiesceError USAGE that names everything that is wrong
 */
export function readWebhookOptions(
  args: readonly string[],
  env: Readonly<Record<string, string | undefined>>,
  podNamespace: string | undefined,
): WebhookOptions {
  const reader = new FlagReader('webhook', WEBHOOK_FLAGS, args, env);
  const mode = reader.oneOf('certificates', CERTIFICATES);
  const options: WebhookOptions = {
    inject: readInjectConfig(reader),
    failurePolicy: reader.oneOf('failure-policy', FAILURE_POLICIES),
    address: reader.address('addr'),
    metricsAddress: reader.address('metrics-addr'),
    certificates:
      mode === 'files'
        ? { mode, dir: reader.text('cert-dir') }
        : { mode, ...selfManaged(reader, podNamespace) },
    shutdownDelayMs: reader.duration('shutdown-delay', 0),
    logLevel: reader.oneOf('log-level', LOG_LEVELS),
  };
  reader.finish();
  return options;
}

function selfManaged(reader: FlagReader, podNamespace: string | undefined) {
  const certificateLifetimeMs = reader.duration('certificate-lifetime', 10_000);
  const caLifetimeMs = reader.duration('ca-lifetime', 10_000);
  if (caLifetimeMs < certificateLifetimeMs) {
    reader.issue('ca-lifetime', 'must not be shorter than --certificate-lifetime');
  }
  const settleMs = Math.min(MOST_SETTLE_MS, Math.round(certificateLifetimeMs / 15));
  const namespace = reader.text('namespace') || (podNamespace ?? '');
  if (!NAME.test(namespace)) reader.issue('namespace', 'must be the namespace of the Service');
  return {
    namespace,
    service: reader.matching('service', NAME),
    secret: reader.matching('secret', NAME),
    configuration: reader.matching('configuration', NAME),
    policy: { certificateLifetimeMs, caLifetimeMs, settleMs },
  };
}
