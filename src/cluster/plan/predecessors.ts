import { groupBy } from '../../lib/group-by.ts';
import { orderOf } from './annotations.ts';
import { type HardEdge, nodeOf } from './edges.ts';
import type { Draft } from './member.ts';
import type { Edge } from './order.ts';

/**
 * What each node comes directly after, by numbers and stages: those of the next lower number, and those of
 * earlier stages that no other of them comes after. The rest follows from theirs.
 */
export function predecessors(
  nodes: readonly Draft[],
  numbers: readonly HardEdge[],
  soft: readonly Edge[],
): (node: string) => readonly string[] {
  const numberOf = new Map(nodes.map((one) => [nodeOf(one), orderOf(one.annotations) ?? 0]));
  const byNumber = groupBy(numbers, ({ after }) => after);
  const stages = new Map<string, Set<string>>();
  for (const { before, after } of soft) {
    stages.set(after, (stages.get(after) ?? new Set<string>()).add(before));
  }
  return (node) => {
    const lower = (byNumber.get(node) ?? []).map(({ before }) => before);
    const highest = Math.max(...lower.map((one) => numberOf.get(one) ?? 0));
    const next = lower.filter((one) => numberOf.get(one) === highest);
    // The later stages come last, and are those that an earlier one is mostly before.
    const earlier = [...(stages.get(node) ?? [])];
    const candidates = earlier.toReversed();
    const direct = earlier.filter(
      (one) => !candidates.some((other) => stages.get(other)?.has(one) === true),
    );
    return [...new Set([...next, ...direct])];
  };
}
