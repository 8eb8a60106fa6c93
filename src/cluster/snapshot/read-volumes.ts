import { QuiesceError } from '../../errors.ts';
import {
  annotationsOf,
  at,
  type KubeObject,
  labelsOf,
  listAt,
  textAt,
} from '../objects/kube-object.ts';
import type { PlanMember } from '../plan/document.ts';
import {
  CLAIMS,
  CLASSES,
  each,
  groupClasses,
  type Kind,
  PODS,
  type ObjectApi,
  SNAPSHOTS,
  STORAGE_CLASSES,
  VOLUMES,
} from '../api/objects.ts';
import { recordOfClaim } from '../run/claim-record.ts';
import { ATOMIC_ANNOTATION, type ClaimFacts, type SnapshotClass } from './classes.ts';
import { bytesOf } from '../objects/bytes.ts';

/** The versions of group snapshots whose JSON is alike in all that is used here, best first. */
const GROUP_VERSIONS = ['v1', 'v1beta2', 'v1beta1'];

/** A claim of some members, once for all of them. */
export interface ClaimKey {
  readonly namespace: string;
  readonly claim: string;
}

export function claimsOf(members: readonly PlanMember[]): readonly ClaimKey[] {
  const all = members.flatMap(({ namespace, claims }) =>
    claims.map((claim) => ({ namespace, claim })),
  );
  return [...new Map(all.map((one) => [keyOf(one), one])).values()];
}

export function keyOf({ namespace, claim }: ClaimKey): string {
  return `${namespace}/${claim}`;
}

/** What `each` claim is, with its volume, what its StorageClass declares, and the pods that mount it. */
export async function readClaims(
  api: ObjectApi,
  keys: readonly ClaimKey[],
): Promise<readonly ClaimFacts[]> {
  const namespaces = [...new Set(keys.map(({ namespace }) => namespace))];
  const [listed, running, declared] = await Promise.all([
    api.listIn(CLAIMS, namespaces),
    api.listIn(PODS, namespaces),
    readDeclared(api),
  ]);
  const [claims, pods] = [byKey(listed), mounts(running)];
  return await each(keys, async (key) => {
    const object = claims.get(keyOf(key));
    const name = textAt(object, 'spec', 'volumeName');
    const bound =
      textAt(object, 'status', 'phase') === 'Bound' && name !== undefined && name !== '';
    const volume = bound ? await api.get(VOLUMES, undefined, name) : undefined;
    return claimFacts(key, object, volume, { pods: pods.get(keyOf(key)) ?? [], declared });
  });
}

function claimFacts(
  key: ClaimKey,
  object: KubeObject | undefined,
  volume: KubeObject | undefined,
  { pods, declared }: { pods: readonly string[]; declared: ReadonlyMap<string, string> },
): ClaimFacts {
  const uid = object?.metadata?.uid;
  const phase = textAt(object, 'status', 'phase');
  const said = declared.get(textAt(object, 'spec', 'storageClassName') ?? '');
  const bytes = bytesOf(textAt(object, 'status', 'capacity', 'storage'));
  return {
    ...key,
    pods,
    // A volume that names another claim was bound to one that is gone.
    bound: volume !== undefined && textAt(volume, 'spec', 'claimRef', 'uid') === uid,
    deleting: object?.metadata?.deletionTimestamp !== undefined,
    annotations: annotationsOf(object),
    ...(uid !== undefined && { uid }),
    ...(phase !== undefined && {
      phase: phase === 'Bound' ? 'bound to a volume that is gone or of another claim' : phase,
    }),
    ...(volume !== undefined && { volume: volumeFacts(volume) }),
    ...(said !== undefined && { declared: said }),
    ...(bytes !== undefined && { bytes }),
    ...(object !== undefined && { record: recordOfClaim(object, volume) }),
  };
}

/** Fields of a volume's spec that are no source. */
const NO_SOURCES = new Set(['capacity', 'claimRef', 'nodeAffinity']);

function volumeFacts(volume: KubeObject): NonNullable<ClaimFacts['volume']> {
  const name = volume.metadata?.name ?? '';
  const driver = textAt(volume, 'spec', 'csi', 'driver');
  const handle = textAt(volume, 'spec', 'csi', 'volumeHandle');
  const source = Object.entries(at(volume, 'spec') ?? {}).find(
    ([field, value]) =>
      typeof value === 'object' && !Array.isArray(value) && !NO_SOURCES.has(field),
  );
  return {
    name,
    source: source?.[0] ?? 'of an unknown kind',
    ...(driver !== undefined && { driver }),
    ...(handle !== undefined && { handle }),
  };
}

function byKey(claims: readonly KubeObject[]): ReadonlyMap<string, KubeObject> {
  return new Map(
    claims.map((one) => [
      keyOf({ namespace: one.metadata?.namespace ?? '', claim: one.metadata?.name ?? '' }),
      one,
    ]),
  );
}

/** The running pods that mount each claim. */
function mounts(pods: readonly KubeObject[]): ReadonlyMap<string, readonly string[]> {
  const found = new Map<string, string[]>();
  for (const pod of pods) {
    const phase = textAt(pod, 'status', 'phase');
    if (phase === 'Succeeded' || phase === 'Failed') continue;
    const { namespace = '', name = '' } = pod.metadata ?? {};
    for (const volume of listAt(pod, 'spec', 'volumes')) {
      const own = textAt(volume, 'persistentVolumeClaim', 'claimName');
      const ephemeral =
        at(volume, 'ephemeral') === undefined
          ? undefined
          : `${name}-${textAt(volume, 'name') ?? ''}`;
      const claim = own ?? ephemeral;
      if (claim === undefined) continue;
      const key = keyOf({ namespace, claim });
      found.set(key, [...(found.get(key) ?? []), name].sort());
    }
  }
  return found;
}

async function readDeclared(api: ObjectApi): Promise<ReadonlyMap<string, string>> {
  const classes = (await api.list(STORAGE_CLASSES, undefined)) ?? [];
  return new Map(
    classes.flatMap((one) => {
      const said = annotationsOf(one)[ATOMIC_ANNOTATION];
      return said === undefined ? [] : [[one.metadata?.name ?? '', said] as const];
    }),
  );
}

/** @throws QuiesceError SNAPSHOT_API_MISSING */
export async function readClasses(api: ObjectApi): Promise<readonly SnapshotClass[]> {
  const found = await api.list(CLASSES, undefined);
  if (found !== undefined) return found.map(classOf);
  const { group, version } = SNAPSHOTS;
  throw new QuiesceError('SNAPSHOT_API_MISSING', `The cluster does not serve ${group}/${version}.`);
}

/** The best version of group snapshots that the cluster serves; `undefined`: none. */
export async function groupVersion(api: ObjectApi): Promise<string | undefined> {
  const { status, body } = await api.read('/apis/groupsnapshot.storage.k8s.io');
  if (status !== 200) return undefined;
  const served = listAt(body, 'versions').map((one) => textAt(one, 'version'));
  return GROUP_VERSIONS.find((one) => served.includes(one));
}

export async function readGroupClasses(
  api: ObjectApi,
  version: string | undefined,
): Promise<readonly SnapshotClass[]> {
  if (version === undefined) return [];
  const kind: Kind = groupClasses(version);
  return ((await api.list(kind, undefined)) ?? []).map(classOf);
}

function classOf(object: KubeObject): SnapshotClass {
  return {
    name: object.metadata?.name ?? '',
    driver: textAt(object, 'driver') ?? '',
    parameters: Object.keys(at(object, 'parameters') ?? {}),
    labels: labelsOf(object),
    annotations: annotationsOf(object),
  };
}
