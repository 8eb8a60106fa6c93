import { writeDuration } from '../../lib/duration.ts';
import {
  BadValue,
  duration,
  list,
  oneOf,
  value,
  type Values,
} from '../../lib/command-line/flags.ts';
import { quote } from '../../lib/command-line/printable.ts';
import { RESTORE_CHECKS } from '../../receipt/restore-level.ts';
import { usage } from '../../lib/command-line/read-flags.ts';
import { INJECT_DEFAULTS, type InjectConfig, USERS } from './options.ts';
import { readPatch } from './patch.ts';
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
  'image-pull-secret': list(
    'NAME',
    'Secret in the namespace of the pod with which its node pulls the image',
    {},
    (name) => {
      if (/^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$/.test(name)) return name;
      throw new BadValue(`cannot be ${quote(name)}`);
    },
  ),
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
  'cpu-limit': value(
    'QUANTITY',
    'of the sidecar',
    { otherwise: 'none, or what the pod or a ResourceQuota demands' },
    readQuantity,
  ),
  'memory-request': quantity('of the sidecar', INJECT_DEFAULTS.memoryRequest),
  'memory-limit': quantity('of the sidecar', INJECT_DEFAULTS.memoryLimit),
  'run-as-user': oneOf(
    USERS,
    "whose user the sidecar has if the pod sets none: that of the database's image, or the one that the platform chooses (OpenShift)",
    { fallback: 'image' },
  ),
  'sidecar-patch': value(
    'JSON',
    'what the cluster demands: {"container": {...}, "pod": {...}}, merged as kubectl patch does',
    {},
    readPatch,
  ),
} as const;

function quantity<const F extends string>(about: string, fallback: F) {
  return value('QUANTITY', about, { fallback }, readQuantity);
}

function readQuantity(given: string): string {
  const number = parseQuantity(given);
  if (number !== undefined && number > 0) return given;
  throw new BadValue('must be a quantity, such as 10m or 64Mi');
}

/** @throws QuiesceError USAGE if values contradict each other */
export function readInjectConfig(verb: string, values: Values<typeof INJECT_FLAGS>): InjectConfig {
  const {
    'cpu-request': cpuRequest,
    'cpu-limit': cpuLimit,
    'memory-request': memoryRequest,
    'memory-limit': memoryLimit,
  } = values;
  // An API server refuses the whole pod because of such a container, under any failure policy.
  checkOrder(verb, 'memory', memoryRequest, memoryLimit);
  if (cpuLimit !== undefined) checkOrder(verb, 'cpu', cpuRequest, cpuLimit);
  return {
    image: values.image,
    imagePullPolicy: values['image-pull-policy'],
    imagePullSecrets: values['image-pull-secret'],
    hookTimeoutMs: values['hook-timeout'],
    restoreCheck: values['restore-check'],
    cpuRequest,
    cpuLimit,
    memoryRequest,
    memoryLimit,
    runAsUser: values['run-as-user'],
    patch: values['sidecar-patch'],
  };
}

function checkOrder(verb: string, what: string, request: string, limit: string): void {
  if ((parseQuantity(request) ?? 0) <= (parseQuantity(limit) ?? Number.POSITIVE_INFINITY)) return;
  const message = `--${what}-request must not be more than --${what}-limit`;
  throw usage(verb, message, `--${what}-request`);
}
