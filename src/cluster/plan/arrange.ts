import { QuiesceError } from '../../errors.ts';
import { groupBy } from '../../lib/group-by.ts';
import { orderOf, priorityRank } from './annotations.ts';
import type { PlanProblem } from './document.ts';
import { type HardEdge, nodeOf, numberEdges, textOf } from './edges.ts';
import type { Draft } from './member.ts';
import { byText, type Edge, order } from './order.ts';
import { predecessors } from './predecessors.ts';
import { gaveWay, softEdges, stepOf } from './soft-edges.ts';

export interface Arranged {
  readonly layers: readonly (readonly Draft[])[];
  /** The members that each member comes directly after, but for those that it names. */
  readonly directly: (member: Draft) => readonly Draft[];
  readonly dropped: readonly PlanProblem[];
}

/**
 * Puts members in layers. Members whose edges are the same are one node: without that, a thousand
 * databases and a thousand programs would have a million edges.
 *
 * @param named the edges that `depends-on` states
 * @throws QuiesceError PLAN_CYCLE
 */
export function arrange(members: readonly Draft[], named: readonly HardEdge[]): Arranged {
  const twins = twinsOf(members, named);
  const heads = twins.map(([head]) => head);
  const byNode = new Map(twins.map((all) => [nodeOf(all[0]), all]));
  const all = (node: string): readonly Draft[] => byNode.get(node) ?? [];
  // Twins are named alike, so that an edge of any of them is one of their heads, too.
  const between = named.filter(({ before, after }) => byNode.has(before) && byNode.has(after));
  const numbers = numberEdges(heads);
  const hard = [...between, ...numbers];
  const soft = softEdges(heads);
  const result = order([...byNode.keys()], hard, soft);
  if ('cycle' in result) throw cycle(result.cycle, hard, all);
  const gave = new Set(result.dropped.map(keyOf));
  const kept = soft.filter((one) => !gave.has(keyOf(one)));
  const before = predecessors(heads, numbers, kept);
  const headOf = new Map(
    twins.flatMap((same) => same.map((one) => [nodeOf(one), same[0]] as const)),
  );
  return {
    layers: result.layers.map((layer) => sideBySide(layer.flatMap(all))),
    directly: (member) => {
      const head = headOf.get(nodeOf(member)) ?? member;
      return before(nodeOf(head)).flatMap(all);
    },
    dropped: gaveWay(result.dropped, all),
  };
}

type Twins = readonly [Draft, ...(readonly Draft[])];

/** Members of one step and one number that the same members name, and that name the same. */
function twinsOf(members: readonly Draft[], named: readonly HardEdge[]): readonly Twins[] {
  const into = groupBy(named, ({ after }) => after);
  const from = groupBy(named, ({ before }) => before);
  const names = (edges: readonly HardEdge[] | undefined, end: 'before' | 'after'): string[] =>
    [...new Set(edges?.map((one) => one[end]))].toSorted(byText);
  const sorted = members
    .map((member) => ({ member, node: nodeOf(member) }))
    .toSorted((a, b) => byText(a.node, b.node));
  const groups = groupBy(sorted, ({ member, node }) =>
    JSON.stringify([
      stepOf(member),
      orderOf(member.annotations),
      names(into.get(node), 'before'),
      names(from.get(node), 'after'),
    ]),
  );
  return [...groups.values()].flatMap((group): Twins[] => {
    const [head, ...rest] = group.map(({ member }) => member);
    return head === undefined ? [] : [[head, ...rest]];
  });
}

function sideBySide(layer: readonly Draft[]): readonly Draft[] {
  return layer
    .map((member) => ({ member, node: nodeOf(member), rank: priorityRank(member.priority) }))
    .toSorted((a, b) => b.rank - a.rank || byText(a.node, b.node))
    .map(({ member }) => member);
}

function keyOf({ before, after }: Edge): string {
  return `${before}\n${after}`;
}

function cycle(
  cycle: readonly string[],
  hard: readonly HardEdge[],
  all: (node: string) => readonly Draft[],
): QuiesceError {
  const name = (node: string | undefined): string => {
    const [member] = all(node ?? '');
    return member === undefined ? '' : textOf(member);
  };
  const steps = cycle.map((node, at) => {
    const after = cycle[(at + 1) % cycle.length];
    const edge = hard.find((one) => one.before === node && one.after === after);
    return `${name(node)} before ${name(after)} (${edge?.why ?? ''})`;
  });
  return new QuiesceError('PLAN_CYCLE', `The order has a cycle: ${steps.join(', ')}.`);
}
