import { groupBy } from '../../lib/group-by.ts';
import { refText } from '../objects/kube-object.ts';
import type { PlanProblem, Stage } from './document.ts';
import { nodeOf, textOf } from './edges.ts';
import type { Draft } from './member.ts';
import type { Edge } from './order.ts';

type Step = Stage | 'pooler';

/** What each stage comes after. A pooler is no reason for a broker to wait. */
const AFTER: Readonly<Record<Step, readonly Step[]>> = {
  infrastructure: [],
  databases: ['infrastructure'],
  pooler: ['infrastructure', 'databases'],
  messaging: ['infrastructure', 'databases'],
  applications: ['infrastructure', 'databases', 'pooler', 'messaging'],
};

/** From each member to those of later stages. */
export function softEdges(members: readonly Draft[]): readonly Edge[] {
  const bySteps = groupBy(members, stepOf);
  return members.flatMap((member) =>
    AFTER[stepOf(member)].flatMap((step) =>
      (bySteps.get(step) ?? []).map((one) => ({ before: nodeOf(one), after: nodeOf(member) })),
    ),
  );
}

export function stepOf({ stage, place }: Draft): Step {
  return place.pooler ? 'pooler' : stage;
}

const SHOWN = 5;

/**
 * One problem for each member that no longer waits for others.
 *
 * @param all the members that a node stands for
 */
export function gaveWay(
  dropped: readonly Edge[],
  all: (node: string) => readonly Draft[],
): readonly PlanProblem[] {
  return [...groupBy(dropped, ({ after }) => after)].flatMap(([after, edges]) => {
    const before = edges.flatMap((one) => all(one.before));
    return all(after).map((member) => {
      const others = before.slice(0, SHOWN).map((one) => nameFrom(member, one));
      if (before.length > SHOWN) others.push(`${before.length - SHOWN} more`);
      return {
        code: 'STAGE_GAVE_WAY',
        severity: 'info' as const,
        object: textOf(member),
        message: `By its stage (${member.stage}) it would come after ${others.join(', ')}. The order that annotations state contradicts that, and holds.`,
        fix: 'If it must come after one of them, say so with quiesce.dev/depends-on.',
      };
    });
  });
}

/** `KIND/NAME` of another member, with its namespace if that is another one. */
export function nameFrom(member: Draft, { namespace, kind, name }: Draft): string {
  return namespace === member.namespace
    ? refText({ kind, name })
    : `${namespace}/${refText({ kind, name })}`;
}
