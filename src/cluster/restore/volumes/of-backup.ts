import { annotationsOf, at, type KubeObject, textAt } from '../../objects/kube-object.ts';
import { bytesOf } from '../../objects/bytes.ts';
import { recordOfClaim } from '../../run/claim-record.ts';
import { storedOf } from './of-run.ts';
import type { SourceVolume, StoredSnapshot } from './source-volume.ts';

/** What Velero writes on a VolumeSnapshot in its backup. */
const VELERO = {
  handle: 'velero.io/csi-volumesnapshot-handle',
  driver: 'velero.io/csi-driver-name',
  restoreSize: [
    'velero.io/csi-volumesnapshot-restore-size',
    'velero.io/vsi-volumesnapshot-restore-size',
  ],
  className: 'velero.io/csi-volumesnapshot-class',
} as const;

export interface BackupVolumes {
  readonly volumes: readonly SourceVolume[];
  /** Claims that the backup holds without a snapshot of the storage, as `NAMESPACE/NAME`. */
  readonly without: readonly string[];
}

/**
 * The volumes of a backup that Velero made by CSI snapshots which are still on the storage. Volumes that it
 * has moved or copied as files have none. Pure.
 *
 * @param objects what the backup holds
 */
export function volumesOfBackup(backup: KubeObject, objects: readonly KubeObject[]): BackupVolumes {
  // The snapshots that a data mover has read are deleted again.
  const moved = at(backup, 'spec', 'snapshotMoveData') === true;
  const ofKind = (kind: string): readonly KubeObject[] =>
    objects.filter((one) => one.kind === kind);
  const contents = new Map(
    ofKind('VolumeSnapshotContent').map((one) => [one.metadata?.name ?? '', one]),
  );
  const claims = ofKind('PersistentVolumeClaim');
  const persistent = new Map(
    ofKind('PersistentVolume').map((one) => [one.metadata?.name ?? '', one]),
  );
  const snapshots = new Map<string, KubeObject>();
  for (const one of ofKind('VolumeSnapshot')) {
    const claim = textAt(one, 'spec', 'source', 'persistentVolumeClaimName');
    if (claim !== undefined) snapshots.set(`${one.metadata?.namespace ?? ''}/${claim}`, one);
  }
  const volumes: SourceVolume[] = [];
  const without: string[] = [];
  for (const claim of claims) {
    const { namespace = '', name = '' } = claim.metadata ?? {};
    const snapshot = snapshots.get(`${namespace}/${name}`);
    const bound = textAt(snapshot, 'status', 'boundVolumeSnapshotContentName') ?? '';
    const stored = moved ? undefined : snapshot && storedIn(snapshot, contents.get(bound));
    if (snapshot === undefined || stored === undefined) {
      without.push(`${namespace}/${name}`);
      continue;
    }
    const volume = persistent.get(textAt(claim, 'spec', 'volumeName') ?? '');
    const notes = annotationsOf(snapshot);
    const said = VELERO.restoreSize.map((key) => notes[key]).find((one) => one !== undefined);
    const size = bytesOf(at(snapshot, 'status', 'restoreSize') ?? said);
    volumes.push({
      namespace,
      claim: name,
      stored,
      ...(size !== undefined && size > 0 && { restoreSize: size }),
      record: recordOfClaim(claim, volume),
    });
  }
  return { volumes, without };
}

/** The content says more than Velero's annotations, which are there in every backup by CSI. */
function storedIn(
  snapshot: KubeObject,
  content: KubeObject | undefined,
): StoredSnapshot | undefined {
  const whole = content === undefined ? undefined : storedOf(content);
  if (whole !== undefined) return whole;
  const said = annotationsOf(snapshot);
  const [handle, driver] = [said[VELERO.handle], said[VELERO.driver]];
  if (!handle || !driver) return undefined;
  const className = textAt(snapshot, 'spec', 'volumeSnapshotClassName') ?? said[VELERO.className];
  return { driver, handle, ...(className && { className }), annotations: {} };
}
