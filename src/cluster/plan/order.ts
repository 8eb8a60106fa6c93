import { componentsOf, shortestCycle } from './graph.ts';

/** `before` comes before `after`. */
export interface Edge {
  readonly before: string;
  readonly after: string;
}

export type Ordered =
  | {
      readonly layers: readonly (readonly string[])[];
      /** The soft edges that gave way. All other edges point from a layer to a later one. */
      readonly dropped: readonly Edge[];
    }
  /** Nodes of which each comes before the next, and the last before the first, by hard edges. */
  | { readonly cycle: readonly string[] };

/**
 * Puts nodes in layers, each as early as its edges allow. A soft edge within a strongly connected part of
 * the graph gives way; hard edges hold, or the result is one cycle of them. The result does not depend on
 * the order of the input. Every node of an edge is among the nodes.
 */
export function order(
  nodes: readonly string[],
  hard: readonly Edge[],
  soft: readonly Edge[],
): Ordered {
  const sorted = [...new Set(nodes)].toSorted(byText);
  const cycle = shortestCycle(sorted, nextOf(hard));
  if (cycle !== undefined) return { cycle };
  const components = componentsOf(sorted, nextOf([...hard, ...soft]));
  const [dropped, kept] = [new Map<string, Edge>(), [...hard]];
  for (const edge of soft) {
    if (components.get(edge.before) !== components.get(edge.after)) kept.push(edge);
    else if (edge.before !== edge.after) dropped.set(JSON.stringify(edge), edge);
  }
  // A pair that a hard edge joins in the same direction keeps its order: nothing gave way.
  const held = new Set(hard.map(({ before, after }) => JSON.stringify([before, after])));
  return {
    layers: layersOf(sorted, kept),
    dropped: [...dropped.values()]
      .filter(({ before, after }) => !held.has(JSON.stringify([before, after])))
      .toSorted((a, b) => byText(a.after, b.after) || byText(a.before, b.before)),
  };
}

/** The order of code units, which does not depend on the machine's language. */
export function byText(a: string, b: string): number {
  if (a === b) return 0;
  return a < b ? -1 : 1;
}

function nextOf(edges: readonly Edge[]): (node: string) => readonly string[] {
  const sets = new Map<string, Set<string>>();
  for (const { before, after } of edges) {
    const set = sets.get(before) ?? new Set<string>();
    sets.set(before, set.add(after));
  }
  const next = new Map([...sets].map(([node, set]) => [node, [...set].toSorted(byText)]));
  return (node) => next.get(node) ?? [];
}

/** The layer of a node is the length of the longest path to it. The edges have no cycle. */
function layersOf(nodes: readonly string[], edges: readonly Edge[]): string[][] {
  const next = nextOf(edges);
  const waiting = new Map(nodes.map((node) => [node, 0]));
  for (const node of nodes) {
    for (const after of next(node)) waiting.set(after, (waiting.get(after) ?? 0) + 1);
  }
  const layers: string[][] = [];
  let layer = nodes.filter((node) => waiting.get(node) === 0);
  while (layer.length > 0) {
    layers.push(layer);
    const released: string[] = [];
    for (const after of layer.flatMap(next)) {
      const left = (waiting.get(after) ?? 0) - 1;
      waiting.set(after, left);
      if (left === 0) released.push(after);
    }
    layer = released.toSorted(byText);
  }
  return layers;
}
