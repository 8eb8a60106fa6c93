import type { Catalog } from '../inventory/catalog.ts';
import { type KubeObject, refText } from '../objects/kube-object.ts';
import type { PlanProblem } from './document.ts';
import { byText } from './order.ts';

/** What an application is made of, and what its pods name. */
const KINDS = [
  'StatefulSet.apps',
  'Deployment.apps',
  'DaemonSet.apps',
  'Pod',
  'Service',
  'PersistentVolumeClaim',
  'ConfigMap',
  'Secret',
];

/**
 * Charts often state the namespace in some of their templates only, and leave the others to `-n`. Without it,
 * one application looks like two that miss each other's names.
 */
export function notPlacedProblems(catalog: Catalog): readonly PlanProblem[] {
  const all = KINDS.flatMap((kind) => catalog.all(kind));
  const stated = [...new Set(all.flatMap(({ metadata }) => metadata?.namespace ?? []))];
  const nowhere = all.filter(({ metadata }) => metadata?.namespace === undefined);
  const [place, ...others] = stated;
  if (nowhere.length === 0 || place === undefined || place === 'default' || others.length > 0) {
    return [];
  }
  const [first = ''] = nowhere.map(nameOf).toSorted(byText);
  const rest = nowhere.length - 1;
  const more = rest === 0 ? '' : ` The same is true of ${rest} more.`;
  return [
    {
      code: 'NAMESPACE_MISSING',
      severity: 'warning',
      object: first,
      message: `It names no namespace and counts as in default, while others are in ${place}: a name in depends-on does not lead from one to the other.${more}`,
      fix: `Give -n ${place}, as you would to helm install and kubectl apply.`,
    },
  ];
}

function nameOf({ kind = '', metadata }: KubeObject): string {
  return refText({ kind, name: metadata?.name ?? '', namespace: 'default' });
}
