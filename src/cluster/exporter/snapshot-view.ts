import { at, type KubeObject, labelsOf, namespaceOf, textAt } from '../objects/kube-object.ts';
import { RUN_LABELS } from '../run/names.ts';

/** What the exporter keeps of a VolumeSnapshot: thousands of them are in memory at a time. */
export interface SnapshotView {
  readonly uid: string;
  readonly namespace: string;
  /** Its label `quiesce.dev/group`; without one, the namespace. */
  readonly group: string;
  /** The name of its VolumeSnapshotClass. */
  readonly className?: string;
  /** The name of its VolumeSnapshotContent. */
  readonly content?: string;
  readonly ready: boolean;
  /** The driver says when it cut it. */
  readonly cut: boolean;
  readonly error?: string;
}

/**
 * Reads a VolumeSnapshot. `undefined` for one that cuts nothing, as it stands for a snapshot which the
 * storage has already: a restore and a data mover make such objects.
 */
export function viewOf(object: unknown): SnapshotView | undefined {
  const snapshot = (object ?? {}) as KubeObject;
  const uid = textAt(snapshot, 'metadata', 'uid');
  if (uid === undefined || standsForExisting(snapshot)) return undefined;
  const className = textAt(snapshot, 'spec', 'volumeSnapshotClassName');
  const content = textAt(snapshot, 'status', 'boundVolumeSnapshotContentName');
  const failed = at(snapshot, 'status', 'error') !== undefined;
  const namespace = namespaceOf(snapshot);
  return {
    uid,
    namespace,
    group: labelsOf(snapshot)[RUN_LABELS.group] || namespace,
    ...(className && { className }),
    ...(content && { content }),
    ready: at(snapshot, 'status', 'readyToUse') === true,
    cut: textAt(snapshot, 'status', 'creationTime') !== undefined,
    ...(failed && { error: textAt(snapshot, 'status', 'error', 'message') ?? '' }),
  };
}

function standsForExisting(snapshot: KubeObject): boolean {
  if (textAt(snapshot, 'spec', 'source', 'volumeSnapshotContentName') === undefined) return false;
  // The members of a group snapshot are made by the snapshot controller, and the group cut them.
  const owners = snapshot.metadata?.ownerReferences ?? [];
  return !owners.some(({ kind }) => kind === 'VolumeGroupSnapshot');
}

/** The drivers of VolumeSnapshotClasses, by name. */
export function driversOf(classes: readonly unknown[]): ReadonlyMap<string, string> {
  const found = new Map<string, string>();
  for (const one of classes) {
    const [name, driver] = [textAt(one, 'metadata', 'name'), textAt(one, 'driver')];
    if (name !== undefined && driver !== undefined) found.set(name, driver);
  }
  return found;
}
