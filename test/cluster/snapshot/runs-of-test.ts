import type { PlanMember } from '../../../src/cluster/plan/document.ts';
import type { RunMember, SnapshotRun } from '../../../src/cluster/snapshot/document.ts';
import type { CutResult } from '../../../src/cluster/snapshot/volumes.ts';

/** Two members with a claim each. */
export const MEMBERS = ['db', 'cache'].map((name): PlanMember => ({
  namespace: 'shop',
  kind: 'StatefulSet',
  name,
  stage: 'databases',
  from: 'image',
  priority: 'normal',
  protection: 'sidecar',
  pods: [`${name}-0`],
  claims: [`data-${name}-0`],
  after: [],
  dependsOn: [],
}));

/** A run in which one member for each snapshot was frozen, cut and thawed. */
export function runOf(
  { id, group }: { readonly id: string; readonly group: string },
  cut: CutResult | undefined,
  more: Partial<SnapshotRun> = {},
): SnapshotRun {
  const members = (cut?.snapshots ?? []).map((one, index): RunMember => {
    const pod = one.claim.replace(/^data-/, '');
    const receipt = { pod, freezeId: id, consistent: true };
    const { namespace, name, claim, uid, cutAt, ready, restoreSize } = one;
    const taken = {
      ...(uid !== undefined && { uid }),
      ...(cutAt !== undefined && { cutAt }),
      ...(restoreSize !== undefined && { restoreSize }),
    };
    const begun = index * 20;
    return {
      namespace,
      kind: 'StatefulSet',
      name: pod.replace(/-\d+$/, ''),
      engine: 'postgres',
      receipt,
      receipts: [{ pod, receipt }],
      snapshots: [{ namespace, name, claim, ready, ...taken }],
      timeline: {
        freezeAskedMs: begun,
        frozenMs: begun + 120,
        cutSeenMs: 1_400 + begun,
        thawAskedMs: 1_500,
        thawedMs: 1_560 + begun,
        readyMs: 4_000 + begun,
      },
      problems: [],
    };
  });
  return {
    apiVersion: 'quiesce.dev/v1',
    kind: 'SnapshotRun',
    id,
    group,
    verdict: 'proven',
    together: { kind: 'complete-to', at: '2026-11-30T18:03:00.000Z' },
    members,
    problems: [],
    startedAt: '2026-11-30T18:03:00.000Z',
    endedAt: '2026-11-30T18:03:05.200Z',
    freezeSpreadMs: 20,
    ...more,
  };
}
