import { readdirSync } from 'node:fs';
import { join, resolve } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { QuiesceError } from '../../../src/errors.ts';
import { at, type KubeObject } from '../../../src/cluster/objects/kube-object.ts';
import { readInventory } from '../../../src/cluster/inventory/read-manifests.ts';
import { membersOf, type PlanMember } from '../../../src/cluster/plan/document.ts';
import { codes, plan } from './support.ts';

const FOLDER = resolve('test/cluster/plan/applications');
const FILES = readdirSync(FOLDER).filter((name) => !name.includes('.expected.'));
const RUNS = { numRuns: 15 };
const STAGES = ['infrastructure', 'databases', 'messaging', 'applications'];
const WORKLOADS = new Set(['StatefulSet', 'Deployment', 'DaemonSet', 'ReplicaSet']);

async function objectsOf(file: string): Promise<readonly KubeObject[]> {
  const options = { whole: false, namespaces: undefined, now: 0 };
  return (await readInventory([join(FOLDER, file)], options)).objects;
}

const isWorkload = ({ kind = '' }: KubeObject) => WORKLOADS.has(kind);
const nameOf = ({ kind, metadata }: KubeObject) => `${kind}/${metadata?.name}`;
const refOf = ({ kind, name }: PlanMember) => `${kind}/${name}`;

/** Random statements, one for each workload, on the workload or on its template. */
function statements(objects: readonly KubeObject[]) {
  const names = objects
    .filter((one) => isWorkload(one) || one.kind === 'Service')
    .map(({ metadata }) => metadata?.name ?? '');
  const often = <T>(of: fc.Arbitrary<T>) =>
    fc.oneof({ weight: 2, arbitrary: fc.constant(undefined) }, { weight: 1, arbitrary: of });
  const annotations = fc.record({
    'quiesce.dev/depends-on': often(
      fc.array(fc.constantFrom(...names), { minLength: 1, maxLength: 2 }).map(String),
    ),
    'quiesce.dev/order': often(fc.integer({ min: -2, max: 2 }).map(String)),
    'backup.dependency.order': often(fc.integer({ min: -2, max: 2 }).map(String)),
    'quiesce.dev/stage': often(fc.constantFrom(...STAGES)),
    'quiesce.dev/priority': often(fc.constantFrom('high', 'low', '3')),
  });
  return fc.tuple(...objects.map(() => fc.record({ own: fc.boolean(), annotations })));
}

function stated(
  objects: readonly KubeObject[],
  all: readonly { own: boolean; annotations: object }[],
): readonly KubeObject[] {
  return objects.map((object, index) => {
    const { own = true, annotations = {} } = all[index] ?? {};
    const given = Object.entries(annotations).filter(([, value]) => value !== undefined);
    if (!isWorkload(object) || given.length === 0 || index % 3 === 0) return object;
    const with_ = (metadata: object | undefined) => ({
      ...metadata,
      annotations: { ...(at(metadata, 'annotations') as object), ...Object.fromEntries(given) },
    });
    if (own) return { ...object, metadata: with_(object.metadata) };
    const spec = object['spec'] as { template: { metadata?: object } };
    const template = { ...spec.template, metadata: with_(spec.template.metadata) };
    return { ...object, spec: { ...spec, template } };
  });
}

/** The plan as text, or the code and message of its error. Any other error is a fault. */
function outcome(objects: readonly KubeObject[]): string {
  try {
    return JSON.stringify(plan(objects));
  } catch (error) {
    if (!(error instanceof QuiesceError)) throw error;
    return `${error.code}: ${error.message}`;
  }
}

