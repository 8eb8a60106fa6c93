import { annotationsOf, at, type KubeObject, textAt } from '../objects/kube-object.ts';
import { bytesOf } from '../objects/bytes.ts';
import { RECEIPT_ANNOTATION } from '../run/names.ts';
import type { MemberSnapshot, RunMember, RunVerdict, SnapshotRun } from './document.ts';
import { verdictOf, worstOf } from './seen-verdict.ts';

/** What the snapshots alone tell: one member for each claim. */
export function rebuilt(
  { id, group }: { readonly id: string; readonly group: string },
  snapshots: readonly KubeObject[],
  objects: readonly KubeObject[],
): SnapshotRun {
  const times = createdTimes(objects);
  return {
    apiVersion: 'quiesce.dev/v1',
    kind: 'SnapshotRun',
    id,
    group,
    verdict: worstOf(snapshots.map(verdictOf)) as RunVerdict,
    members: snapshots.map(memberOf),
    problems: [],
    startedAt: times[0] ?? '',
    endedAt: times.at(-1) ?? '',
    freezeSpreadMs: 0,
    shortened: 'This is what its snapshots tell.',
  };
}

export function createdTimes(objects: readonly KubeObject[]): readonly string[] {
  return objects.flatMap(({ metadata }) => textAt(metadata, 'creationTimestamp') ?? []).toSorted();
}

function memberOf(snapshot: KubeObject): RunMember {
  const namespace = snapshot.metadata?.namespace ?? '';
  const claim = textAt(snapshot, 'spec', 'source', 'persistentVolumeClaimName') ?? '';
  const cutAt = textAt(snapshot, 'status', 'creationTime');
  const restoreSize = bytesOf(at(snapshot, 'status', 'restoreSize'));
  const receipt = receiptIn(snapshot);
  const one: MemberSnapshot = {
    namespace,
    name: snapshot.metadata?.name ?? '',
    claim,
    ready: at(snapshot, 'status', 'readyToUse') === true,
    ...(cutAt !== undefined && { cutAt }),
    ...(restoreSize !== undefined && { restoreSize }),
  };
  return {
    namespace,
    kind: 'PersistentVolumeClaim',
    name: claim,
    receipts: [],
    snapshots: [one],
    timeline: {},
    problems: [],
    ...(receipt !== undefined && { receipt }),
  };
}

function receiptIn(snapshot: KubeObject): Readonly<Record<string, unknown>> | undefined {
  try {
    const parsed: unknown = JSON.parse(annotationsOf(snapshot)[RECEIPT_ANNOTATION] ?? '');
    return typeof parsed === 'object' && parsed !== null
      ? (parsed as Record<string, unknown>)
      : undefined;
  } catch {
    return undefined;
  }
}
