import {
  annotationsOf,
  at,
  type KubeObject,
  namespaceOf,
  refOf,
  refText,
} from '../../objects/kube-object.ts';
import type { OwnerReference } from '../../objects/pod.ts';
import { groupOf, knownResource } from '../../plan/custom-resources.ts';
import type { RestoreProblem } from '../document.ts';
import { BESIDE_MEMBERS, BUILT_IN, rankOf, WAYS_IN } from './kinds.ts';
import { metadataOf, type Moving } from './metadata.ts';
import { fieldsOf, isFinished, isMadeByCluster } from './specs.ts';

export interface Copies {
  /** In the order in which they are to be created. */
  readonly objects: readonly KubeObject[];
  readonly problems: readonly RestoreProblem[];
}

export interface CopyOptions extends Moving {
  /** The user gave the objects as manifests: custom resources that nobody knows are meant, too. */
  readonly given: boolean;
  /** The claims that are made from snapshots, as `NAMESPACE/NAME` of the source. */
  readonly volumes: ReadonlySet<string>;
}

/**
 * The objects of an application as they are created anew: none that a controller, an operator or the
 * cluster makes by itself. Pure.
 *
 * @param objects of the namespaces of the source
 */
export function copiesOf(objects: readonly KubeObject[], options: CopyOptions): Copies {
  const { namespaces, given } = options;
  const mine = objects.filter((one) => namespaces.has(namespaceOf(one)));
  const chosen = new Set(mine.map(keyOf));
  const services = selectorless(mine);
  const left = new Map<string, string>();
  const copies = mine.flatMap((object) => {
    if (isMadeByCluster(object) || isFinished(object) || isOwned(object, chosen)) return [];
    if (isOutward(object, options)) return [];
    if (object.kind === 'Endpoints' && !(services.has(keyOf(object)) && stays(object, options))) {
      return [];
    }
    if (object.kind === 'PersistentVolumeClaim' && options.volumes.has(placeOf(object))) return [];
    if (!isKind(object, given)) {
      const kind = `${object.kind ?? ''}.${groupOf(object)}`;
      if (groupOf(object).includes('.') && !isPlatform(object)) left.set(kind, placeOf(object));
      return [];
    }
    return [copyOf(object, options)];
  });
  return {
    objects: copies.toSorted((a, b) => rankOf(a.kind ?? '') - rankOf(b.kind ?? '')),
    problems: [...left].map(([kind, first]): RestoreProblem => ({
      code: 'KIND_NOT_RESTORED',
      message: `Objects of the kind ${kind}, such as ${first}, are not restored: quiesce does not know what they do.`,
      hint: 'Apply them yourself, or give all manifests with -f.',
    })),
  };
}

function copyOf(object: KubeObject, moving: Moving): KubeObject {
  const { status: _, metadata: __, ...rest } = object;
  const changed = fieldsOf(object, namespaceOf(object), moving) ?? {};
  const { marks, ...fields } = changed as { marks?: Record<string, string> };
  const metadata = metadataOf(object, moving);
  const annotations = { ...metadata.annotations, ...marks };
  return {
    ...rest,
    ...fields,
    metadata: { ...metadata, ...(Object.keys(annotations).length > 0 && { annotations }) },
  };
}

/** Kinds that Kubernetes serves under their own groups, and that are no part of an application. */
const PLATFORM_GROUPS = /(?:^|\.)(?:k8s\.io|velero\.io|metrics\.k8s\.io)$/;

function isPlatform(object: KubeObject): boolean {
  return PLATFORM_GROUPS.test(groupOf(object));
}

function isKind(object: KubeObject, given: boolean): boolean {
  const { kind = '' } = object;
  const group = groupOf(object);
  if (!group.includes('.') || group.endsWith('.k8s.io'))
    return BUILT_IN.has(kind) || WAYS_IN.test(kind);
  if (BESIDE_MEMBERS.some((one) => one.group === group && one.kind === kind)) return true;
  const known = knownResource(object);
  return (known !== undefined && known !== 'unknown') || (given && !isPlatform(object));
}

/**
 * Whether its owner makes it. Credentials are kept, whoever made them: they are those that the data knows.
 * Of other objects whose owner is not restored nobody would make a new one.
 */
function isOwned(object: KubeObject, chosen: ReadonlySet<string>): boolean {
  const owners = object.metadata?.ownerReferences ?? [];
  if (owners.length === 0 || object.kind === 'Secret') return false;
  const controlled = owners.some(({ controller }) => controller === true);
  if (
    controlled &&
    ['Pod', 'ReplicaSet', 'Job', 'PersistentVolumeClaim'].includes(object.kind ?? '')
  ) {
    return true;
  }
  return owners.some((owner) => chosen.has(ownerKey(owner, namespaceOf(object))));
}

function ownerKey({ apiVersion, kind, name }: OwnerReference, namespace: string): string {
  return keyOf({ apiVersion, kind, metadata: { name, namespace } });
}

/** Elsewhere the original may still be there, and keeps its visitors. */
function isOutward(object: KubeObject, moving: Moving): boolean {
  return WAYS_IN.test(object.kind ?? '') && !moving.withIngress && !stays(object, moving);
}

function stays(object: KubeObject, { namespaces }: Pick<Moving, 'namespaces'>): boolean {
  const from = namespaceOf(object);
  return namespaces.get(from) === from;
}

/** Endpoints that somebody wrote by hand. They have the name of their Service. */
function selectorless(objects: readonly KubeObject[]): ReadonlySet<string> {
  const services = objects.filter(
    (one) =>
      one.kind === 'Service' &&
      Object.keys(at(one, 'spec', 'selector') ?? {}).length === 0 &&
      at(one, 'spec', 'type') !== 'ExternalName',
  );
  const written = objects.filter(
    (one) =>
      one.kind === 'Endpoints' &&
      annotationsOf(one)['endpoints.kubernetes.io/last-change-trigger-time'] === undefined,
  );
  const named = new Set(services.map(placeOf));
  return new Set(written.filter((one) => named.has(placeOf(one))).map(keyOf));
}

function placeOf(object: KubeObject): string {
  return `${namespaceOf(object)}/${object.metadata?.name ?? ''}`;
}

function keyOf(object: KubeObject): string {
  return `${groupOf(object)} ${object.kind ?? ''} ${placeOf(object)}`;
}

export function namedObject(object: KubeObject): string {
  return refText(refOf(object));
}
