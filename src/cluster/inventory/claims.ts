import type { Catalog } from './catalog.ts';
import { type KubeObject, namespaceOf, textAt } from '../objects/kube-object.ts';
import type { PodFacts } from './pod-facts.ts';

export interface Claim {
  readonly volume: string;
  readonly name: string;
  readonly object: KubeObject;
}

/** The claims of a pod's volumes that are in the inventory, or in a template. */
export function claimsOf({ workload, view, pod }: PodFacts, catalog: Catalog): readonly Claim[] {
  const kind = 'PersistentVolumeClaim';
  const direct = (pod.spec?.volumes ?? []).flatMap((volume): Claim[] => {
    const name = textAt(volume, 'persistentVolumeClaim', 'claimName');
    const object = name === undefined ? undefined : catalog.get(kind, workload.namespace, name);
    return object === undefined ? [] : [{ volume: volume.name, name: name ?? '', object }];
  });
  if (view.live !== undefined) return direct;
  const templates = workload.claimTemplates.flatMap((object): Claim[] => {
    const volume = object.metadata?.name ?? '';
    const pattern = new RegExp(`^${volume}-${workload.name}-\\d+$`);
    const made = catalog
      .all(kind)
      .filter((one) => namespaceOf(one) === workload.namespace)
      .filter((one) => pattern.test(one.metadata?.name ?? ''))
      .map((one) => ({ volume, name: one.metadata?.name ?? '', object: one }));
    return [{ volume, name: `${volume} (template)`, object }, ...made];
  });
  return [...direct, ...templates];
}
