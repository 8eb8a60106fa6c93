import { describe, expect, it } from 'vitest';
import { placeOf } from '../../../src/cluster/gates/match.ts';
import type { KubeObject } from '../../../src/cluster/objects/kube-object.ts';
import type { Pod } from '../../../src/cluster/objects/pod.ts';
import { StageBook } from '../../../src/cluster/restore/stages-of.ts';
import { part, planFor, shop } from './shop.ts';

const book = (objects: readonly KubeObject[], held: readonly string[] = []): StageBook =>
  new StageBook({ plan: planFor(objects), objects, held: new Set(held) });

const CNPG: readonly KubeObject[] = [
  {
    apiVersion: 'postgresql.cnpg.io/v1',
    kind: 'Cluster',
    metadata: { name: 'pg', namespace: 'shop' },
    spec: { instances: 2 },
  },
  ...[1, 2].map((index): KubeObject => ({
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: {
      name: `pg-${index}`,
      namespace: 'shop',
      uid: 'u',
      labels: { 'cnpg.io/cluster': 'pg', 'cnpg.io/instanceName': `pg-${index}` },
      ownerReferences: [
        {
          apiVersion: 'postgresql.cnpg.io/v1',
          kind: 'Cluster',
          name: 'pg',
          uid: 'c',
          controller: true,
        },
      ],
    },
    spec: { containers: [{ name: 'postgres', image: 'postgres:17' }] },
    status: { phase: 'Running' },
  })),
];

describe('what tells pods apart', () => {
  it('are the selectors, names and owners of each member, in the layers of the plan', () => {
    const { layers, last } = book(shop()).of('shop');
    expect(layers.map((all) => all.map(({ name }) => name))).toEqual([
      ['db'],
      ['queue'],
      ['api', 'web'],
    ]);
    expect(layers[0]).toEqual([
      {
        kind: 'StatefulSet',
        name: 'db',
        selectors: [{ matchLabels: { app: 'db' } }],
        pods: ['db-0'],
        owners: ['StatefulSet/db'],
      },
    ]);
    expect(last).toBe(2);
  });

  it('has the same numbers of layers in every namespace of the application', () => {
    const objects = [...shop(), ...part('pay', { namespace: 'money', dependsOn: 'shop/api' })];
    expect(
      book(objects)
        .of('money')
        .layers.map(({ length }) => length),
    ).toEqual([0, 0, 0, 1]);
    expect(
      book(objects)
        .of('shop')
        .layers.map(({ length }) => length),
    ).toEqual([1, 1, 2, 0]);
  });

  it('takes what an operator makes, by itself or by a Job, for its resource’s', () => {
    const stages = book([...CNPG, ...shop()]).of('shop');
    const layer = stages.layers.findIndex((all) => all.some(({ name }) => name === 'pg'));
    const pods: readonly Pod[] = [
      { metadata: { name: 'pg-1' } },
      {
        metadata: {
          name: 'pg-3',
          ownerReferences: [{ apiVersion: 'x/v1', kind: 'Cluster', name: 'pg', uid: 'n' }],
        },
      },
      { metadata: { name: 'pg-3-join-x', labels: { 'cnpg.io/cluster': 'pg', 'job-name': 'j' } } },
    ];
    expect(pods.map((pod) => placeOf(pod, stages)?.layer)).toEqual([layer, layer, layer]);
    expect(placeOf({ metadata: { name: 'other' } }, stages)).toBeUndefined();
  });

  it('keeps back members behind all layers, and Jobs with the last of them', () => {
    const job: KubeObject = {
      apiVersion: 'batch/v1',
      kind: 'Job',
      metadata: { name: 'migrate', namespace: 'shop' },
    };
    const stages = book([...shop(), job]).of('shop', new Set(['shop/StatefulSet/web']));
    expect(stages.layers.map((all) => all.map(({ name }) => name))).toEqual([
      ['db'],
      ['queue'],
      ['api'],
      ['web'],
    ]);
    const pod = { metadata: { labels: { 'job-name': 'migrate' } } };
    expect(placeOf(pod, stages)?.layer).toBe(2);
  });

  it('never selects by an empty selector, nor by none', () => {
    const objects = shop().map((one) =>
      one.kind === 'StatefulSet'
        ? { ...one, spec: { ...(one['spec'] as object), selector: {} } }
        : one,
    );
    const stages = book(objects).of('shop');
    expect(placeOf({ metadata: { name: 'stranger' } }, stages)).toBeUndefined();
  });
});

describe('pods that Velero must see on a node', () => {
  it('wait in their init container if they have a sidecar, and else do not wait at all', () => {
    const injected = { labels: { 'quiesce.dev/inject': 'true' } };
    const held = ['shop/db-0', 'shop/queue-0'];
    const both = book(shop({ db: injected }), held);
    expect(both.held().map(({ name }) => name)).toEqual(['db']);
    expect(both.unstaged().map(({ name }) => name)).toEqual(['queue']);
    const [first, second] = both.of('shop').layers;
    expect(first).toMatchObject([{ name: 'db', hold: true }]);
    expect(second).toEqual([]);
  });
});
