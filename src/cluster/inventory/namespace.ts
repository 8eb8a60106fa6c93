import { isOpenShift, type NamespaceRules, namespaceRules } from '../inject/namespace-rules.ts';
import type { Catalog } from './catalog.ts';
import { namespaceOf } from '../objects/kube-object.ts';

/** What the namespace demands of its pods. Only OpenShift has kinds of its API groups. */
export function rulesOf(catalog: Catalog, namespace: string): NamespaceRules {
  const own = ['ResourceQuota', 'LimitRange'].flatMap((kind) =>
    catalog.all(kind).filter((one) => namespaceOf(one) === namespace),
  );
  const place = catalog.getGlobal('Namespace', namespace);
  const openshift = catalog.kinds.some((kind) => isOpenShift(kind));
  return namespaceRules([...own, ...(place === undefined ? [] : [place])], openshift);
}
