import type { Receipt } from '../../receipt/receipt.ts';
import type { MemberRef, UnfrozenClaim } from '../plan/document.ts';
import type { RunProblem } from './document.ts';
import type { Mark } from './steps.ts';
import type { CutSnapshot, PlannedClaim } from './volumes.ts';

/** A pod that mounts volumes of a member. */
export interface PodFacts {
  readonly name: string;
  readonly uid: string;
  /** Its uid after the cut; absent: it was gone, or could not be read. */
  readonly uidAtEnd?: string | undefined;
  readonly freeze?: FreezeFacts | undefined;
}

export interface FreezeFacts {
  readonly frozenAsked?: Mark | undefined;
  readonly frozen?: Mark | undefined;
  readonly held?: Receipt | undefined;
  readonly thawAsked?: Mark | undefined;
  readonly thawed?: Mark | undefined;
  readonly final?: Receipt | undefined;
  readonly problem?: RunProblem | undefined;
}

/** A member with claims. */
export interface MemberFacts extends MemberRef {
  readonly engine?: string | undefined;
  /** `none`: declared so. `at-rest`: it has no pods. `not-needed`: its pods only read what is cut. */
  readonly protection: 'sidecar' | 'none' | 'at-rest' | 'not-needed';
  readonly claims: readonly string[];
  readonly pods: readonly PodFacts[];
  /** Those of its claims to which somebody may have written unfrozen, before the freeze or after the cut. */
  readonly unfrozen?: readonly UnfrozenClaim[];
  /** Changes with the specification of its workloads. */
  readonly revision?: string | undefined;
  /** Names of its pods and claims after the cut; absent: the plan could not be made again. */
  readonly atEnd?:
    | {
        readonly pods: readonly string[];
        readonly claims: readonly string[];
        readonly revision?: string | undefined;
      }
    | undefined;
  /** Each commit that it acknowledges is on its disk. */
  readonly durable: boolean;
}

/** All that is known of a run when it is judged. */
export interface RunFacts {
  readonly id: string;
  readonly members: readonly MemberFacts[];
  readonly claims: readonly PlannedClaim[];
  /** Sentences: of which frozen databases no snapshot holds the data. */
  readonly dataNotCut?: readonly string[];
  /** Just before the first snapshot was created. */
  readonly cutBegun?: Mark | undefined;
  /** When all were seen as cut. */
  readonly cutSeen?: Mark | undefined;
  /** One group snapshot holds all claims. */
  readonly group: boolean;
  readonly snapshots: readonly CutSnapshot[];
  /** The Lease was held until all was done. */
  readonly leaseHeld: boolean;
  /** Whatever went wrong on the way. */
  readonly failures: readonly RunProblem[];
  /** By the clock of this machine, when the marks began to count. It informs only. */
  readonly startedAt: string;
  /** By the clock of this machine, just before the first freeze was asked: it informs only. */
  readonly calledAt: string;
}
