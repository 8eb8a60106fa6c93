import { expect, it } from 'vitest';
import type { KubeObject } from '../../../src/cluster/objects/kube-object.ts';
import { refuseHidden, refuseUnread } from '../../../src/cluster/snapshot/unread.ts';
import { QuiesceError } from '../../../src/errors.ts';
import { object, planned, running, workload } from '../plan/support.ts';

const DB = { image: 'postgres:17', templates: ['data'] };
const claim = (name: string, namespace = 'shop'): KubeObject =>
  object('v1', `PersistentVolumeClaim/${name}`, { metadata: { name, namespace } });
const APPLICATION = [
  workload('StatefulSet/db', { ...DB, replicas: 1 }),
  running('Pod/db-0', 'StatefulSet/db', { ...DB, claims: ['data-db-0'] }),
  claim('data-db-0'),
];
const unread = (resource: string, namespace = 'shop', optional = false) => ({
  resource,
  namespace,
  optional,
  reason: `${resource} is forbidden: no right`,
});

function refusal(act: () => void): QuiesceError | undefined {
  try {
    act();
    return undefined;
  } catch (error) {
    if (error instanceof QuiesceError) return error;
    throw error;
  }
}

function hidden(objects: readonly KubeObject[], place = 'shop'): QuiesceError | undefined {
  const unexamined = [unread('clusters.postgresql.cnpg.io', place)];
  const { plan, catalog } = planned([...APPLICATION, ...objects], { unexamined });
  return refusal(() => refuseHidden(catalog, plan, ['shop']));
}

it('a custom resource that could not be read matters where a claim belongs to no member', () => {
  const error = hidden([claim('login-db-1')]);
  expect(error?.code).toBe('FORBIDDEN');
  expect(error?.message).toContain('list clusters.postgresql.cnpg.io in shop');
  expect(error?.message).toContain('shop/login-db-1');
  expect(error?.hint).toContain("apiGroups: ['postgresql.cnpg.io'], resources: [clusters]");
});

it('and not where each claim has its member, nor in other namespaces', () => {
  expect(hidden([])).toBeUndefined();
  expect(hidden([claim('data-queue-0', 'mq')])).toBeUndefined();
  expect(hidden([claim('login-db-1')], 'mq')).toBeUndefined();
});

it('what no result depends on, and what is elsewhere, may be unread', () => {
  const inventory = (one: ReturnType<typeof unread>) => ({
    objects: [],
    scope: 'cluster' as const,
    unexamined: [one],
    namespaces: ['shop'],
    now: 0,
  });
  const of = (one: ReturnType<typeof unread>): string | undefined =>
    refusal(() => refuseUnread(inventory(one), ['shop']))?.code;
  expect(of(unread('configmaps', 'shop', true))).toBeUndefined();
  expect(of(unread('deployments.apps', 'mq'))).toBeUndefined();
  expect(of(unread('deployments.apps'))).toBe('FORBIDDEN');
});
