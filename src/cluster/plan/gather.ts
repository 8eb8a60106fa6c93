import { groupBy } from '../../lib/group-by.ts';
import type { Catalog } from '../inventory/catalog.ts';
import {
  type KubeObject,
  namespaceOf,
  type ObjectRef,
  refOf,
  refText,
  textAt,
} from '../objects/kube-object.ts';
import { type Workload, workloadsOf } from '../inventory/workloads.ts';
import type { OwnerReference } from '../objects/pod.ts';
import type { PlanProblem } from './document.ts';
import { groupOf, type KnownResource, knownResource } from './custom-resources.ts';
import { checkNamed } from './names.ts';

/** What becomes one member: a workload, or a custom resource with the workloads it owns. */
export interface Candidate {
  readonly object: KubeObject;
  readonly namespace: string;
  readonly kind: string;
  readonly name: string;
  /** The workload itself, or those that the custom resource owns. */
  readonly workloads: readonly Workload[];
  /** Resources that are a part of it, such as the pools of a Kafka. */
  readonly parts: readonly KubeObject[];
  /** The entry of the table, for a custom resource of a known kind. */
  readonly known: KnownResource | undefined;
}

export interface Gathered {
  readonly candidates: readonly Candidate[];
  /** Custom resources that make pods, or look as if they did, and whose kind is not in the table. */
  readonly notJudged: readonly ObjectRef[];
  readonly problems: readonly PlanProblem[];
}

/** Controllers whose pods a member runs under its own name. An operator's own sets belong to their owner. */
const WORKLOADS = new Set(['StatefulSet', 'Deployment', 'DaemonSet']);
/** Owners that own pods in every cluster, and their own controllers. */
const BUILT_IN = /^(?:apps|batch)(?:\/|$)|^v1$/;

interface Root {
  readonly object: KubeObject;
  readonly known: KnownResource | undefined;
}

/**
 * Gathers the workloads and custom resources of all namespaces, each as a candidate. A pure function.
 *
 * @throws QuiesceError MANIFEST_INVALID if one of them has no name
 */
export function gather(catalog: Catalog): Gathered {
  const roots = new Map<string, { root: Root; workloads: Workload[]; parts: KubeObject[] }>();
  const notJudged = new Map<string, ObjectRef>();
  const rootOf = (root: Root) => {
    const key = keyOf(root.object);
    const found = roots.get(key) ?? { root, workloads: [], parts: [] };
    roots.set(key, found);
    return found;
  };
  for (const { object, known, partOf } of customResources(catalog)) {
    if (known === 'unknown') notJudged.set(keyOf(object), refOf(object));
    else if (partOf !== undefined) rootOf(partOf).parts.push(object);
    else rootOf({ object, known });
  }
  const alone: Candidate[] = [];
  for (const workload of workloadsOf(catalog, true)) {
    const owner = ownerOf(catalog, workload.object);
    if (owner !== undefined && owner.known === undefined) {
      notJudged.set(keyOf(owner.object), refOf(owner.object));
    }
    if (owner !== undefined && endsByItself(workload)) continue;
    const own = owner === undefined || (owner.known === undefined && WORKLOADS.has(workload.kind));
    if (own) alone.push({ ...workload, workloads: [workload], parts: [], known: undefined });
    else rootOf(owner).workloads.push(workload);
  }
  const owned = [...roots.values()].map(({ root: { object, known }, workloads, parts }) => ({
    object,
    namespace: namespaceOf(object),
    kind: object.kind ?? '',
    name: object.metadata?.name ?? '',
    workloads,
    parts,
    known,
  }));
  for (const { object } of [...alone, ...owned]) checkNamed(object);
  const byKey = groupBy([...alone, ...owned], ({ object }) => keyOf(object));
  const candidates = [...byKey.values()].flatMap((same) => same.at(-1) ?? []);
  const twice = [...byKey.values()].filter(({ length }) => length > 1).flat();
  return { candidates, notJudged: [...notJudged.values()], problems: twice.map(definedTwice) };
}

