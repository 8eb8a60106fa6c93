import type { RestoreLevel } from '../../receipt/restore-level.ts';
import type { MemberRef, NotKept } from '../plan/document.ts';

/**
 * `proven`: all members are healthy, and each that holds data says at least `position`. `unproven`: healthy,
 * but nothing shows that all of the data is there. `failed`: a member did not come up, or its data
 * contradicts its receipt.
 */
export type RestoreVerdict = 'proven' | 'unproven' | 'failed';

export interface RestoreProblem {
  /** In upper case: `MEMBER_NOT_HEALTHY`. */
  readonly code: string;
  readonly message: string;
  /** What to do about it. */
  readonly hint?: string;
  /** `KIND/NAME`, with the namespace before it; absent: the run as a whole. */
  readonly object?: string;
}

/** Where a run took the data from. */
export interface RestoreSource {
  readonly kind: 'backup' | 'snapshot';
  /** The name of Velero's Backup, or the id of the run that made the snapshots. */
  readonly name: string;
  /** When it was begun, by the clock of its cluster. */
  readonly takenAt?: string;
  /** Namespaces of the source, and what they became. */
  readonly namespaces: Readonly<Record<string, string>>;
  /** Of a run from snapshots: what it was told, so that it can go on. */
  readonly snapshot?: SnapshotRestore;
}

export interface SnapshotRestore {
  /** The volumes of an application that was there were replaced. */
  readonly inPlace: boolean;
  /** Where the other objects came from. */
  readonly objects: 'live' | 'manifests' | 'backup';
  /** The files and folders, or the name of the backup. */
  readonly from?: readonly string[];
  readonly withIngress: boolean;
  /** StorageClasses of the source, and what they became. */
  readonly storageClasses: Readonly<Record<string, string>>;
}

export interface RestoreLayer {
  readonly members: readonly MemberRef[];
  /** When its gates were lifted; absent: not yet. */
  readonly startedAt?: string;
  /** When the last of its members was healthy; absent: not yet. */
  readonly healthyAt?: string;
}

export interface RestoredMember extends MemberRef {
  readonly engine?: string;
  /** The lowest level of its sidecars; absent: it holds no data that a sidecar could judge. */
  readonly level?: RestoreLevel;
  /** The engine's words for the level, or for what keeps it from a higher one. */
  readonly message?: string;
  readonly problems: readonly RestoreProblem[];
  /** The steps, in milliseconds since the start of the run, by one monotonic clock: for the timeline. */
  readonly timeline: {
    /** Its first pod was seen held by a gate. */
    readonly gatedMs?: number;
    readonly releasedMs?: number;
    /** All its pods were ready. */
    readonly readyMs?: number;
    /** Its sidecars had judged the data. */
    readonly verifiedMs?: number;
    readonly healthyMs?: number;
  };
  /** When the data was acknowledged at the latest: the call of its freeze. Absent: no receipt. */
  readonly dataAt?: string;
  /** Of its restored claims. */
  readonly bytes?: number;
}

interface Recovery {
  readonly apiVersion: 'quiesce.dev/v1';
  /** `GROUP-UTCTIME-4HEX`. */
  readonly id: string;
  readonly group: string;
  readonly source: RestoreSource;
  /** Absent while it is under way. */
  readonly verdict?: RestoreVerdict;
  readonly layers: readonly RestoreLayer[];
  readonly members: readonly RestoredMember[];
  readonly problems: readonly RestoreProblem[];
  /** Stores of its members that the source does not hold; absent: none, or not known. */
  readonly notKept?: readonly NotKept[];
  readonly startedAt: string;
  readonly endedAt?: string;
  /** From the start to the last healthy member, measured by a monotonic clock. */
  readonly rtoSeconds?: number;
  /** The age of the oldest receipt at the start. Absent: a member that holds data has no receipt. */
  readonly rpoSeconds?: number;
  /** What was left out, where the run would not fit into its ConfigMap. */
  readonly shortened?: string;
}

/** What `quiesce restore -o json` prints, and what the ConfigMap of the run holds. */
export interface RestoreRun extends Recovery {
  readonly kind: 'RestoreRun';
}

export const DRILL_MODES = ['data', 'application'] as const;
export type DrillMode = (typeof DRILL_MODES)[number];

/** What `quiesce drill -o json` prints, and what the ConfigMap of the run holds. */
export interface DrillRun extends Recovery {
  readonly kind: 'DrillRun';
  readonly mode: DrillMode;
  /** The scratch namespaces. They are gone when the run has ended. */
  readonly scratch: readonly string[];
  /** Whether everything that it made is gone. */
  readonly removed?: boolean;
}

export type RecoveryRun = RestoreRun | DrillRun;
