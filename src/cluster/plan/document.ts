/** Identifies a member of an application. `kind` has no group: a custom resource has its own kind. */
export interface MemberRef {
  readonly namespace: string;
  readonly kind: string;
  readonly name: string;
}

export const STAGES = ['infrastructure', 'databases', 'messaging', 'applications'] as const;
export type Stage = (typeof STAGES)[number];

/** What a member's place in the order rests on. */
export type From = 'annotation' | 'stage' | 'image';

/**
 * How a snapshot treats the member's volumes. `sidecar`: a sidecar freezes each of its pods. `none`: the user
 * declared that nothing freezes them (`quiesce.dev/freeze: none`), so they are crash-consistent and the run
 * is unproven. `missing`: it has claims, and nothing freezes them. `not-needed`: it has no claims, or its pods
 * only read them.
 */
export type Protection = 'sidecar' | 'none' | 'missing' | 'not-needed';

/** What the label `velero.io/exclude-from-backup` leaves out: it is neither frozen nor cut. */
export interface LeftOut {
  readonly pods: readonly string[];
  readonly claims: readonly string[];
}

/** A claim that is cut while somebody may write to it whom no sidecar of the run holds. */
export interface UnfrozenClaim {
  readonly claim: string;
  /** Its name in the pods of the member; absent: not known. */
  readonly volume?: string;
  readonly why: string;
  /** The annotation by which the user says that it needs no freeze. */
  readonly declared?: string;
}

export interface PlanMember extends MemberRef {
  /** The engine, or what the image is known as; absent: it is not known to hold state. */
  readonly engine?: string;
  readonly stage: Stage;
  readonly from: From;
  readonly priority: string;
  readonly protection: Protection;
  /** Names of the pods: those that run, or, where none does, those that the workload will make. */
  readonly pods: readonly string[];
  /** How many pods it is meant to have; absent: the objects do not say. */
  readonly replicas?: number;
  /** Names of the claims of its pods, in its namespace. */
  readonly claims: readonly string[];
  /** Those of its pods and claims that a backup leaves out; absent: none. */
  readonly leftOut?: LeftOut;
  /** Its claims that nothing freezes, although its pods have sidecars; absent: none. */
  readonly unfrozen?: readonly UnfrozenClaim[];
  /** Why the data of a database that is frozen is in no snapshot; absent: it is in one. */
  readonly dataNotCut?: readonly string[];
  /** The pods that it is meant to have and has not, by name or number; absent: none. */
  readonly missingPods?: readonly string[];
  /**
   * The members it comes directly after, as `KIND/NAME` or `NAMESPACE/KIND/NAME`: all that it names, those
   * of the next lower number, and those of the nearest earlier stage. What these come after is left out.
   */
  readonly after: readonly string[];
  /** How many more of a number or a stage it comes directly after; absent: `after` has all. */
  readonly afterOmitted?: number;
  /** Those of them that its own `quiesce.dev/depends-on` names. */
  readonly dependsOn: readonly string[];
  /** Its number from `quiesce.dev/order`. */
  readonly order?: number;
}

export interface PlanProblem {
  /** In upper case, as the doctor's: `CLAIM_WITHOUT_CLASS`. */
  readonly code: string;
  readonly severity: 'error' | 'warning' | 'info';
  readonly message: string;
  /** `KIND/NAME`, with the namespace before it: `shop StatefulSet/db`. */
  readonly object: string;
  /** What to do about it. */
  readonly fix?: string;
}

/** A store that a restore does not bring back. */
export interface NotKept {
  readonly member: MemberRef;
  /** The name of the volume; `(memory)` for what an engine holds in memory only. */
  readonly volume: string;
  readonly why: string;
  /** What the user said of it in `quiesce.dev/state`. */
  readonly declared?: string;
}

export interface PlanLayer {
  readonly members: readonly PlanMember[];
}

/** What `quiesce plan -o json` prints. */
export interface Plan {
  readonly apiVersion: 'quiesce.dev/v1';
  readonly kind: 'Plan';
  /** The name of the application: its group, or its namespace. */
  readonly group: string;
  readonly namespaces: readonly string[];
  readonly layers: readonly PlanLayer[];
  readonly problems: readonly PlanProblem[];
  readonly notKept: readonly NotKept[];
}

/** The member with the pods and claims that a backup holds. */
export function backedUp<M extends Pick<PlanMember, 'pods' | 'claims' | 'leftOut'>>(member: M): M {
  const { leftOut, pods, claims } = member;
  if (leftOut === undefined) return member;
  const kept = (names: readonly string[], left: readonly string[]): readonly string[] => {
    const out = new Set(left);
    return names.filter((one) => !out.has(one));
  };
  return { ...member, pods: kept(pods, leftOut.pods), claims: kept(claims, leftOut.claims) };
}

/** All members of a plan, in the order of its layers. */
export function membersOf({ layers }: Pick<Plan, 'layers'>): readonly PlanMember[] {
  return layers.flatMap(({ members }) => members);
}
