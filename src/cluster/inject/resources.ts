import { CONTAINER, INIT_CONTAINER } from '../objects/names.ts';
import type { Container, Pod, Resources } from '../objects/pod.ts';
import { parseQuantity } from '../objects/quantity.ts';
import { countsPod, type NamespaceRules } from './namespace-rules.ts';
import type { InjectConfig } from './options.ts';

/** More than a freeze needs: the limit of a container whose database has none, or a higher one. */
const MOST = { cpu: '1', 'ephemeral-storage': '1Gi' } as const;
const STORAGE_REQUEST = '64Mi';

/**
 * Requests and limits of the added containers. By default there is no CPU limit, since a freeze must not be
 * throttled. But an API server refuses a pod with a container that lacks what a ResourceQuota counts. So
 * they have one where the namespace's quota demands it, or where every other container has one, which is a
 * sign of such a quota. It is then the database's, which no LimitRange refuses.
 */
export function resourcesOf(
  pod: Pod,
  database: Container,
  config: InjectConfig,
  rules: NamespaceRules | undefined,
): Resources {
  const demanded = demandedBy(rules, pod);
  const cpu =
    config.cpuLimit ??
    (demanded('limits.cpu') || allHaveCpuLimit(pod) ? atMost(database, 'cpu') : undefined);
  const storage = demanded('limits.ephemeral-storage')
    ? atMost(database, 'ephemeral-storage')
    : undefined;
  const asked = demanded('requests.ephemeral-storage') || storage !== undefined;
  return {
    requests: {
      cpu: noMoreThan(config.cpuRequest, cpu),
      memory: config.memoryRequest,
      ...(asked ? { 'ephemeral-storage': noMoreThan(STORAGE_REQUEST, storage) } : {}),
    },
    limits: {
      ...(cpu === undefined ? {} : { cpu }),
      memory: config.memoryLimit,
      ...(storage === undefined ? {} : { 'ephemeral-storage': storage }),
    },
  };
}

/** Whether a quota counts a resource for which no LimitRange gives a default. */
function demandedBy(rules: NamespaceRules | undefined, pod: Pod): (counted: string) => boolean {
  const quotas = (rules?.quotas ?? []).filter((quota) => countsPod(quota, pod));
  const ranges = (rules?.ranges ?? []).filter(({ type }) => type === 'Container');
  return (counted) => {
    const [kind = '', name = ''] = counted.split('.');
    const names = kind === 'requests' ? [counted, name] : [counted];
    const isCounted = quotas.some(({ hard }) => names.some((one) => hard[one] !== undefined));
    const field = kind === 'limits' ? 'default' : 'defaultRequest';
    return (
      isCounted && !ranges.some((range) => (range[field][name] ?? range.max[name]) !== undefined)
    );
  };
}

function allHaveCpuLimit({ spec }: Pod): boolean {
  const all = [...(spec?.initContainers ?? []), ...(spec?.containers ?? [])];
  const others = all.filter(({ name }) => name !== CONTAINER && name !== INIT_CONTAINER);
  return others.every(({ resources }) => resources?.limits?.['cpu'] !== undefined);
}

function atMost({ resources }: Container, name: keyof typeof MOST): string {
  const limit = resources?.limits?.[name];
  const most = parseQuantity(MOST[name]) ?? 0;
  return limit === undefined || (parseQuantity(limit) ?? 0) > most ? MOST[name] : limit;
}

function noMoreThan(request: string, limit: string | undefined): string {
  if (limit === undefined) return request;
  return (parseQuantity(request) ?? 0) > (parseQuantity(limit) ?? 0) ? limit : request;
}
