import { QuiesceError } from '../../../errors.ts';
import { at, type KubeObject } from '../../objects/kube-object.ts';
import { bytesOf } from '../../objects/bytes.ts';
import { type ClaimRecord, recordOfClaim } from '../../run/claim-record.ts';
import { objectName } from '../../run/object-names.ts';
import { RESTORE } from '../names.ts';
import type { SourceVolume } from './source-volume.ts';

/** Where volumes are made, and for which run. */
export interface VolumeTarget {
  /** The id of the run that makes them. */
  readonly id: string;
  readonly group: string;
  readonly namespace: string;
  /** StorageClasses of the source → of the target. */
  readonly storageClasses?: ReadonlyMap<string, string>;
  /** On everything that is made, besides the run's own label: `quiesce.dev/drill`. */
  readonly labels?: Readonly<Record<string, string>>;
  readonly annotations?: Readonly<Record<string, string>>;
  /** VolumeSnapshotClasses that the cluster has; absent: all that are named. */
  readonly snapshotClasses?: ReadonlySet<string>;
}

/** What makes one volume anew, in the order of its creation. */
export interface VolumeManifests {
  readonly content?: KubeObject;
  readonly snapshot?: KubeObject;
  readonly claim: KubeObject;
}

const SNAPSHOT_API = 'snapshot.storage.k8s.io';

/**
 * The objects that make a claim from a snapshot. In the namespace of the VolumeSnapshot the claim names it;
 * elsewhere a content and a VolumeSnapshot of the run's own stand for the same snapshot on the storage. Pure.
 *
 * @param claims further descriptions of the claim: the live one, one of a manifest, a template
 */
export function manifestsOf(
  volume: SourceVolume,
  target: VolumeTarget,
  claims: readonly KubeObject[] = [],
): VolumeManifests {
  const existing = volume.snapshot;
  if (existing !== undefined && existing.namespace === target.namespace) {
    return { claim: claimOf(volume, target, claims, existing.name) };
  }
  const name = objectName(volume.claim, target);
  const content = objectName(`${target.namespace}-${volume.claim}`, target);
  return {
    content: contentOf(volume, target, { name: content, snapshot: name }),
    snapshot: {
      apiVersion: `${SNAPSHOT_API}/v1`,
      kind: 'VolumeSnapshot',
      metadata: { name, namespace: target.namespace, ...marks(target) },
      spec: { source: { volumeSnapshotContentName: content } },
    },
    claim: claimOf(volume, target, claims, name),
  };
}

/** The content keeps the storage's snapshot, whoever deletes it. */
function contentOf(
  { stored }: SourceVolume,
  target: VolumeTarget,
  { name, snapshot }: { readonly name: string; readonly snapshot: string },
): KubeObject {
  const { driver, handle, className, sourceVolumeMode, annotations } = stored;
  const own = marks(target);
  const usable = className !== undefined && (target.snapshotClasses?.has(className) ?? true);
  return {
    apiVersion: `${SNAPSHOT_API}/v1`,
    kind: 'VolumeSnapshotContent',
    metadata: { name, ...own, annotations: { ...annotations, ...own.annotations } },
    spec: {
      deletionPolicy: 'Retain',
      driver,
      source: { snapshotHandle: handle },
      ...(sourceVolumeMode !== undefined && { sourceVolumeMode }),
      ...(usable && { volumeSnapshotClassName: className }),
      volumeSnapshotRef: { name: snapshot, namespace: target.namespace },
    },
  };
}

function claimOf(
  volume: SourceVolume,
  target: VolumeTarget,
  claims: readonly KubeObject[],
  snapshot: string,
): KubeObject {
  const record = describedBy(volume, claims);
  const { accessModes, labels, annotations } = record;
  const own = marks(target);
  const volumeMode = volume.stored.sourceVolumeMode ?? record.volumeMode;
  const storageClassName = storageClassFor(record, target);
  return {
    apiVersion: 'v1',
    kind: 'PersistentVolumeClaim',
    metadata: {
      name: volume.claim,
      namespace: target.namespace,
      labels: { ...labels, ...own.labels },
      annotations: { ...annotations, ...own.annotations },
    },
    spec: {
      accessModes: accessModes.length > 0 ? accessModes : ['ReadWriteOnce'],
      ...(volumeMode !== undefined && { volumeMode }),
      ...(storageClassName !== undefined && { storageClassName }),
      resources: { requests: { storage: sizeFor(volume, claims) } },
      dataSource: { apiGroup: SNAPSHOT_API, kind: 'VolumeSnapshot', name: snapshot },
    },
  };
}

/** The record first, which is of the moment of the cut; what it lacks, others say. */
export function describedBy(
  { record }: Pick<SourceVolume, 'record'>,
  claims: readonly KubeObject[],
): ClaimRecord {
  const all = [
    ...(record === undefined ? [] : [record]),
    ...claims.map((one) => recordOfClaim(one)),
  ];
  const modes = all.map(({ accessModes }) => accessModes).find((one) => one.length > 0);
  return { ...Object.assign({}, ...all.toReversed()), accessModes: modes ?? [] };
}

/** `undefined`: nobody knows it, and the cluster's default class decides. */
export function storageClassFor(
  { storageClass }: Pick<ClaimRecord, 'storageClass'>,
  { storageClasses }: Pick<VolumeTarget, 'storageClasses'>,
): string | undefined {
  return storageClass === undefined
    ? storageClasses?.get('')
    : (storageClasses?.get(storageClass) ?? storageClass);
}

/**
 * The largest of all that is known of the claim: it may have grown since, or before its template did.
 *
 * @throws QuiesceError CLAIM_UNKNOWN
 */
function sizeFor(
  { claim, namespace, restoreSize, record }: SourceVolume,
  claims: readonly KubeObject[],
): string {
  const said = [
    restoreSize,
    record?.request,
    record?.capacity,
    ...claims.flatMap((one) => [
      at(one, 'spec', 'resources', 'requests', 'storage'),
      at(one, 'status', 'capacity', 'storage'),
    ]),
  ];
  const sizes = said.map((one) => ({ text: String(one), bytes: bytesOf(one) ?? 0 }));
  const best = sizes.reduce((a, b) => (b.bytes >= a.bytes ? b : a), { text: '', bytes: 0 });
  if (best.bytes > 0) return best.text;
  const message = `Nothing says how large the claim ${claim} in ${namespace} was.`;
  throw new QuiesceError('CLAIM_UNKNOWN', message);
}

/** On everything that a run makes, so that it is found again, whatever happens. */
export function marks({
  id,
  labels,
  annotations,
}: Pick<VolumeTarget, 'id' | 'labels' | 'annotations'>): {
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
} {
  return { labels: { ...labels, [RESTORE.run]: id }, annotations: { ...annotations } };
}
