import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Catalog } from '../../../src/cluster/inventory/catalog.ts';
import type { KubeObject } from '../../../src/cluster/objects/kube-object.ts';
import { membersOf, type Plan } from '../../../src/cluster/plan/document.ts';
import { hardEdges, nodeOf, numberEdges } from '../../../src/cluster/plan/edges.ts';
import { gather } from '../../../src/cluster/plan/gather.ts';
import { draftsOf } from '../../../src/cluster/plan/member.ts';
import { type Edge, order } from '../../../src/cluster/plan/order.ts';
import { References } from '../../../src/cluster/plan/references.ts';
import { softEdges } from '../../../src/cluster/plan/soft-edges.ts';
import { layers, member, plan, workload } from './support.ts';

const IMAGES = ['etcd:3', 'postgres:17', 'redis:7', 'pgbouncer:1', 'rabbitmq:4', 'example/app:1'];

interface One {
  readonly image: number;
  readonly number: number | undefined;
  readonly after: readonly number[];
}

const ones = fc.array(
  fc.record({
    image: fc.nat(IMAGES.length - 1),
    number: fc.option(fc.integer({ min: 1, max: 3 }), { nil: undefined, freq: 3 }),
    after: fc.array(fc.nat(11), { maxLength: 2 }),
  }),
  { minLength: 1, maxLength: 12 },
);

function objectsOf(all: readonly One[]): readonly KubeObject[] {
  return all.map(({ image, number, after }, index) => {
    const names = after.filter((one) => one < all.length && one !== index).map((one) => `m${one}`);
    const annotations = {
      ...(number !== undefined && { 'quiesce.dev/order': String(number) }),
      ...(names.length > 0 && { 'quiesce.dev/depends-on': names.join(',') }),
    };
    return workload(`Deployment/m${index}`, { image: IMAGES[image] ?? '', annotations });
  });
}

/** Every edge, between every two members: what the plan must be equal to. */
function inFull(objects: readonly KubeObject[]) {
  const catalog = new Catalog({ objects, scope: 'part', unexamined: [], now: 0 });
  const drafts = draftsOf(catalog, gather(catalog).candidates);
  const named = hardEdges(drafts, new References(catalog, drafts, []), catalog).edges;
  const hard = [...named, ...numberEdges(drafts)];
  const soft = softEdges(drafts);
  const result = order(drafts.map(nodeOf), hard, soft);
  if ('cycle' in result) return undefined;
  const gave = new Set(result.dropped.map((one) => JSON.stringify([one.before, one.after])));
  const kept = soft.filter((one) => !gave.has(JSON.stringify([one.before, one.after])));
  return { layers: result.layers, edges: [...hard, ...kept] };
}

const nameIn = (node: string): string => node.split('/').slice(1, 3).join('/');

/** All that come before each, through others, too. */
function before(
  edges: readonly Edge[],
  nodes: readonly string[],
): Readonly<Record<string, string[]>> {
  const into = new Map<string, Set<string>>(nodes.map((one) => [one, new Set()]));
  for (const one of edges) into.get(one.after)?.add(one.before);
  const found = (node: string, seen = new Set<string>()): Set<string> => {
    for (const one of into.get(node) ?? []) if (!seen.has(one)) found(one, seen.add(one));
    return seen;
  };
  return Object.fromEntries(nodes.map((one) => [one, [...found(one)].toSorted()]));
}

describe('members that are ordered alike', () => {
  it('are in the layers that all edges between all members give, and follow the same members', () => {
    let compared = 0;
    fc.assert(
      fc.property(ones, (all) => {
        const objects = objectsOf(all);
        const full = inFull(objects);
        if (full === undefined) {
          expect(() => plan(objects)).toThrow(expect.objectContaining({ code: 'PLAN_CYCLE' }));
          return;
        }
        compared += 1;
        const found = plan(objects);
        const sorted = (some: readonly (readonly string[])[]) => some.map((one) => one.toSorted());
        expect(sorted(layers(found))).toEqual(sorted(full.layers.map((one) => one.map(nameIn))));
        const nodes = full.layers.flat().map(nameIn);
        const told = membersOf(found).flatMap(({ kind, name, after }) =>
          after.map((one) => ({ before: one, after: `${kind}/${name}` })),
        );
        const edges = full.edges.map((one) => ({
          before: nameIn(one.before),
          after: nameIn(one.after),
        }));
        expect(before(told, nodes)).toEqual(before(edges, nodes));
      }),
      { numRuns: 150 },
    );
    expect(compared).toBeGreaterThan(30);
  });

  it('of several numbers follow the next lower one only', () => {
    const numbered = [1, 2, 2, 3].map((number, index) =>
      workload(`Deployment/m${index}`, { annotations: { 'quiesce.dev/order': String(number) } }),
    );
    expect(member(plan(numbered), 'Deployment/m3').after).toEqual([
      'Deployment/m1',
      'Deployment/m2',
    ]);
  });
});

describe('a large application', () => {
  const large = (count: number, annotations = {}): readonly KubeObject[] =>
    Array.from({ length: count }, (_, index) =>
      workload(`StatefulSet/m-${index}`, {
        image: IMAGES[index % IMAGES.length] ?? '',
        templates: ['data'],
        sidecar: true,
        replicas: 1,
        annotations,
      }),
    );

  it('of 200 members is planned within a second of CPU time', () => {
    const objects = large(200);
    const start = process.cpuUsage();
    plan(objects);
    const { user, system } = process.cpuUsage(start);
    expect((user + system) / 1_000).toBeLessThan(1_000);
  });

  it('of 2,000 members has a document that grows with them, not with their pairs', () => {
    const bytes = (of: Plan): number => JSON.stringify(of, null, 2).length;
    const few = bytes(plan(large(200)));
    const found = plan(large(2_000));
    expect(bytes(found)).toBeLessThan(few * 12);
    const last = membersOf(found).at(-1);
    expect(last?.after).toHaveLength(20);
    expect(last?.afterOmitted).toBe(666 - 20);
  });

  it('lists all that a member names, however many', () => {
    const objects = large(60);
    const names = objects.map(({ metadata }) => metadata?.name ?? '').join(',');
    const web = workload('Deployment/web', { annotations: { 'quiesce.dev/depends-on': names } });
    const { after, dependsOn } = member(plan([...objects, web]), 'Deployment/web');
    expect(dependsOn).toHaveLength(60);
    expect(after).toEqual(dependsOn);
  });

  it('names only some of those whose stage gave way', () => {
    const tied = workload('Deployment/zoo', {
      image: 'etcd:3',
      annotations: { 'quiesce.dev/depends-on': 'm-5' },
    });
    const { problems } = plan([...large(600), tied]);
    const gave = problems.filter(({ code }) => code === 'STAGE_GAVE_WAY');
    expect(gave.length).toBeGreaterThan(0);
    expect(Math.max(...gave.map(({ message }) => message.length))).toBeLessThan(500);
  });
});
