import { type KubeObject, textAt } from '../objects/kube-object.ts';
import type { RunProblem } from './document.ts';
import { errorOf, FINAL, timeOf } from './look.ts';

type SeenGroup =
  | { readonly state: 'waiting'; readonly why?: string }
  | { readonly state: 'cut' }
  | { readonly state: 'failed'; readonly problem: RunProblem };

interface ExpectedGroup {
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
  readonly driver: string;
}

/** Judges a group snapshot by what the API has of it and of its content now. */
export function lookAtGroup(
  expected: ExpectedGroup,
  group: KubeObject | undefined,
  content: KubeObject | undefined,
): SeenGroup {
  const named = `The group snapshot ${expected.name} in ${expected.namespace}`;
  const failed = (code: string, text: string): SeenGroup => ({
    state: 'failed',
    problem: { code, message: `${named} ${text}.` },
  });
  if (group?.metadata?.uid !== expected.uid) return failed('SNAPSHOT_GONE', 'was deleted');
  if (group.metadata.deletionTimestamp !== undefined) {
    return failed('SNAPSHOT_GONE', 'is being deleted');
  }
  const error = errorOf(group) ?? errorOf(content);
  if (error !== undefined && FINAL.test(error)) {
    return failed('SNAPSHOT_REFUSED', `was refused by ${expected.driver}: ${error}`);
  }
  const ref = (field: string): string | undefined =>
    textAt(content, 'spec', 'volumeGroupSnapshotRef', field);
  const waiting: SeenGroup =
    error === undefined ? { state: 'waiting' } : { state: 'waiting', why: error };
  if (content === undefined || !ref('uid')) return waiting;
  if (ref('uid') !== expected.uid) return failed('SNAPSHOT_FOREIGN', 'has the content of another');
  if (textAt(content, 'spec', 'driver') !== expected.driver) {
    return failed('SNAPSHOT_FOREIGN', `is not by ${expected.driver}`);
  }
  const handle = textAt(content, 'status', 'volumeGroupSnapshotHandle');
  if (!handle || timeOf(content) === undefined || error !== undefined) return waiting;
  return { state: 'cut' };
}
