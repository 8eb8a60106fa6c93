import type { Inventory, Scope } from '../../../../src/cluster/inventory/catalog.ts';
import type { KubeObject } from '../../../../src/cluster/objects/kube-object.ts';
import type { Plan } from '../../../../src/cluster/plan/document.ts';
import { planOf } from '../../../../src/cluster/plan/plan.ts';

export const NOW = Date.parse('2026-06-01T00:00:00Z');

/** Plans objects. Those without a namespace are in `default`. */
export function planObjects(objects: readonly object[], scope: Scope = 'part'): Plan {
  const inventory: Inventory = {
    objects: objects as KubeObject[],
    scope,
    unexamined: [],
    now: NOW,
  };
  return planOf(inventory, { namespaces: undefined }).plan;
}

/** `KIND/NAME VOLUME`, with ` = WORD` where it is declared. */
export function notKeptIn({ notKept }: Plan): readonly string[] {
  return notKept
    .map(({ member, volume, declared }) =>
      [`${member.kind}/${member.name} ${volume}`, declared].filter(Boolean).join(' = '),
    )
    .toSorted();
}

/** `CODE KIND/NAME`: each problem of these codes, without its namespace. */
export function problemsIn({ problems }: Plan, codes: RegExp): readonly string[] {
  return problems
    .filter(({ code }) => codes.test(code))
    .map(({ code, object }) => `${code} ${object.split(' ').at(-1)}`)
    .toSorted();
}

/** A Deployment of one pod. */
export function deployment(
  name: string,
  spec: object,
  more: Readonly<Record<string, object>> = {},
) {
  return {
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: { name, ...more['metadata'] },
    spec: { template: { metadata: { labels: { app: name }, ...more['template'] }, spec } },
  };
}

export function statefulSet(name: string, spec: object, templates: readonly object[] = []) {
  return {
    ...deployment(name, spec),
    kind: 'StatefulSet',
    spec: { ...deployment(name, spec).spec, volumeClaimTemplates: templates },
  };
}
