import type { Pod } from '../objects/pod.ts';
import { normalizeMetadata, normalizePod } from '../objects/normalize.ts';
import { at, type Catalog, type KubeObject, listAt, namespaceOf, textAt } from './catalog.ts';

/** A pod of a subject, or the template that its pods are made of. */
export interface View {
  readonly pod: Pod;
  /** The pod's name; `undefined`: the template. */
  readonly live: string | undefined;
}

/** What is judged: a workload, or a pod that nobody else in the inventory answers for. */
export interface Subject {
  readonly object: KubeObject;
  readonly kind: string;
  readonly namespace: string;
  readonly name: string;
  /** Names of the claims that every pod of it gets. */
  readonly claimTemplates: readonly KubeObject[];
  /** Whose it is, where something else than Kubernetes' own controllers made it. */
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

/** Controllers that belong to Kubernetes; every other owner is an operator's resource. */
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

/** Everything that runs pods, with its pods; what runs to its end is left out. */
export function subjectsOf(catalog: Catalog): readonly Subject[] {
  const pods = new Map<KubeObject, View[]>();
  const alone: KubeObject[] = [];
  const workloads = TEMPLATED.flatMap((kind) => catalog.all(kind)).filter(
    (object) => controllerOf(object)?.kind !== 'Deployment',
  );
  for (const object of catalog.all('Pod').filter(isRunning)) {
    const view = { pod: normalizePod(object), live: object.metadata?.name ?? '' };
    const owner = workloadOf(catalog, object);
    if (owner === 'ends') continue;
    if (owner === undefined) alone.push(object);
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
      .map((object) =>
        subject(
          object,
          [{ pod: normalizePod(object), live: nameIfLive(object) }],
          operatorOf(object),
        ),
      ),
  ];
}

/** A manifest of a pod is no pod that runs. */
function nameIfLive(object: KubeObject): string | undefined {
  const runs =
    object.metadata?.uid !== undefined ||
    textAt(object, 'status', 'phase') !== undefined ||
    textAt(object, 'spec', 'nodeName') !== undefined;
  return runs ? object.metadata?.name : undefined;
}

function templated(object: KubeObject, live: readonly View[]): Subject {
  const template = normalizePod(at(object, 'spec', 'template'));
  const metadata = { ...template.metadata, namespace: namespaceOf(object) };
  const pod: Pod = { ...template, metadata };
  return subject(object, [{ pod, live: undefined }, ...live], operatorOf(object));
}

function subject(
  object: KubeObject,
  views: readonly View[],
  operator: string | undefined,
): Subject {
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

function controllerOf({ metadata }: KubeObject) {
  return metadata?.ownerReferences?.find(({ controller }) => controller === true);
}

function operatorOf(object: KubeObject): string | undefined {
  const owner = controllerOf(object) ?? object.metadata?.ownerReferences?.[0];
  if (owner === undefined || BUILT_IN.has(owner.kind)) return undefined;
  return `${owner.kind}/${owner.name}`;
}

function isRunning(object: KubeObject): boolean {
  const phase = textAt(object, 'status', 'phase');
  const leaving = object.metadata?.deletionTimestamp !== undefined;
  return !leaving && phase !== 'Succeeded' && phase !== 'Failed';
}

/** `ends`: it belongs to a Job, or to a node itself. */
function workloadOf(catalog: Catalog, pod: KubeObject): KubeObject | 'ends' | undefined {
  const owner = controllerOf(pod);
  if (owner === undefined) return undefined;
  if (owner.kind === 'Job' || owner.kind === 'Node') return 'ends';
  const namespace = namespaceOf(pod);
  const find = (kind: string, name: string) => catalog.get(`${kind}.apps`, namespace, name);
  if (owner.kind !== 'ReplicaSet') return find(owner.kind, owner.name);
  // A Deployment names its sets by itself and a hash, which their pods carry.
  const hash = pod.metadata?.labels?.['pod-template-hash'];
  const deployment = owner.name.replace(new RegExp(`-${hash ?? '[a-z0-9]+'}$`), '');
  return find('Deployment', deployment) ?? find('ReplicaSet', owner.name);
}
