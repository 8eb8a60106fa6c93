import type { PlanMember } from '../plan/document.ts';
import type { ClaimRecord } from '../run/claim-record.ts';
import type { MemberSnapshot, Retained, RunProblem, SnapshotRun } from './document.ts';

/**
 * Whether a driver cuts a volume at one moment. `true`: it is known to. `false`: it is known to copy live
 * files, and never proven. `'unknown'`: nothing is known of it, and the run names it.
 */
export type Atomic = boolean | 'unknown';

export interface RunName {
  readonly id: string;
  readonly group: string;
  /** The namespace of its Lease. */
  readonly lease?: string;
}

/** A claim that will be cut. One that several members mount is listed once. */
export interface PlannedClaim {
  readonly namespace: string;
  readonly claim: string;
  /** The uid of the claim when it was looked at, before anything was frozen. */
  readonly uid: string;
  readonly driver: string;
  /** The VolumeSnapshotClass, or, in a group snapshot, the VolumeGroupSnapshotClass. */
  readonly snapshotClass: string;
  readonly atomic: Atomic;
  /** The volume, as its driver names it. */
  readonly handle?: string;
  /** The capacity of the claim. */
  readonly bytes?: number;
  /** What the claim is, to make it anew. */
  readonly record?: ClaimRecord;
  /** The pods that mount it. */
  readonly pods?: readonly string[];
}

/** What a run will cut. */
export interface VolumePlan {
  readonly claims: readonly PlannedClaim[];
  /** One VolumeGroupSnapshot holds all claims. */
  readonly group: boolean;
  /** What the user should know, such as a driver of which nothing is known. */
  readonly notes: readonly RunProblem[];
}

/** A VolumeSnapshot of the run. */
export interface CutSnapshot extends MemberSnapshot {
  /** It was seen as cut: bound both ways, with a handle and a creation time, and with no error. */
  readonly cut: boolean;
  /** The uid of the claim, read after the cut was seen; absent: the claim was gone or could not be read. */
  readonly claimUid?: string;
  readonly driver?: string;
  /** The volume, as its driver names it. */
  readonly handle?: string;
  /** What the claim was when it was looked at. */
  readonly record?: ClaimRecord;
  /** The pods that mounted the claim when it was looked at. */
  readonly pods?: readonly string[];
}

export interface CutResult {
  readonly run: RunName;
  /** All of them are in one VolumeGroupSnapshot, which was seen as cut. */
  readonly group: boolean;
  /** The VolumeGroupSnapshot. */
  readonly groupSnapshot?: { readonly namespace: string; readonly name: string };
  readonly snapshots: readonly CutSnapshot[];
  /** What went wrong; not empty: the run is not proven. */
  readonly problems: readonly RunProblem[];
}

/** The volume side of a run. */
export interface Volumes {
  /**
   * Looks at classes, drivers and claims before anything is frozen.
   *
   * @throws QuiesceError if a claim of these members cannot be cut
   */
  preflight(members: readonly PlanMember[], signal: AbortSignal): Promise<VolumePlan>;
  /** Marks as `failed` what an earlier run of this group left as `pending`; says what it found. */
  sweep(group: string): Promise<readonly RunProblem[]>;
  /**
   * Creates all snapshots with the verdict `pending`, and resolves once each was seen as cut. A snapshot
   * that was not cut is a problem in the result. Whatever it created before it rejects is named by the
   * labels of the run, so that `discard` finds it.
   */
  cut(run: RunName, plan: VolumePlan, signal: AbortSignal): Promise<CutResult>;
  /** Resolves once all are ready, or with those that are not when the signal aborts. */
  ready(cut: CutResult, signal: AbortSignal): Promise<CutResult>;
  /** Writes verdicts, receipts and the report. The verdict `proven` is written last. */
  record(run: SnapshotRun, cut: CutResult | undefined): Promise<void>;
  /** Deletes what a failed run cut, by the labels of the run. @returns what its class retains */
  discard(run: RunName): Promise<Retained>;
}
