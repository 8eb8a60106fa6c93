import { CONTAINER, INIT_CONTAINER } from '../objects/names.ts';
import type { Container, Pod } from '../objects/pod.ts';
import { parseQuantity } from '../objects/quantity.ts';

/** More than a freeze needs. */
const MOST = '1';

/**
 * The CPU limit of the added containers: none, since a freeze must not be throttled. But if every container
 * of the pod has one, a ResourceQuota may demand it, and would refuse the pod for a container without one.
 * Theirs is then the database's, which no LimitRange refuses, and at most one CPU.
 *
 * @returns `undefined` also where someone has given the sidecar a limit, which stays
 */
export function cpuLimit(pod: Pod, database: Container): string | undefined {
  const all = [...(pod.spec?.initContainers ?? []), ...(pod.spec?.containers ?? [])];
  const own = ({ name }: Container): boolean => name === CONTAINER || name === INIT_CONTAINER;
  if (all.some((one) => own(one) && limitOf(one) !== undefined)) return undefined;
  if (all.some((one) => !own(one) && limitOf(one) === undefined)) return undefined;
  const limit = limitOf(database);
  return limit === undefined || (parseQuantity(limit) ?? 0) > 1 ? MOST : limit;
}

function limitOf({ resources }: Container): string | undefined {
  return resources?.limits?.['cpu'];
}
