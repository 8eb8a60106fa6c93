import { LOG_LEVEL, LOG_LEVELS, type LogLevel, METRICS_ADDRESS } from '../../defaults.ts';
import type { Address } from '../../config/schema.ts';
import { address } from '../../lib/command-line/address.ts';
import {
  BadValue,
  duration,
  matching,
  oneOf,
  text,
  value,
  type Values,
} from '../../lib/command-line/flags.ts';
import { quote } from '../../lib/command-line/printable.ts';
import { readFlags, usage } from '../../lib/command-line/read-flags.ts';
import type { InjectConfig } from '../inject/options.ts';
import { INJECT_FLAGS, readInjectConfig } from '../inject/flags.ts';
import type { RotationPolicy } from '../certificates/rotation.ts';
import { FAILURE_POLICIES, type FailurePolicy } from './review.ts';

/** The source of the certificate. */
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

const NAME = /^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$/;
const MAX_TRUST_DELAY_MS = 60_000;
const MIN_LIFETIME_MS = 10_000;

/** The flags of `quiesce webhook`. */
export const FLAGS = {
  ...INJECT_FLAGS,
  'failure-policy': oneOf(FAILURE_POLICIES, 'for pods with invalid annotations', {
    fallback: 'Ignore',
  }),
  addr: address('HTTPS for the API server', '0.0.0.0:9443'),
  'metrics-addr': address('metrics and health', METRICS_ADDRESS),
  certificates: oneOf(['self-managed', 'files'], 'source of the certificate', {
    fallback: 'self-managed',
  }),
  service: name('self-managed: in the certificate', 'quiesce-webhook'),
  namespace: matching(
    'NAME',
    'self-managed: of Service and Secret',
    { otherwise: "the pod's own" },
    { pattern: NAME, form: 'must be the namespace of the Service' },
  ),
  secret: name('self-managed: shared by replicas', 'quiesce-webhook-tls'),
  configuration: name('self-managed: whose caBundle to set', 'quiesce'),
  'certificate-lifetime': lifetime('2160h'),
  'ca-lifetime': lifetime('26280h'),
  'cert-dir': text('DIR', 'files: where tls.crt and tls.key are', {
    fallback: '/etc/quiesce/tls',
  }),
  'shutdown-delay': duration('keep serving this long after SIGTERM', { fallback: '5s' }, 0),
  'log-level': oneOf(LOG_LEVELS, 'trace ... fatal, silent', {
    takes: 'LEVEL',
    fallback: LOG_LEVEL,
  }),
} as const;

/** Each flag with the text of its default; `''`: the flag is required, or its default is not a constant. */
export const WEBHOOK_FLAGS: Readonly<Record<string, string>> = Object.fromEntries(
  Object.entries(FLAGS).map(([flag, { fallback = '' }]: [string, { fallback?: string }]) => [
    flag,
    fallback,
  ]),
);

/** The prefix of the environment variables that stand for flags. */
export const VARIABLES = 'QUIESCE_WEBHOOK_';

function name<const F extends string>(about: string, fallback: F) {
  return value('NAME', about, { fallback }, (given) => {
    if (NAME.test(given)) return given;
    throw new BadValue(`cannot be ${quote(given)}`);
  });
}

function lifetime<const F extends string>(fallback: F) {
  return duration('self-managed: renewed when a third is left', { fallback }, MIN_LIFETIME_MS);
}

/**
 * Reads flags first, then the environment (`QUIESCE_WEBHOOK_...`), then the defaults.
 *
 * @throws QuiesceError USAGE with every problem
 */
export function readWebhookOptions(
  args: readonly string[],
  env: Readonly<Record<string, string | undefined>>,
  podNamespace: string | undefined,
): WebhookOptions {
  const { values } = readFlags('webhook', FLAGS, args, { variables: { prefix: VARIABLES, env } });
  return optionsOf(values, podNamespace);
}

/** @throws QuiesceError USAGE if values contradict each other */
export function optionsOf(
  values: Values<typeof FLAGS>,
  podNamespace: string | undefined,
): WebhookOptions {
  return {
    inject: readInjectConfig('webhook', values),
    failurePolicy: values['failure-policy'],
    address: values.addr,
    metricsAddress: values['metrics-addr'],
    certificates:
      values.certificates === 'files'
        ? { mode: 'files', dir: values['cert-dir'] }
        : { mode: 'self-managed', ...selfManaged(values, podNamespace) },
    shutdownDelayMs: values['shutdown-delay'],
    logLevel: values['log-level'],
  };
}

function selfManaged(values: Values<typeof FLAGS>, podNamespace: string | undefined) {
  const { 'certificate-lifetime': certificateLifetimeMs, 'ca-lifetime': caLifetimeMs } = values;
  if (caLifetimeMs < certificateLifetimeMs) {
    const message = '--ca-lifetime must not be shorter than --certificate-lifetime';
    throw usage('webhook', message, '--ca-lifetime');
  }
  const trustDelayMs = Math.min(MAX_TRUST_DELAY_MS, Math.round(certificateLifetimeMs / 15));
  const namespace = values.namespace ?? podNamespace ?? '';
  if (!NAME.test(namespace)) {
    throw usage('webhook', '--namespace must be the namespace of the Service', '--namespace');
  }
  const { service, secret, configuration } = values;
  const policy = { certificateLifetimeMs, caLifetimeMs, trustDelayMs };
  return { namespace, service, secret, configuration, policy };
}
