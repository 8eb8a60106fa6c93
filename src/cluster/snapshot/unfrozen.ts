import { membersOf, type Plan, type PlanMember, type UnfrozenClaim } from '../plan/document.ts';
import type { RunProblem } from './document.ts';
import type { Happened } from './happened.ts';

/**
 * The claims of a member to which somebody may have written unfrozen: by the plan before the freeze, by the
 * plan after the cut, and by pods that came and ended between the two.
 */
export function unfrozenOf(
  member: PlanMember,
  atEnd: PlanMember | undefined,
  { atEnd: scene, writers }: Happened,
): readonly UnfrozenClaim[] {
  const before = new Set(writers.map(({ uid }) => uid));
  const passed = (scene?.writers ?? []).filter(
    ({ namespace, claim, uid, ended }) =>
      ended && namespace === member.namespace && member.claims.includes(claim) && !before.has(uid),
  );
  const all = [
    ...passed.map(({ claim, pod }): UnfrozenClaim => ({
      claim,
      why: `the pod ${pod}, which nothing froze, has run meanwhile`,
    })),
    ...(atEnd?.unfrozen ?? []),
    ...(member.unfrozen ?? []),
  ];
  return [...new Map(all.map((one) => [one.claim, one])).values()];
}

/** Of members with and without claims: a sidecar holds a database whose data no snapshot has. */
export function dataNotCutIn({ plan, atEnd }: Pick<Happened, 'plan' | 'atEnd'>): readonly string[] {
  const all = [plan, ...(atEnd === undefined ? [] : [atEnd.plan])];
  const said = all.flatMap((one) =>
    membersOf(one).flatMap(({ namespace, kind, name, dataNotCut = [] }) =>
      dataNotCut.map((why) => `${namespace} ${kind}/${name}: ${why}`),
    ),
  );
  return [...new Set(said)];
}

const LOOSE = new Set(['CLAIM_LEFT_BEHIND', 'CLAIM_OF_NO_MEMBER']);

/** Claims that are those of no member, and are not cut. */
export function looseIn({ problems }: Plan): readonly RunProblem[] {
  return problems
    .filter(({ code }) => LOOSE.has(code))
    .map(({ code, object, message, fix }) => ({
      code,
      message: `${object}: ${message}`,
      ...(fix !== undefined && { hint: fix }),
    }));
}
