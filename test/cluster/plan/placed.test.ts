import { expect, it } from 'vitest';
import type { KubeObject } from '../../../src/cluster/objects/kube-object.ts';
import { codes, object, plan, workload } from './support.ts';

/** As charts print it that leave the namespace to `-n`. */
function unplaced(one: KubeObject): KubeObject {
  const { namespace: _, ...metadata } = one.metadata ?? {};
  return { ...one, metadata };
}

const db = workload('StatefulSet/db', { image: 'postgres:17' });
const api = workload('Deployment/api');
const of = (...objects: readonly KubeObject[]) =>
  codes(plan(objects)).filter((one) => one.startsWith('NAMESPACE'));

it('manifests of which some state one namespace and others none are told, once', () => {
  const found = plan([db, unplaced(api), unplaced(object('v1', 'Service/api'))]);
  const problems = found.problems.filter(({ code }) => code === 'NAMESPACE_MISSING');
  expect(problems).toMatchObject([{ object: 'default Deployment/api', severity: 'warning' }]);
  expect(problems[0]?.message).toMatch(/in shop.* 1 more\.$/);
  expect(problems[0]?.fix).toContain('-n shop');
});

it('so is a Secret alone', () => {
  expect(of(api, unplaced(object('v1', 'Secret/key')))).toEqual([
    'NAMESPACE_MISSING default Secret/key',
  ]);
});

it('manifests that all state one, or none, or several are not', () => {
  const elsewhere = workload('Deployment/web', { namespace: 'web' });
  const none = object('storage.k8s.io/v1', 'StorageClass/fast');
  expect(of(db, api, unplaced(none))).toEqual([]);
  expect(of(unplaced(db), unplaced(api))).toEqual([]);
  expect(of(unplaced(db), workload('Deployment/api', { namespace: 'default' }))).toEqual([]);
  expect(of(db, elsewhere, unplaced(api))).toEqual([]);
});

it('a Secret without a namespace may be meant for that of the pods that name it', () => {
  const env = [{ name: 'KEY', valueFrom: { secretKeyRef: { name: 'key', key: 'key' } } }];
  const containers = [{ name: 'api', image: 'acme/api:1', env }];
  const naming = { ...api, spec: { template: { spec: { containers } } } };
  const key = object('v1', 'Secret/key');
  const elsewhere = { ...key, metadata: { name: 'key', namespace: 'other' } };
  const missing = (...objects: readonly KubeObject[]) =>
    codes(plan(objects)).filter((one) => one.startsWith('SECRET'));
  expect(missing(naming, unplaced(key))).toEqual([]);
  expect(missing(naming, elsewhere)).toEqual(['SECRET_MISSING shop Deployment/api']);
});
