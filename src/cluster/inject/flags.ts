import { writeDuration } from '../../lib/duration.ts';
import { BadValue, duration, oneOf, value, type Values } from '../../lib/command-line/flags.ts';
import { quote } from '../../lib/command-line/printable.ts';
import { RESTORE_CHECKS } from '../../receipt/restore-level.ts';
import { usage } from '../../lib/command-line/read-flags.ts';
import { INJECT_DEFAULTS, type InjectConfig } from './options.ts';
import { parseQuantity } from '../objects/quantity.ts';

const MIN_HOOK_TIMEOUT_MS = 2_000;

/** The flags that configure injection. */
export const INJECT_FLAGS = {
  image: value('REF', 'image of the added containers', { required: true }, (given) => {
    if (/^[a-z0-9][\w./:@-]{0,511}$/i.test(given)) return given;
    throw new BadValue(`cannot be ${quote(given)}`);
  }),
  'image-pull-policy': oneOf(['Always', 'IfNotPresent', 'Never'], 'of the added containers', {
    takes: 'POLICY',
    otherwise: "the cluster's",
  }),
  'hook-timeout': duration(
    "Velero's hook timeout if a pod sets none",
    { fallback: writeDuration(INJECT_DEFAULTS.hookTimeoutMs) },
    MIN_HOOK_TIMEOUT_MS,
  ),
  'restore-check': oneOf(
    RESTORE_CHECKS,
    'how far the sidecars check a restored database, if a pod sets nothing',
    { fallback: 'position' },
  ),
  'cpu-request': quantity('of the sidecar', INJECT_DEFAULTS.cpuRequest),
  'memory-request': quantity('of the sidecar', INJECT_DEFAULTS.memoryRequest),
  'memory-limit': quantity('of the sidecar', INJECT_DEFAULTS.memoryLimit),
} as const;

function quantity<const F extends string>(about: string, fallback: F) {
  return value('QUANTITY', about, { fallback }, (given) => {
    const number = parseQuantity(given);
    if (number !== undefined && number > 0) return given;
    throw new BadValue('must be a quantity, such as 10m or 64Mi');
  });
}

/** @throws QuiesceError USAGE if values contradict each other */
export function readInjectConfig(verb: string, values: Values<typeof INJECT_FLAGS>): InjectConfig {
  const { 'memory-request': memoryRequest, 'memory-limit': memoryLimit } = values;
  // An API server refuses the whole pod because of such a container, under any failure policy.
  if (
    (parseQuantity(memoryRequest) ?? 0) > (parseQuantity(memoryLimit) ?? Number.POSITIVE_INFINITY)
  ) {
    throw usage(verb, '--memory-request must not be more than --memory-limit', '--memory-request');
  }
  return {
    image: values.image,
    imagePullPolicy: values['image-pull-policy'],
    hookTimeoutMs: values['hook-timeout'],
    restoreCheck: values['restore-check'],
    cpuRequest: values['cpu-request'],
    memoryRequest,
    memoryLimit,
  };
}
