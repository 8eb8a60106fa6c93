import { ENDING_KINDS } from '../inject/templates.ts';
import type { Pod } from '../objects/pod.ts';
import { normalizeMetadata, normalizePod } from '../objects/normalize.ts';
import type { Catalog } from './catalog.ts';
import {
  annotationsOf,
  at,
  type KubeObject,
  listAt,
  namespaceOf,
  textAt,
} from '../objects/kube-object.ts';

/** A pod of a workload, or the template of its pods. */
export interface View {
  readonly pod: Pod;
  /** The name of the running pod; `undefined`: this is a template, or a manifest of a pod. */
  readonly live: string | undefined;
  /** It is being deleted, and its containers may still run and write. */
  readonly leaving?: true;
}

/** A controller with its pods, or a pod without a controller in the inventory. */
export interface Workload {
  readonly object: KubeObject;
  readonly kind: string;
  readonly namespace: string;
  readonly name: string;
  /** The templates of the claims that each of its pods gets. */
  readonly claimTemplates: readonly KubeObject[];
  /** The operator's resource that owns it, as `KIND/NAME`; `undefined` if there is none. */
  readonly operator: string | undefined;
  readonly views: readonly View[];
}

const TEMPLATED = [
  'StatefulSet.apps',
  'Deployment.apps',
  'DaemonSet.apps',
  'ReplicaSet.apps',
  'ReplicationController',
];

/** Kubernetes' own controllers. Every other owner is the resource of an operator. */
const BUILT_IN = new Set([
  'StatefulSet',
  'Deployment',
  'ReplicaSet',
  'DaemonSet',
  'ReplicationController',
  'Job',
  'CronJob',
  'Node',
]);

/** Marks what a deployment tool starts by itself, such as a test or a migration, and waits for. */
const HOOKS = ['helm.sh/hook', 'argocd.argoproj.io/hook'];

/**
 * All workloads with their pods. Pods of Jobs, of hooks, static pods and finished pods are left out.
 *
 * @param leaving also with pods that are being deleted
 */
export function workloadsOf(catalog: Catalog, leaving = false): readonly Workload[] {
  const pods = new Map<KubeObject, View[]>();
  const alone: KubeObject[] = [];
  const workloads = [...TEMPLATED.flatMap((kind) => catalog.all(kind)), ...others(catalog)].filter(
    (object) => controllerOf(object)?.kind !== 'Deployment',
  );
  const known = new Set(workloads);
  const running = catalog
    .all('Pod')
    .filter((one) => !hasEnded(one) && (leaving || !isLeaving(one)));
  for (const object of running) {
    const view = viewOf(object, object.metadata?.name ?? '');
    const owner = ownerOf(catalog, object);
    if (owner === 'ends') continue;
    if (owner === undefined && isHook(object)) continue;
    if (owner === undefined || !known.has(owner)) alone.push(object);
    else pods.set(owner, [...(pods.get(owner) ?? []), view]);
  }
  const scoped = (object: KubeObject): boolean =>
    catalog.namespaces === undefined ||
    object.metadata?.namespace === undefined ||
    catalog.namespaces.includes(namespaceOf(object));
  return [
    ...workloads.filter(scoped).map((object) => templated(object, pods.get(object) ?? [])),
    ...alone
      .filter(scoped)
      .map((object) => workload(object, [viewOf(object, nameIfLive(object))], operatorOf(object))),
  ];
}

function viewOf(object: KubeObject, live: string | undefined): View {
  return { pod: normalizePod(object), live, ...(isLeaving(object) && { leaving: true }) };
}

/** Objects of other kinds that have a pod template in the same place, such as OpenShift's and Kruise's. */
function others(catalog: Catalog): readonly KubeObject[] {
  return catalog.kinds
    .filter((kind) => !TEMPLATED.includes(kind) && !ENDING_KINDS.test(kind.split('.')[0] ?? ''))
    .flatMap((kind) => catalog.all(kind))
    .filter((object) => Array.isArray(at(object, 'spec', 'template', 'spec', 'containers')));
}

/** The name of a pod that runs; `undefined` for the manifest of a pod. */
function nameIfLive(object: KubeObject): string | undefined {
  const runs =
    object.metadata?.uid !== undefined ||
    textAt(object, 'status', 'phase') !== undefined ||
    textAt(object, 'spec', 'nodeName') !== undefined;
  return runs ? object.metadata?.name : undefined;
}

function templated(object: KubeObject, live: readonly View[]): Workload {
  const template = normalizePod(at(object, 'spec', 'template'));
  const metadata = { ...template.metadata, namespace: namespaceOf(object) };
  const pod: Pod = { ...template, metadata };
  return workload(object, [{ pod, live: undefined }, ...live], operatorOf(object));
}

function workload(
  object: KubeObject,
  views: readonly View[],
  operator: string | undefined,
): Workload {
  return {
    object,
    kind: object.kind ?? '',
    namespace: namespaceOf(object),
    name: object.metadata?.name ?? object.metadata?.generateName ?? '',
    claimTemplates: listAt(object, 'spec', 'volumeClaimTemplates')
      .filter((one) => typeof one === 'object' && one !== null)
      .map((one) => ({ ...one, metadata: normalizeMetadata(at(one, 'metadata')) })),
    operator,
    views,
  };
}

export function controllerOf({ metadata }: KubeObject) {
  return metadata?.ownerReferences?.find(({ controller }) => controller === true);
}

function operatorOf(object: KubeObject): string | undefined {
  const owner = controllerOf(object) ?? object.metadata?.ownerReferences?.[0];
  if (owner === undefined || BUILT_IN.has(owner.kind)) return undefined;
  return `${owner.kind}/${owner.name}`;
}

function isHook(object: KubeObject): boolean {
  return HOOKS.some((name) => annotationsOf(object)[name] !== undefined);
}

function isLeaving({ metadata }: KubeObject): boolean {
  return metadata?.deletionTimestamp !== undefined;
}

/** Whether all containers of the pod have ended for good. */
export function hasEnded(object: KubeObject): boolean {
  const phase = textAt(object, 'status', 'phase');
  return phase === 'Succeeded' || phase === 'Failed';
}

/** The controller of a pod. `ends`: a Job runs the pod, or a node by itself; it is not examined. */
function ownerOf(catalog: Catalog, pod: KubeObject): KubeObject | 'ends' | undefined {
  const owner = controllerOf(pod);
  if (owner === undefined) return undefined;
  if (owner.kind === 'Job' || owner.kind === 'Node') return 'ends';
  const namespace = namespaceOf(pod);
  const find = (kind: string, name: string, group = 'apps') =>
    catalog.get(group === '' ? kind : `${kind}.${group}`, namespace, name);
  const group = owner.apiVersion.includes('/') ? (owner.apiVersion.split('/')[0] ?? '') : '';
  if (owner.kind !== 'ReplicaSet') return find(owner.kind, owner.name, group);
  // A Deployment names its ReplicaSets after itself, with a hash that their pods have as a label.
  const hash = pod.metadata?.labels?.['pod-template-hash'];
  const deployment = owner.name.replace(new RegExp(`-${hash ?? '[a-z0-9]+'}$`), '');
  return find('Deployment', deployment) ?? find('ReplicaSet', owner.name);
}
