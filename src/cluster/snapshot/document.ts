import type { MemberRef, UnfrozenClaim } from '../plan/document.ts';

/** `pending` only stands on objects while their run is under way. */
export type RunVerdict = 'proven' | 'unproven' | 'failed';

/** The receipt of one pod's freeze. A member with several pods has one for each. */
export interface PodReceipt {
  readonly pod: string;
  /** The sidecar's final receipt; absent: it gave none. */
  readonly receipt?: Readonly<Record<string, unknown>>;
}

export interface MemberSnapshot {
  readonly namespace: string;
  /** The VolumeSnapshot. */
  readonly name: string;
  readonly claim: string;
  readonly uid?: string;
  /** When the driver cut it, by the driver's clock; absent: never seen as cut. */
  readonly cutAt?: string;
  readonly ready: boolean;
  /** The size that a restored claim needs, in bytes. */
  readonly restoreSize?: number;
}

export interface RunMember extends MemberRef {
  readonly engine?: string;
  /** The receipt of its first pod, where it has one. */
  readonly receipt?: Readonly<Record<string, unknown>>;
  /** Receipts of all its pods. */
  readonly receipts: readonly PodReceipt[];
  readonly snapshots: readonly MemberSnapshot[];
  /** The steps, in milliseconds since the start of the run, by one monotonic clock: for the timeline. */
  readonly timeline: {
    readonly freezeAskedMs?: number;
    readonly frozenMs?: number;
    readonly cutSeenMs?: number;
    readonly thawAskedMs?: number;
    readonly thawedMs?: number;
    readonly readyMs?: number;
  };
  readonly problems: readonly RunProblem[];
}

export interface RunProblem {
  readonly code: string;
  readonly message: string;
  readonly hint?: string;
}

/**
 * How the members stand to one another. `exact`: one moment for all. `complete-to`: everything that was
 * acknowledged before `at` is in every member; what came later may be in some.
 */
export interface Together {
  readonly kind: 'exact' | 'complete-to';
  /** Of an exact run: the moment of the cut by the driver's clock. */
  readonly at: string;
  /** The driver's clock is off: by that of the command, the cut was between `at` and this. */
  readonly until?: string;
  /** What the driver's clock said where it is off. */
  readonly driverAt?: string;
}

/** What stays with the storage behind it when snapshots are deleted: their class says `Retain`. */
export interface Retained {
  /** Names of VolumeSnapshotContents. */
  readonly contents: readonly string[];
  /** Names of VolumeGroupSnapshotContents. */
  readonly groups: readonly string[];
}

/** What `quiesce snapshot -o json` prints, and what the ConfigMap of the run holds. */
export interface SnapshotRun {
  readonly apiVersion: 'quiesce.dev/v1';
  readonly kind: 'SnapshotRun';
  /** `GROUP-UTCTIME-4HEX`, also the id of every freeze that the run makes. */
  readonly id: string;
  readonly group: string;
  /** The namespace of its ConfigMap: in any other one it is a copy, and speaks for nothing there. */
  readonly home?: string;
  readonly verdict: RunVerdict;
  /** Absent where nothing was cut. */
  readonly together?: Together;
  readonly members: readonly RunMember[];
  /** Claims that the label `velero.io/exclude-from-backup` leaves out; absent: none. */
  readonly leftOut?: readonly { readonly namespace: string; readonly claim: string }[];
  /** Claims that were cut while somebody may have written to them unfrozen; absent: none. */
  readonly unfrozen?: readonly (UnfrozenClaim & { readonly namespace: string })[];
  /** Of a failed run: contents that stay though its snapshots are deleted; absent: none. */
  readonly retained?: Retained;
  readonly problems: readonly RunProblem[];
  readonly startedAt: string;
  readonly endedAt: string;
  /** From the first answer of a freeze to the last. */
  readonly freezeSpreadMs: number;
  /** What was left out, where the run would not fit into its ConfigMap. */
  readonly shortened?: string;
}
