import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type Edge, order, type Ordered } from '../../../src/cluster/plan/order.ts';

const NAMES = ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'i', 'j'];
const edge = fc.record({
  before: fc.constantFrom(...NAMES),
  after: fc.constantFrom(...NAMES),
});
const sparse = fc.array(edge, { maxLength: 6 });
const graph = fc.record({ hard: sparse, soft: fc.array(edge, { maxLength: 16 }) });
const RUNS = { numRuns: 2_000 };

function layersOf(result: Ordered): Map<string, number> {
  if ('cycle' in result) throw new Error('a cycle');
  return new Map(result.layers.flatMap((layer, at) => layer.map((node) => [node, at] as const)));
}

function has(edges: readonly Edge[], before: string, after: string): boolean {
  return edges.some((one) => one.before === before && one.after === after);
}

/** Nodes that can be reached, found by repetition until nothing changes. */
function reachable(from: string, edges: readonly Edge[]): ReadonlySet<string> {
  const found = new Set<string>();
  for (let size = -1; size !== found.size;) {
    size = found.size;
    for (const { before, after } of edges)
      if (before === from || found.has(before)) found.add(after);
  }
  return found;
}

describe('any graph', () => {
  it('gives layers with each node once and hard edges that point forward, or a real cycle', () => {
    let [cycles, layered] = [0, 0];
    fc.assert(
      fc.property(graph, ({ hard, soft }) => {
        const result = order(NAMES, hard, soft);
        const cyclic = NAMES.some((node) => reachable(node, hard).has(node));
        expect('cycle' in result).toBe(cyclic);
        if ('cycle' in result) {
          cycles += 1;
          const { cycle } = result;
          expect(new Set(cycle).size).toBe(cycle.length);
          for (const [at, node] of cycle.entries()) {
            expect(has(hard, node, cycle[(at + 1) % cycle.length] ?? '')).toBe(true);
          }
          return;
        }
        layered += 1;
        expect(result.layers.flat().toSorted()).toEqual(NAMES);
        const layer = layersOf(result);
        for (const { before, after } of hard) {
          expect(layer.get(before)).toBeLessThan(layer.get(after) ?? -1);
        }
      }),
      RUNS,
    );
    expect(Math.min(cycles, layered)).toBeGreaterThan(100);
  });

  it('drops exactly the soft edges inside strongly connected parts, and keeps all others', () => {
    let dropped = 0;
    fc.assert(
      fc.property(graph, ({ hard, soft }) => {
        const result = order(NAMES, hard, soft);
        if ('cycle' in result) return;
        const all = [...hard, ...soft];
        const layer = layersOf(result);
        for (const { before, after } of soft.filter((one) => one.before !== one.after)) {
          const connected = reachable(after, all).has(before);
          const gave = has(result.dropped, before, after);
          expect(gave).toBe(connected && !has(hard, before, after));
          if (!connected) expect(layer.get(before)).toBeLessThan(layer.get(after) ?? -1);
        }
        dropped += result.dropped.length;
        expect(result.dropped.every((one) => has(soft, one.before, one.after))).toBe(true);
      }),
      RUNS,
    );
    expect(dropped).toBeGreaterThan(100);
  });

  it('never lets soft edges decide whether there is an order', () => {
    fc.assert(
      fc.property(graph, ({ hard, soft }) => {
        const [alone, both] = [order(NAMES, hard, []), order(NAMES, hard, soft)];
        if ('cycle' in alone) expect(both).toEqual(alone);
        else expect('layers' in both).toBe(true);
      }),
      RUNS,
    );
  });

  it('gives the same answer for its input in any order', () => {
    fc.assert(
      fc.property(
        graph.chain((one) =>
          fc.record({
            one: fc.constant(one),
            nodes: fc.shuffledSubarray(NAMES, { minLength: NAMES.length }),
            hard: fc.shuffledSubarray(one.hard, { minLength: one.hard.length }),
            soft: fc.shuffledSubarray(one.soft, { minLength: one.soft.length }),
          }),
        ),
        ({ one, nodes, hard, soft }) => {
          expect(order(nodes, hard, soft)).toEqual(order(NAMES, one.hard, one.soft));
        },
      ),
      RUNS,
    );
  });

  it('puts each node as early as its edges allow', () => {
    fc.assert(
      fc.property(graph, ({ hard, soft }) => {
        const result = order(NAMES, hard, soft);
        if ('cycle' in result) return;
        const layer = layersOf(result);
        const gave = ({ before, after }: Edge): boolean =>
          before === after || has(result.dropped, before, after);
        const kept = [...hard, ...soft.filter((one) => !gave(one))];
        for (const node of NAMES) {
          const above = kept.filter(({ after }) => after === node);
          const earliest = Math.max(-1, ...above.map(({ before }) => layer.get(before) ?? 0)) + 1;
          expect(layer.get(node)).toBe(earliest);
        }
      }),
      RUNS,
    );
  });
});

it('names a node that comes before itself', () => {
  expect(order(['a', 'b'], [{ before: 'b', after: 'b' }], [])).toEqual({ cycle: ['b'] });
});

it('orders a chain that is longer than the stack', () => {
  const nodes = Array.from({ length: 20_000 }, (_, at) => String(at).padStart(5, '0'));
  const edges = nodes.slice(1).map((after, at) => ({ before: nodes[at] ?? '', after }));
  const result = order(nodes, edges, []);
  expect('layers' in result && result.layers.length).toBe(20_000);
  const turned = order(nodes, [...edges, { before: '19999', after: '00000' }], []);
  expect('cycle' in turned && turned.cycle.length).toBe(20_000);
});
