type Next = (node: string) => readonly string[];

/**
 * The strongly connected component of each node, as the name of one of its nodes: Tarjan's algorithm,
 * without recursion, since a chain of members may be longer than the stack.
 */
export function componentsOf(nodes: readonly string[], next: Next): ReadonlyMap<string, string> {
  const component = new Map<string, string>();
  const found = new Map<string, number>();
  const lowest = new Map<string, number>();
  const open: string[] = [];
  const low = (node: string): number => lowest.get(node) ?? 0;
  for (const root of nodes) {
    if (found.has(root)) continue;
    const path: { readonly node: string; readonly rest: Iterator<string> }[] = [];
    const enter = (node: string): void => {
      found.set(node, found.size);
      lowest.set(node, found.size - 1);
      open.push(node);
      path.push({ node, rest: next(node)[Symbol.iterator]() });
    };
    enter(root);
    for (let top = path.at(-1); top !== undefined; top = path.at(-1)) {
      const { node, rest } = top;
      const step = rest.next();
      if (step.done !== true) {
        const at = found.get(step.value);
        if (at === undefined) enter(step.value);
        else if (!component.has(step.value)) lowest.set(node, Math.min(low(node), at));
        continue;
      }
      path.pop();
      const above = path.at(-1);
      if (above) lowest.set(above.node, Math.min(low(above.node), low(node)));
      if (low(node) !== found.get(node)) continue;
      for (let one = open.pop(); one !== undefined; one = open.pop()) {
        component.set(one, node);
        if (one === node) break;
      }
    }
  }
  return component;
}

/** The shortest cycle through the first node that is on one; `undefined`: there is no cycle. */
export function shortestCycle(nodes: readonly string[], next: Next): readonly string[] | undefined {
  const component = componentsOf(nodes, next);
  const size = new Map<string, number>();
  for (const name of component.values()) size.set(name, (size.get(name) ?? 0) + 1);
  const start = nodes.find(
    (node) => next(node).includes(node) || (size.get(component.get(node) ?? '') ?? 0) > 1,
  );
  return start === undefined ? undefined : wayBack(start, next);
}

/** A breadth-first search from a node back to itself. */
function wayBack(start: string, next: Next): readonly string[] | undefined {
  const from = new Map<string, string>();
  const queue = [start];
  for (const node of queue) {
    for (const after of next(node)) {
      if (after === start) return pathTo(node, from);
      if (from.has(after)) continue;
      from.set(after, node);
      queue.push(after);
    }
  }
  return undefined;
}

function pathTo(end: string, from: ReadonlyMap<string, string>): readonly string[] {
  const path = [end];
  for (let node = from.get(end); node !== undefined; node = from.get(node)) path.unshift(node);
  return path;
}
