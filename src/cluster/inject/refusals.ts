import type { Notice } from './hooks.ts';
import { CONTAINER } from '../objects/names.ts';
import type { Container, Pod } from '../objects/pod.ts';
import { parseQuantity } from '../objects/quantity.ts';
import { countsPod, type NamespaceRules, type Quota, type Range } from './namespace-rules.ts';

/** Why an API server would refuse the pod with the sidecar, with the value to set. */
export function refusals(pod: Pod, rules: NamespaceRules | undefined): readonly Notice[] {
  if (rules === undefined) return [];
  const sidecar = pod.spec?.containers?.find(({ name }) => name === CONTAINER);
  if (sidecar === undefined) return [];
  const reasons = [
    ...rules.ranges.flatMap((range) =>
      range.type === 'Container' ? [...outOfRange(sidecar, range)] : [...podOutOfRange(pod, range)],
    ),
    ...rules.quotas
      .filter((quota) => countsPod(quota, pod))
      .flatMap((quota) => [...overQuota(sidecar, quota)]),
  ];
  return [...new Set(reasons)].map((message) => ({ code: 'PodRefused', message }));
}

type Kind = 'requests' | 'limits';

/** What the container has once the LimitRange has given it the defaults. */
function effective({ resources }: Container, range: Range, kind: Kind, name: string) {
  const limit = resources?.limits?.[name] ?? range.default[name] ?? range.max[name];
  if (kind === 'limits') return limit;
  return (
    resources?.requests?.[name] ?? resources?.limits?.[name] ?? range.defaultRequest[name] ?? limit
  );
}

function* outOfRange(sidecar: Container, range: Range): Iterable<string> {
  const by = `the LimitRange ${range.name}`;
  for (const [name, min] of Object.entries(range.min)) {
    const request = effective(sidecar, range, 'requests', name);
    if (request !== undefined && isLess(request, min)) {
      yield `${by} refuses the pod: it wants at least ${min} of ${name} for each container, and ${CONTAINER} requests ${request}; ${setting('requests', name, min)}`;
    }
  }
  for (const [name, max] of Object.entries(range.max)) {
    const limit = effective(sidecar, range, 'limits', name);
    if (limit !== undefined && isLess(max, limit)) {
      yield `${by} refuses the pod: it allows at most ${max} of ${name} for each container, and the limit of ${CONTAINER} is ${limit}; ${setting('limits', name, max)}`;
    }
  }
  for (const [name, ratio] of Object.entries(range.maxLimitRequestRatio)) {
    const [limit, request] = (['limits', 'requests'] as const).map((kind) =>
      effective(sidecar, range, kind, name),
    );
    if (limit === undefined || request === undefined) continue;
    if (numberOf(limit) / numberOf(request) <= numberOf(ratio)) continue;
    yield `${by} refuses the pod: a limit of ${name} may be at most ${ratio} times the request, and ${CONTAINER} has ${limit} and ${request}; ${setting('requests', name, limit)}`;
  }
}

function* podOutOfRange({ spec }: Pod, range: Range): Iterable<string> {
  if (range.type !== 'Pod') return;
  const containers = spec?.containers ?? [];
  for (const [name, max] of Object.entries(range.max)) {
    const limits = containers.map(({ resources }) => resources?.limits?.[name]);
    const sum = limits.reduce((total, one) => total + numberOf(one ?? '0'), 0);
    if (sum <= numberOf(max)) continue;
    const own = limits[containers.findIndex((one) => one.name === CONTAINER)] ?? '0';
    // Without the sidecar the pod is refused as well, which is not ours to tell.
    if (sum - numberOf(own) > numberOf(max)) continue;
    yield `the LimitRange ${range.name} refuses the pod: all its containers together may have at most ${max} of ${name}, and ${CONTAINER} adds ${own}; raise the maximum, or lower the limit of the sidecar (${valueOf('limits', name)})`;
  }
}

/** The rest of a quota is smaller than what the sidecar adds. */
function* overQuota({ resources }: Container, quota: Quota): Iterable<string> {
  for (const [counted, hard] of Object.entries(quota.hard)) {
    const [first = '', second] = counted.split('.');
    const [kind, name] = second === undefined ? (['requests', first] as const) : [first, second];
    if ((kind !== 'requests' && kind !== 'limits') || quota.used[counted] === undefined) continue;
    const own = resources?.[kind]?.[name];
    const left = numberOf(hard) - numberOf(quota.used[counted]);
    if (own === undefined || numberOf(own) <= left) continue;
    yield `the ResourceQuota ${quota.name} refuses the pod: ${CONTAINER} needs ${own} of ${counted}, and of ${hard} ${quota.used[counted]} is used; raise it, or lower ${valueOf(kind, name)}`;
  }
}

/** The value of the chart, and the flag, that set a quantity. */
function setting(kind: Kind, name: string, quantity: string): string {
  return `set ${valueOf(kind, name)} to ${quantity}`;
}

const FLAGS: Readonly<Record<string, string>> = {
  'requests.cpu': '--cpu-request',
  'limits.cpu': '--cpu-limit',
  'requests.memory': '--memory-request',
  'limits.memory': '--memory-limit',
};

function valueOf(kind: Kind, name: string): string {
  const flag = FLAGS[`${kind}.${name}`];
  return flag === undefined
    ? `sidecar.patch.container.resources.${kind}.${name} (--sidecar-patch)`
    : `sidecar.resources.${kind}.${name} (${flag})`;
}

function isLess(a: string, b: string): boolean {
  return numberOf(a) < numberOf(b);
}

function numberOf(quantity: string): number {
  return parseQuantity(quantity) ?? 0;
}
