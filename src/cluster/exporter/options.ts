import { LOG_LEVEL, LOG_LEVELS, METRICS_ADDRESS } from '../../defaults.ts';
import { address } from '../../lib/command-line/address.ts';
import { BadValue, duration, list, oneOf, text, toggle } from '../../lib/command-line/flags.ts';
import { quote } from '../../lib/command-line/printable.ts';

/** The flags of `quiesce exporter`. */
export const FLAGS = {
  'all-namespaces': toggle('all namespaces (the default)', { short: 'A' }),
  namespace: list('NAME', 'only this namespace', { short: 'n' }, (name) => {
    if (/^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/.test(name)) return name;
    throw new BadValue(`cannot be ${quote(name)}`);
  }),
  'metrics-addr': address('metrics and health', METRICS_ADDRESS),
  'failed-after': duration(
    'a volume snapshot that has an error, or is not cut, for so long has failed',
    { fallback: '5m' },
    1_000,
  ),
  context: text('NAME', 'context of the kubeconfig', { otherwise: 'its current one' }),
  kubeconfig: text('FILE', 'kubeconfig of the cluster', {
    otherwise: "KUBECONFIG, ~/.kube/config, or the pod's service account",
  }),
  'log-level': oneOf(LOG_LEVELS, 'trace ... fatal, silent', {
    takes: 'LEVEL',
    fallback: LOG_LEVEL,
  }),
} as const;
