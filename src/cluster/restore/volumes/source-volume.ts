import type { RunVerdict } from '../../snapshot/document.ts';
import type { ClaimRecord } from '../../run/claim-record.ts';

/** A snapshot on the storage, with what a content for it needs to say. */
export interface StoredSnapshot {
  readonly driver: string;
  /** The snapshot, as its driver names it. */
  readonly handle: string;
  /** `Filesystem` or `Block`, of the volume that was cut. */
  readonly sourceVolumeMode?: string;
  /** The VolumeSnapshotClass that cut it. Its driver may need the class's secrets to find the snapshot. */
  readonly className?: string;
  /** Names of the secrets, which the csi-snapshotter reads from the content. */
  readonly annotations: Readonly<Record<string, string>>;
}

/** A claim as it was cut, from which a restore makes a new one. */
export interface SourceVolume {
  /** Of the claim that was cut. */
  readonly namespace: string;
  readonly claim: string;
  readonly stored: StoredSnapshot;
  /** The VolumeSnapshot, where it exists in this cluster. */
  readonly snapshot?: { readonly namespace: string; readonly name: string };
  /** What a claim from it needs at least, in bytes. */
  readonly restoreSize?: number;
  /** Absent: nobody wrote down what the claim was. */
  readonly record?: ClaimRecord;
  /** Of the pod that mounted it. */
  readonly receipt?: Readonly<Record<string, unknown>>;
}

/** The volumes of a run or of a backup. */
export interface SourceVolumes {
  readonly group: string;
  readonly verdict: RunVerdict;
  /** When it was begun. */
  readonly takenAt?: string;
  readonly volumes: readonly SourceVolume[];
}
