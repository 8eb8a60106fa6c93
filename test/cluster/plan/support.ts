import type { Inventory } from '../../../src/cluster/inventory/catalog.ts';
import type { KubeObject } from '../../../src/cluster/objects/kube-object.ts';
import { membersOf, type Plan, type PlanMember } from '../../../src/cluster/plan/document.ts';
import { type Planned, planOf } from '../../../src/cluster/plan/plan.ts';
import type { Selection } from '../../../src/cluster/plan/selection.ts';

interface Shape {
  readonly namespace?: string;
  readonly image?: string;
  readonly replicas?: number;
  readonly labels?: Readonly<Record<string, string>>;
  /** On the workload. */
  readonly annotations?: Readonly<Record<string, string>>;
  /** On the template. */
  readonly below?: Readonly<Record<string, string>>;
  /** Names of volumeClaimTemplates. */
  readonly templates?: readonly string[];
  /** Names of claims that its volumes name. */
  readonly claims?: readonly string[];
  readonly sidecar?: boolean;
  readonly owner?: { readonly apiVersion: string; readonly kind: string; readonly name: string };
}

const API: Readonly<Record<string, string>> = { Pod: 'v1' };
const SIDECAR = { name: 'quiesce', image: 'registry.example/quiesce:1', args: ['sidecar'] };

/** Where well-known images keep their data: the first volume of a workload is there. */
const PLACES = [
  ['postgres', '/var/lib/postgresql/data'],
  ['mongo', '/data/db'],
  ['redis', '/data'],
  ['valkey', '/data'],
] as const;

export function workload(ref: string, shape: Shape = {}): KubeObject {
  const [kind = '', name = ''] = ref.split('/');
  const { namespace = 'shop', annotations, owner, labels } = shape;
  const metadata = {
    name,
    namespace,
    ...(labels && { labels }),
    ...(annotations && { annotations }),
    ...(owner && { ownerReferences: [{ ...owner, uid: owner.name, controller: true }] }),
  };
  const pod = podOf(name, shape);
  if (kind === 'Pod') return { apiVersion: 'v1', kind, metadata, spec: pod.spec };
  return {
    apiVersion: API[kind] ?? 'apps/v1',
    kind,
    metadata,
    spec: {
      ...(shape.replicas !== undefined && { replicas: shape.replicas }),
      template: pod,
      volumeClaimTemplates: (shape.templates ?? []).map((one) => ({
        metadata: { name: one },
        spec: {},
      })),
    },
  };
}

function podOf(name: string, shape: Shape) {
  const { image = 'registry.example/app:1', below, claims = [], templates = [] } = shape;
  const home = PLACES.find(([name]) => image.includes(name))?.[1];
  const mounts = [...claims, ...templates].map((one, index) => ({
    name: one,
    mountPath: index === 0 && home !== undefined ? home : `/mnt/${one}`,
  }));
  return {
    metadata: { labels: { app: name, ...shape.labels }, ...(below && { annotations: below }) },
    spec: {
      containers: [
        { name: 'main', image, volumeMounts: mounts },
        ...(shape.sidecar === true ? [SIDECAR] : []),
      ],
      volumes: claims.map((one) => ({ name: one, persistentVolumeClaim: { claimName: one } })),
    },
  };
}

/** A running pod, as an API server has it. */
export function running(ref: string, owner: string, shape: Shape = {}): KubeObject {
  const [kind = '', name = ''] = owner.split('/');
  const made = { apiVersion: 'apps/v1', kind, name };
  const base = workload(ref, { ...shape, owner: shape.owner ?? made });
  const metadata = { ...base.metadata, uid: ref, labels: { app: name, ...shape.labels } };
  return { ...base, metadata, status: { phase: 'Running' } };
}

export function service(name: string, spec: object, namespace = 'shop'): KubeObject {
  return { apiVersion: 'v1', kind: 'Service', metadata: { name, namespace }, spec };
}

export function object(apiVersion: string, ref: string, more: object = {}): KubeObject {
  const [kind = '', name = ''] = ref.split('/');
  return { apiVersion, kind, metadata: { name, namespace: 'shop' }, ...more };
}

export const ALL: Selection = { namespaces: undefined };
export const CLUSTER: Partial<Inventory> = { scope: 'cluster' };

export function planned(
  objects: readonly KubeObject[],
  more: Partial<Inventory> = {},
  selection: Selection = ALL,
): Planned {
  return planOf({ objects, scope: 'part', unexamined: [], now: 0, ...more }, selection);
}

export function plan(...given: Parameters<typeof planned>): Plan {
  return planned(...given).plan;
}

/** Layers as names: `[['StatefulSet/db'], ['Deployment/api']]`. */
export function layers({ layers: all }: Plan): readonly (readonly string[])[] {
  return all.map(({ members }) => members.map(({ kind, name }) => `${kind}/${name}`));
}

export function member(of: Plan, ref: string): PlanMember {
  const found = membersOf(of).find(({ kind, name }) => `${kind}/${name}` === ref);
  if (found === undefined) throw new Error(`no ${ref}`);
  return found;
}

export function codes({ problems }: Plan): readonly string[] {
  return problems.map(({ code, object: one }) => `${code} ${one}`);
}

export const AFTER = (names: string) => ({ 'quiesce.dev/depends-on': names });