describe.each(FILES)('whatever is stated of %s', async (file) => {
  const objects = await objectsOf(file);

  it('holds, or is an error, in any order of the objects', () => {
    const shuffled = fc.shuffledSubarray([...objects.keys()], { minLength: objects.length });
    fc.assert(
      fc.property(statements(objects), shuffled, (all, order) => {
        const given = stated(objects, all);
        const found = outcome(given);
        const again = order.flatMap((index): readonly KubeObject[] =>
          given.slice(index, index + 1),
        );
        // Where the file defines an object twice, the last counts.
        expect(outcome(again)).toBe(found);
        if (found.startsWith('{')) holds(JSON.parse(found) as ReturnType<typeof plan>);
        else expect(found).toMatch(/^PLAN_(?:CYCLE|SELF_DEPENDENCY): /);
      }),
      RUNS,
    );
  });

  it('has each workload once, and each of its volumes kept or listed', () => {
    const found = plan(objects);
    const members = membersOf(found);
    for (const object of objects.filter(isWorkload)) {
      expect(members.map(refOf).filter((one) => one === nameOf(object))).toHaveLength(1);
    }
    const listed = found.notKept.map(
      ({ member, volume }) => `${refOf(member as PlanMember)} ${volume}`,
    );
    for (const { member, volume, claim } of storesOf(objects)) {
      const isKept = members.some(
        (one) => refOf(one) === member && one.claims.includes(claim ?? ''),
      );
      expect(isKept || listed.includes(`${member} ${volume}`), `${member} ${volume}`).toBe(true);
    }
  });
});

/** What the design says of the order, by the plan's own fields. */
function holds(found: ReturnType<typeof plan>): void {
  const layer = new Map(
    found.layers.flatMap(({ members }, index) =>
      members.map((one) => [refOf(one), index] as const),
    ),
  );
  const gaveWay = codes(found).filter((one) => one.startsWith('STAGE_GAVE_WAY'));
  for (const one of membersOf(found)) {
    const own = layer.get(refOf(one)) ?? 0;
    const before = one.after.map((ref) => layer.get(ref) ?? Infinity);
    expect(Math.max(-1, ...before), refOf(one)).toBe(own - 1);
    expect(one.after).toEqual(expect.arrayContaining([...one.dependsOn]));
    const told = gaveWay.some((text) => text.endsWith(` ${refOf(one)}`));
    for (const other of membersOf(found)) {
      const place = layer.get(refOf(other)) ?? 0;
      if ((one.order ?? -Infinity) > (other.order ?? Infinity)) expect(place).toBeLessThan(own);
      const later = STAGES.indexOf(one.stage) > STAGES.indexOf(other.stage);
      // A broker does not wait for poolers, which are databases to the reader of a plan.
      const pooler = one.stage === 'messaging' && /^pg|haproxy|pooler/.test(other.engine ?? '');
      if (later && !pooler && !told) expect(place, refOf(one)).toBeLessThan(own);
    }
  }
}

const NO_STORES = ['configMap', 'secret', 'projected', 'downwardAPI', 'image'];

/** The mounted volumes of all workloads that may hold something, and that no annotation of Velero's keeps. */
function storesOf(objects: readonly KubeObject[]) {
  return objects.filter(isWorkload).flatMap((object) => {
    const pod = at(object, 'spec', 'template', 'spec');
    const containers = ['containers', 'initContainers'].flatMap((field) => listOf(pod, field));
    const mounted = new Set(
      containers.flatMap((one) => listOf(one, 'volumeMounts').map((mount) => at(mount, 'name'))),
    );
    const kept = JSON.stringify(at(object, 'spec', 'template', 'metadata', 'annotations') ?? '');
    return listOf(pod, 'volumes')
      .filter((one) => !NO_STORES.some((source) => at(one, source) !== undefined))
      .map((one) => ({
        member: nameOf(object),
        volume: String(at(one, 'name')),
        claim: at(one, 'persistentVolumeClaim', 'claimName') as string | undefined,
      }))
      .filter(({ volume, claim }) => claim !== undefined || mounted.has(volume))
      .filter(({ volume }) => !kept.includes(`backup-volumes":"${volume}`));
  });
}

function listOf(value: unknown, field: string): readonly unknown[] {
  const found = at(value, field);
  return Array.isArray(found) ? found : [];
}
