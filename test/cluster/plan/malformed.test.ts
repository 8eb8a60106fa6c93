import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import type { KubeObject } from '../../../src/cluster/objects/kube-object.ts';
import { readInventory } from '../../../src/cluster/inventory/read-manifests.ts';
import type { QuiesceError } from '../../../src/errors.ts';
import { planOf } from '../../../src/cluster/plan/plan.ts';
import { veleroObject } from '../../../src/cluster/plan/velero.ts';
import { ALL, layers, plan, planned, workload } from './support.ts';

const folder = await mkdtemp(join(tmpdir(), 'quiesce-malformed-'));
afterAll(() => rm(folder, { recursive: true }));

async function read(text: string) {
  const path = join(folder, 'm.yaml');
  await writeFile(path, text);
  return readInventory([path], { whole: false, namespaces: undefined, now: 0 });
}

const POD = 'apiVersion: v1\nkind: Pod\n';
/** Nine levels of ten aliases each: a thousand million values. */
const BOMB = Array.from(
  { length: 9 },
  (_, level) =>
    `a${level}: &a${level} [${Array.from({ length: 10 }, () => (level === 0 ? 'x' : `*a${level - 1}`)).join(',')}]\n`,
).join('');

describe('a file that has no end, or no meaning', () => {
  it.each([
    ['aliases of aliases', `${POD}metadata: {name: a}\n${BOMB}`, /alias/],
    ['an alias without its anchor', `${POD}metadata: {name: *nobody}\n`, /nobody/],
    ['an alias of what it stands in', `${POD}metadata: {name: a}\nspec: &s {a: *s}\n`, /circular/],
    ['a key twice', `${POD}metadata: {name: a}\nmetadata: {name: b}\n`, /unique at line 4.*\d\.$/],
    ['endless nesting', `${POD}spec: ${'['.repeat(50_000)}\n`, /not YAML/],
  ])('with %s is refused, and named', async (_, text, reason) => {
    const refused = await read(text).catch((error: unknown) => error);
    expect(refused).toMatchObject({ code: 'MANIFEST_INVALID' });
    expect((refused as Error).message).toMatch(/m\.yaml is not YAML: /);
    expect((refused as Error).message).toMatch(reason);
  });

  it('with a template of a chart is refused, and says what to give instead', async () => {
    const text = 'apiVersion: v1\nkind: Pod\nmetadata:\n  {{- include "labels" . }}\n  name: a\n';
    const hint = async (given: string) =>
      ((await read(given).catch((error: unknown) => error)) as QuiesceError).hint;
    expect(await hint(text)).toContain('helm template');
    expect(await hint('a: [1\nb: }')).not.toContain('helm');
  });

  it('that does not exist is named, and the hint is about the path', async () => {
    const options = { whole: false, namespaces: undefined, now: 0 };
    const refused = readInventory([join(folder, 'none')], options);
    await expect(refused).rejects.toMatchObject({
      message: expect.stringContaining('none cannot be read (ENOENT)') as string,
      hint: expect.stringMatching(/correct the path/) as string,
    });
  });

  it('is refused for --velero, too', () => {
    const { members } = planned([workload('StatefulSet/db', { templates: ['data'] })]);
    expect(() => veleroObject(`kind: Schedule\nspec: &s {template: *s}\n`, members)).toThrow(
      /^The manifest is not YAML: .*circular/,
    );
  });
});

it('anchors, Lists, nulls and comments are read as kubectl reads them', async () => {
  const inventory = await read(`# nothing
---
null
---
apiVersion: v1
kind: List
items:
  - &base
    apiVersion: apps/v1
    kind: Deployment
    metadata: {name: a}
    spec: {template: {spec: {containers: [{name: c, image: "postgres:17"}]}}}
  - <<: *base
    metadata: {name: b}
  - null
  - 7
`);
  expect(layers(planOf(inventory, ALL).plan)).toEqual([['Deployment/a', 'Deployment/b']]);
});

const odd = (metadata: unknown): KubeObject =>
  ({ ...workload('Deployment/x', { image: 'acme/api:1' }), metadata }) as KubeObject;

describe('an object without a name, or with one that is no text', () => {
  it.each<[string, unknown, RegExp]>([
    ['no metadata', undefined, /no metadata\.name: Deployment \(image acme\/api:1\)/],
    ['metadata that is none', 'api', /no metadata\.name: Deployment/],
    ['no name', { namespace: 'shop' }, /no metadata\.name: Deployment in shop/],
    ['a name of null', { name: null, namespace: 'shop' }, /no metadata\.name: Deployment in shop/],
    [
      'a number for a name',
      { name: 2024, namespace: 'shop' },
      /metadata\.name .* 2024: .* in shop/,
    ],
    ['a number for a namespace', { name: 'a', namespace: 7 }, /namespace .* 7: Deployment\/a/],
  ])('%s: is refused, and named', (_, metadata, message) => {
    expect(() => plan([workload('Deployment/api'), odd(metadata)])).toThrow(message);
  });

  it('is refused where it is no member, too', () => {
    const claim = { apiVersion: 'v1', kind: 'PersistentVolumeClaim', metadata: { name: 1 } };
    const set = workload('StatefulSet/db', { templates: ['data'], replicas: 0 });
    expect(() => plan([set, claim as unknown as KubeObject])).toThrow(/PersistentVolumeClaim/);
  });
});
