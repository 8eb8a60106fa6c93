import { at, type KubeObject, textAt } from '../objects/kube-object.ts';
import { bytesOf } from '../objects/bytes.ts';
import type { RunProblem } from './document.ts';

/** The VolumeSnapshot that a run made, and what it must be of. */
export interface Expected {
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
  readonly claim: string;
  readonly driver?: string;
  /** The volume, as its driver names it. */
  readonly handle?: string;
}

/** What a look at a snapshot and its content says. */
export type Seen =
  | { readonly state: 'waiting'; readonly why?: string }
  | {
      readonly state: 'cut';
      readonly cutAt: string;
      readonly ready: boolean;
      readonly restoreSize?: number;
    }
  | { readonly state: 'failed'; readonly problem: RunProblem };

/** Errors that a driver gives again however often it is asked. */
export const FINAL =
  /\b(?:InvalidArgument|Unimplemented|PermissionDenied|Unauthenticated|OutOfRange)\b/;

/** The name of the content that the snapshot is bound to. */
export function contentOf(snapshot: KubeObject | undefined): string | undefined {
  const name = textAt(snapshot, 'status', 'boundVolumeSnapshotContentName');
  return name === '' ? undefined : name;
}

/**
 * Judges a snapshot by what the API has of it now. It is cut once it and its content name each other, and
 * the content has the driver's handle and time.
 */
export function look(
  expected: Expected,
  snapshot: KubeObject | undefined,
  content: KubeObject | undefined,
): Seen {
  const named = `The snapshot ${expected.name} of the claim ${expected.claim} in ${expected.namespace}`;
  const failed = (code: string, text: string): Seen => ({
    state: 'failed',
    problem: { code, message: `${named} ${text}.` },
  });
  const changed = strange(expected, snapshot);
  if (changed !== undefined) return failed(...changed);
  const error = errorOf(snapshot) ?? errorOf(content);
  if (error !== undefined && FINAL.test(error)) {
    return failed(
      'SNAPSHOT_REFUSED',
      `was refused by ${expected.driver ?? 'the driver'}: ${error}`,
    );
  }
  if (contentOf(snapshot) === undefined || content === undefined) return waiting(error);
  const other = foreign(expected, content);
  if (other === 'unbound') return waiting(error);
  if (other !== undefined) return failed(...other);
  const handle = textAt(content, 'status', 'snapshotHandle');
  const cutAt = textAt(snapshot, 'status', 'creationTime') ?? timeOf(content);
  if (!handle || cutAt === undefined || error !== undefined) return waiting(error);
  const ready = at(snapshot, 'status', 'readyToUse') === true;
  const restoreSize = bytesOf(
    at(snapshot, 'status', 'restoreSize') ?? at(content, 'status', 'restoreSize'),
  );
  return { state: 'cut', cutAt, ready, ...(restoreSize !== undefined && { restoreSize }) };
}

function waiting(why: string | undefined): Seen {
  return why === undefined ? { state: 'waiting' } : { state: 'waiting', why };
}

type Reason = [code: string, text: string];

/** Why the snapshot is no longer the one that was made. */
function strange(expected: Expected, snapshot: KubeObject | undefined): Reason | undefined {
  if (snapshot === undefined) return ['SNAPSHOT_GONE', 'was deleted'];
  if (snapshot.metadata?.uid !== expected.uid) {
    return ['SNAPSHOT_GONE', 'was deleted, and another has its name'];
  }
  if (snapshot.metadata.deletionTimestamp !== undefined) {
    return ['SNAPSHOT_GONE', 'is being deleted'];
  }
  const claim = textAt(snapshot, 'spec', 'source', 'persistentVolumeClaimName');
  if (claim === expected.claim) return undefined;
  return ['SNAPSHOT_FOREIGN', `is of ${claim ?? 'no claim'}`];
}

/** Why the content is not this snapshot's; `unbound`: not yet. */
function foreign(expected: Expected, content: KubeObject): Reason | 'unbound' | undefined {
  const name = content.metadata?.name ?? '';
  if (content.metadata?.deletionTimestamp !== undefined) {
    return ['SNAPSHOT_GONE', `has the content ${name}, which is being deleted`];
  }
  const ref = (field: string): string | undefined =>
    textAt(content, 'spec', 'volumeSnapshotRef', field);
  const same = ref('name') === expected.name && ref('namespace') === expected.namespace;
  if (same && !ref('uid')) return 'unbound';
  if (!same || ref('uid') !== expected.uid) {
    return ['SNAPSHOT_FOREIGN', `has the content ${name}, which is another snapshot's`];
  }
  const driver = textAt(content, 'spec', 'driver') ?? '';
  if (expected.driver !== undefined && driver !== expected.driver)
    return ['SNAPSHOT_FOREIGN', `is by ${driver}, not ${expected.driver}`];
  const source = textAt(content, 'spec', 'source', 'volumeHandle');
  if (source !== undefined && expected.handle !== undefined && source !== expected.handle) {
    return ['SNAPSHOT_FOREIGN', 'is of another volume than the claim had before the freeze'];
  }
  return undefined;
}

export function errorOf(object: KubeObject | undefined): string | undefined {
  if (at(object, 'status', 'error') === undefined) return undefined;
  const text = textAt(object, 'status', 'error', 'message') ?? 'an error without a text';
  return text.replaceAll(/\s+/g, ' ').replace(/\.$/, '').slice(0, 600);
}

/** The creation time of a content, which is in nanoseconds, or, of a group's, a text. */
export function timeOf(content: KubeObject | undefined): string | undefined {
  const time = at(content, 'status', 'creationTime');
  if (typeof time === 'string') return time;
  if (typeof time !== 'number' || time <= 0) return undefined;
  return new Date(time / 1e6).toISOString();
}
