import { INJECT_LABEL } from '../objects/names.ts';
import { concernsSidecar } from '../inject/unknown.ts';
import type { PodFacts } from '../inventory/pod-facts.ts';
import { labelsOf } from '../objects/kube-object.ts';

/** Whether anything shows that the pod is meant to be protected: the label, an annotation or a sidecar. */
export function isMeantToBeProtected({ optIn, sidecar, native, annotations }: PodFacts): boolean {
  return (
    optIn !== undefined ||
    sidecar !== undefined ||
    native !== undefined ||
    Object.keys(annotations).some(concernsSidecar)
  );
}

/** The label is on the workload, where the webhook does not see it. */
export function isMisplaced({ workload, optIn }: PodFacts): boolean {
  const elsewhere =
    workload.kind !== 'Pod' && labelsOf(workload.object)[INJECT_LABEL] !== undefined;
  return optIn === undefined && elsewhere;
}

/** Whether the owner has said anything about the protection of the pod. */
export function isDecided(facts: PodFacts): boolean {
  return facts.unfrozen || isMeantToBeProtected(facts) || isMisplaced(facts);
}
