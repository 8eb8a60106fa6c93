import { gather } from '../plan/gather.ts';
import type { MemberRef, PlanMember } from '../plan/document.ts';
import type { Catalog } from '../inventory/catalog.ts';
import { type KubeObject, namespaceOf } from '../objects/kube-object.ts';
import type { OwnerReference } from '../objects/pod.ts';

/** A member as it is in the cluster. */
export interface Located {
  readonly member: PlanMember;
  /** The workload or custom resource; `undefined`: there is none. */
  readonly object: KubeObject | undefined;
  /** The controllers below a custom resource; the workload itself otherwise. Bare pods are in `pods` only. */
  readonly workloads: readonly KubeObject[];
  /** All pods of it, also those that end or have failed. */
  readonly pods: readonly KubeObject[];
  /** It is a custom resource. */
  readonly custom: boolean;
}

/** No chain of owners of any known operator is longer. */
const LONGEST_CHAIN = 8;

/** Finds each member, and the pods that its controllers own. */
export function locate(catalog: Catalog, members: readonly PlanMember[]): readonly Located[] {
  const { candidates } = gather(catalog);
  const pods = catalog.all('Pod').map((pod) => ({ pod, chain: chainOf(catalog, pod) }));
  return members.map((member) => {
    const found = candidates.find((one) => isSame(one, member));
    const own = new Set([keyOf(member)]);
    const workloads = (found?.workloads ?? []).filter(({ kind }) => kind !== 'Pod');
    for (const one of workloads) own.add(keyOf(one));
    for (const one of found?.parts ?? []) own.add(keyOf({ ...refOf(one) }));
    const live = new Set(
      (found?.workloads ?? []).flatMap(({ views, namespace }) =>
        views.flatMap(({ live: name }) => (name === undefined ? [] : [`${namespace}/${name}`])),
      ),
    );
    return {
      member,
      object: inCluster(found?.object) ?? inCluster(bare(catalog, member)),
      workloads: workloads.map(({ object }) => object),
      custom: found !== undefined && (found.known !== undefined || !isBuiltIn(found.object)),
      pods: pods.flatMap(({ pod, chain }) =>
        chain.some((key) => own.has(key)) ||
        live.has(`${namespaceOf(pod)}/${pod.metadata?.name ?? ''}`) ||
        isOrphanOf(pod, member)
          ? [pod]
          : [],
      ),
    };
  });
}

/** What a manifest says is not in the cluster. */
function inCluster(object: KubeObject | undefined): KubeObject | undefined {
  return object?.metadata?.uid === undefined ? undefined : object;
}

/** A pod that has ended is no candidate, and still the member that was planned. */
function bare(catalog: Catalog, { kind, namespace, name }: MemberRef): KubeObject | undefined {
  return kind === 'Pod' ? catalog.get('Pod', namespace, name) : undefined;
}

function isSame(one: MemberRef, member: MemberRef): boolean {
  return one.kind === member.kind && one.name === member.name && one.namespace === member.namespace;
}

function isBuiltIn({ apiVersion = '' }: KubeObject): boolean {
  return apiVersion === 'v1' || apiVersion.startsWith('apps/');
}

/** A restored pod that its controller has not adopted yet. */
function isOrphanOf(pod: KubeObject, member: PlanMember): boolean {
  const owned = (pod.metadata?.ownerReferences ?? []).length > 0;
  return (
    !owned &&
    member.kind !== 'Pod' &&
    namespaceOf(pod) === member.namespace &&
    member.pods.includes(pod.metadata?.name ?? '')
  );
}

/** The pod itself and all that owns it. */
function chainOf(catalog: Catalog, pod: KubeObject): readonly string[] {
  const namespace = namespaceOf(pod);
  const chain = [keyOf(refOf(pod))];
  let owner = controllerOf(pod);
  for (let depth = 0; depth < LONGEST_CHAIN && owner !== undefined; depth += 1) {
    chain.push(keyOf({ kind: owner.kind, name: owner.name, namespace }));
    const group = owner.apiVersion.includes('/') ? `.${owner.apiVersion.split('/')[0]}` : '';
    const object = catalog.get(`${owner.kind}${group}`, namespace, owner.name);
    owner = object && controllerOf(object);
  }
  return chain;
}

function controllerOf({ metadata }: KubeObject): OwnerReference | undefined {
  const owners = metadata?.ownerReferences ?? [];
  return owners.find(({ controller }) => controller === true) ?? owners[0];
}

function refOf(object: KubeObject): MemberRef {
  return {
    kind: object.kind ?? '',
    name: object.metadata?.name ?? '',
    namespace: namespaceOf(object),
  };
}

function keyOf({ namespace, kind, name }: MemberRef): string {
  return `${namespace}/${kind}/${name}`;
}
