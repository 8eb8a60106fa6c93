import type { KubeObject } from '../objects/kube-object.ts';
import type { View } from '../inventory/workloads.ts';
import type { PlanMember } from './document.ts';

/** A volume of a member's pods that a PersistentVolumeClaim backs. */
export interface MemberClaim {
  /** The name of the claim, in the member's namespace. */
  readonly name: string;
  /** The name of the volume in the pod. */
  readonly volume: string;
  /** `volume`: the pod names the claim. `template`: the workload makes it. `ephemeral`: it ends with its pod. */
  readonly source: 'volume' | 'template' | 'ephemeral';
  /** The claim, or the template that it will be made from; `undefined`: neither is in the inventory. */
  readonly object: KubeObject | undefined;
}

/** A member with what its plan rests on. The document has the fields of `PlanMember` only. */
export interface PlannedMember extends PlanMember {
  /** The workload, or the custom resource. */
  readonly object: KubeObject;
  /** Annotations of workload and template, aliases under their own names. Where both differ the workload's count. */
  readonly annotations: Readonly<Record<string, string>>;
  /** Its running pods, or, where none runs, the templates of its pods; none for a resource without pods. */
  readonly views: readonly View[];
  readonly volumeClaims: readonly MemberClaim[];
  /** Changes with the specification of its workloads, such as their number of replicas. */
  readonly revision: string;
}