/** In manifests only: of two objects of one name, `kubectl apply` leaves the last. */
function definedTwice({ kind, name, namespace }: Candidate): PlanProblem {
  return {
    code: 'DEFINED_TWICE',
    severity: 'warning',
    object: refText({ kind, name, namespace }),
    message: 'The manifests define it more than once. The last definition is planned.',
    fix: 'Give the manifests of one environment only.',
  };
}

interface CustomResource {
  readonly object: KubeObject;
  readonly known: KnownResource | 'unknown';
  /** The resource that it is a part of. */
  readonly partOf: Root | undefined;
}

function customResources(catalog: Catalog): readonly CustomResource[] {
  return catalog.kinds
    .filter((kind) => kind.includes('.'))
    .flatMap((kind) => catalog.all(kind))
    .flatMap((object) => {
      const known = knownResource(object);
      // What an operator made from another resource is no statement of the user.
      if (known === undefined || (known === 'unknown' && controllerOf(object) !== undefined)) {
        return [];
      }
      const partOf = known === 'unknown' ? undefined : wholeOf(catalog, object, known);
      return [{ object, known, partOf }];
    });
}

/** The resource that this one is a part of. It may be absent from the manifests. */
function wholeOf(catalog: Catalog, object: KubeObject, known: KnownResource): Root | undefined {
  const whole = known.partOf?.(object);
  if (whole === undefined) return undefined;
  const { kind, name } = whole;
  const group = groupOf(object);
  const found = catalog.get(`${kind}.${group}`, namespaceOf(object), name);
  const metadata = { name, namespace: namespaceOf(object) };
  const absent = { apiVersion: object.apiVersion ?? '', kind, metadata };
  const root = found ?? absent;
  const entry = knownResource(root);
  return { object: root, known: entry === 'unknown' ? undefined : entry };
}

/** The custom resource that owns a workload, through others if need be; the first known one counts. */
function ownerOf(catalog: Catalog, object: KubeObject): Root | undefined {
  let last: KubeObject | undefined;
  let reference = controllerOf(object);
  for (let depth = 0; depth < 8 && reference !== undefined; depth += 1) {
    const owner = ownedBy(catalog, namespaceOf(object), reference);
    if (owner === undefined) break;
    const known = knownResource(owner);
    if (known !== undefined && known !== 'unknown') {
      return wholeOf(catalog, owner, known) ?? { object: owner, known };
    }
    last = owner;
    reference = controllerOf(owner);
  }
  return last && { object: last, known: undefined };
}

/** The owner as it was read, or as little as the reference says; `undefined`: Kubernetes' own kind. */
function ownedBy(
  catalog: Catalog,
  namespace: string,
  owner: OwnerReference,
): KubeObject | undefined {
  const { kind, name } = owner;
  // A manifest may lack it.
  const apiVersion = textAt(owner, 'apiVersion') ?? '';
  if (BUILT_IN.test(apiVersion) || !apiVersion.includes('/')) return undefined;
  const group = apiVersion.split('/')[0] ?? '';
  const found = catalog.get(`${kind}.${group}`, namespace, name);
  return found ?? { apiVersion, kind, metadata: { name, namespace } };
}

function controllerOf({ metadata }: KubeObject): OwnerReference | undefined {
  const owners = metadata?.ownerReferences ?? [];
  return owners.find(({ controller }) => controller === true) ?? owners[0];
}

/** A pod of a workflow or of a build, which is as little a member as a Job. */
function endsByItself({ kind, views }: Workload): boolean {
  return (
    kind === 'Pod' && views.every(({ pod }) => (pod.spec?.restartPolicy ?? 'Always') !== 'Always')
  );
}

function keyOf(object: KubeObject): string {
  return `${groupOf(object)}\n${object.kind ?? ''}\n${namespaceOf(object)}\n${object.metadata?.name ?? ''}`;
}
