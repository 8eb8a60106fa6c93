import { at, type KubeObject, namespaceOf, textAt } from '../objects/kube-object.ts';
import type { MemberSnapshot, RunProblem, SnapshotRun } from './document.ts';
import type { SeenVerdict } from './seen-verdict.ts';

/** What keeps a run from being what its report says. */
export interface Doubt {
  readonly verdict: SeenVerdict;
  readonly problem: RunProblem;
}

/** Of the snapshots with the label of the run, those that its report names. Anybody may write a label. */
export function namedIn(
  { members }: SnapshotRun,
  labelled: readonly KubeObject[],
): readonly KubeObject[] {
  const cut = members.flatMap(({ snapshots }) => snapshots);
  return labelled.filter((one) => cut.some((named) => isSame(named, one)));
}

function isSame({ namespace, name }: MemberSnapshot, object: KubeObject): boolean {
  return namespace === namespaceOf(object) && name === object.metadata?.name;
}

/**
 * Snapshots that the report names and that are no longer what they were.
 *
 * @param looked the namespaces that were looked into; `undefined`: all
 */
export function doubtsOf(
  { members, verdict }: SnapshotRun,
  snapshots: readonly KubeObject[],
  looked: readonly string[] | undefined,
): readonly Doubt[] {
  if (verdict === 'failed') return [];
  return members
    .flatMap((one) => one.snapshots)
    .filter(({ namespace }) => looked === undefined || looked.includes(namespace))
    .flatMap((named) => {
      const state = stateOf(
        named,
        snapshots.find((one) => isSame(named, one)),
      );
      if (state === undefined) return [];
      const { namespace, name, claim } = named;
      const message = `The snapshot ${name} of the claim ${claim} in ${namespace} ${state}.`;
      return [{ verdict: 'failed', problem: { code: 'SNAPSHOT_GONE', message } } as const];
    });
}

function stateOf(named: MemberSnapshot, found: KubeObject | undefined): string | undefined {
  if (found === undefined) return 'is gone';
  if (named.uid !== undefined && textAt(found, 'metadata', 'uid') !== named.uid) {
    return 'is another object than the one that was cut';
  }
  if (at(found, 'metadata', 'deletionTimestamp') !== undefined) return 'is being deleted';
  if (named.ready && at(found, 'status', 'readyToUse') !== true) return 'is no longer ready to use';
  return undefined;
}
