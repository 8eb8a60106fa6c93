import { RESTORE_LEVELS, type RestoreLevel } from '../../receipt/restore-level.ts';
import type { KubeObject } from '../objects/kube-object.ts';
import { causeOf, type HealthScene, podKey, type SidecarSaid } from './scene.ts';
import type { Cause, MemberState } from './state.ts';

type Said = Pick<MemberState, 'judged' | 'level' | 'message' | 'receipts'> & {
  readonly causes: readonly Cause[];
};

/** What the sidecars of a member say of its data, the lowest level first. */
export function wordsOf(
  scene: HealthScene,
  pods: readonly KubeObject[],
  hasSidecar: (pod: KubeObject) => boolean,
): Said {
  const all = pods
    .filter(hasSidecar)
    .map((pod) => ({ pod, said: scene.sidecars.get(podKey(pod)) }));
  const restores = all.flatMap(({ said }) =>
    said !== undefined && 'restore' in said && said.restore !== null ? [said.restore] : [],
  );
  const [lowest] = restores.toSorted((a, b) => rank(a.level) - rank(b.level));
  return {
    judged: all.every(({ said }) => isJudged(said)),
    ...(lowest !== undefined && { level: lowest.level, message: lowest.message }),
    receipts: [...new Set(restores.flatMap(({ id }) => id ?? []))],
    causes: all.flatMap(({ pod, said }) => causesOf(pod, said)),
  };
}

function rank(level: RestoreLevel): number {
  return RESTORE_LEVELS.indexOf(level);
}

function isJudged(said: SidecarSaid | undefined): boolean {
  if (said === undefined || 'problem' in said) return false;
  return said.restore === null || said.restore.verified !== null;
}

function causesOf(pod: KubeObject, said: SidecarSaid | undefined): readonly Cause[] {
  if (said === undefined) return [];
  if ('problem' in said) {
    const { code, message, hint } = said.problem;
    return [causeOf(pod, code, message, { passing: true, ...(hint !== undefined && { hint }) })];
  }
  const { restore } = said;
  if (restore === null) return [];
  if (restore.verified === null) {
    return [
      causeOf(pod, 'NOT_JUDGED', `Its data is not verified yet: ${restore.message}`, {
        passing: true,
      }),
    ];
  }
  if (restore.level !== 'refused') return [];
  const hint = 'Restore from another copy. quiesce verify in its sidecar lists every check.';
  const text = `Its data contradicts its receipt: ${restore.message}`;
  return [causeOf(pod, 'DATA_REFUSED', text, { hint, passing: false })];
}
