import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { connect } from '../../../src/cluster/api/reader.ts';
import { ClusterHealth } from '../../../src/cluster/health/health.ts';
import type { MemberState } from '../../../src/cluster/health/state.ts';
import { type ControlPlane, startControlPlane } from '../../support/kubernetes.ts';
import { codes, memberOf } from './support.ts';

const RBAC = '/apis/rbac.authorization.k8s.io/v1';
const SETS = '/apis/apps/v1/namespaces/shop/statefulsets';

/** What a judgement may read, and no more. */
const RULES: readonly (readonly [group: string, resources: readonly string[]])[] = [
  ['', ['namespaces', 'pods', 'persistentvolumeclaims', 'services']],
  ['apps', ['statefulsets', 'deployments', 'daemonsets', 'replicasets']],
  ['discovery.k8s.io', ['endpointslices']],
];

let plane: ControlPlane;
let health: ClusterHealth;

beforeAll(async () => {
  plane = await startControlPlane();
  await plane.namespace('shop');
  const rules = RULES.map(([group, resources]) => ({
    apiGroups: [group],
    resources,
    verbs: ['get', 'list'],
  }));
  await plane.must('POST', `${RBAC}/clusterroles`, { metadata: { name: 'look' }, rules });
  await plane.must('POST', `${RBAC}/clusterroles`, {
    metadata: { name: 'explain' },
    rules: [{ apiGroups: [''], resources: ['events', 'nodes'], verbs: ['list'] }],
  });
  await bind('look');
  await bind('explain');
  health = new ClusterHealth(connect({ kubeconfig: await plane.kubeconfig('nobody') }));
});
afterAll(async () => await plane.stop());

async function bind(role: string): Promise<void> {
  await plane.must('POST', `${RBAC}/clusterrolebindings`, {
    metadata: { name: role },
    roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: role },
    subjects: [{ kind: 'User', name: 'nobody', apiGroup: 'rbac.authorization.k8s.io' }],
  });
}

async function statefulSet(name: string, pod: object = {}, container: object = {}): Promise<void> {
  await plane.must('POST', SETS, {
    metadata: { name },
    spec: {
      serviceName: name,
      selector: { matchLabels: { app: name } },
      template: {
        metadata: { labels: { app: name } },
        spec: {
          containers: [{ name: 'main', image: 'registry.example/app:1', ...container }],
          ...pod,
        },
      },
    },
  });
}

const look = async (name: string): Promise<MemberState> => {
  const [state] = await health.look(
    [memberOf(`StatefulSet/${name}`, [`${name}-0`])],
    new AbortController().signal,
  );
  if (state === undefined) throw new Error('no state');
  return state;
};

/** The controller reports a refusal some time after the object. */
async function firstCause(name: string, code: string) {
  for (let turn = 0; turn < 60; turn += 1) {
    const [first] = (await look(name)).causes;
    if (first?.code === code) return first;
    await sleep(500);
  }
  return (await look(name)).causes[0];
}

describe('what a real API server refuses', () => {
  it('for lack of a service account', async () => {
    await statefulSet('account', { serviceAccountName: 'nobody-has-it' });
    const found = await firstCause('account', 'SERVICE_ACCOUNT_MISSING');
    expect(found).toMatchObject({
      code: 'SERVICE_ACCOUNT_MISSING',
      passing: true,
      object: 'shop StatefulSet/account',
    });
    expect(found?.message).toContain('serviceaccount "nobody-has-it" not found');
  });

  it('for lack of a priority class', async () => {
    await statefulSet('class', { priorityClassName: 'gold' });
    expect(await firstCause('class', 'PRIORITY_CLASS_MISSING')).toMatchObject({
      code: 'PRIORITY_CLASS_MISSING',
      passing: false,
    });
  });

  it('because of a limit of the namespace', async () => {
    await plane.must('POST', '/api/v1/namespaces/shop/limitranges', {
      metadata: { name: 'small' },
      spec: { limits: [{ type: 'Container', max: { memory: '1Gi' } }] },
    });
    await statefulSet('large', {}, { resources: { limits: { memory: '2Gi' } } });
    expect(await firstCause('large', 'LIMIT_EXCEEDED')).toMatchObject({
      code: 'LIMIT_EXCEEDED',
      passing: false,
    });
    await plane.must('DELETE', '/api/v1/namespaces/shop/limitranges/small');
  });

  it('because of the policy for pods', async () => {
    await plane.must('PUT', '/api/v1/namespaces/shop', {
      metadata: { name: 'shop', labels: { 'pod-security.kubernetes.io/enforce': 'restricted' } },
    });
    await statefulSet('loose');
    expect(await firstCause('loose', 'POD_SECURITY')).toMatchObject({
      code: 'POD_SECURITY',
      passing: false,
    });
    await plane.must('PUT', '/api/v1/namespaces/shop', { metadata: { name: 'shop' } });
  });
});

describe('a member on a real API server', () => {
  const POD = '/api/v1/namespaces/shop/pods/db-0';

  it('waits for a scheduler, and is ready once its pod is', async () => {
    await statefulSet('db');
    expect(await firstCause('db', 'NOT_SCHEDULED')).toMatchObject({
      code: 'NOT_SCHEDULED',
      passing: true,
    });
    const pod = await plane.must('GET', POD);
    const conditions = ['PodScheduled', 'ContainersReady', 'Ready'].map((type) => ({
      type,
      status: 'True',
    }));
    await plane.must('PUT', `${POD}/status`, {
      ...pod,
      status: {
        phase: 'Running',
        conditions,
        containerStatuses: [
          {
            name: 'main',
            image: 'x',
            imageID: 'x',
            ready: true,
            restartCount: 0,
            state: { running: {} },
          },
        ],
      },
    });
    let state = await look('db');
    for (let turn = 0; turn < 40 && !state.ready; turn += 1) {
      await sleep(500);
      state = await look('db');
    }
    expect(state).toMatchObject({ ready: true, judged: true, causes: [] });
  });

  it('is judged the same without events and nodes, and not at all without its pods', async () => {
    await plane.must('DELETE', `${RBAC}/clusterrolebindings/explain`);
    await sleep(2_000);
    expect((await look('db')).ready).toBe(true);
    expect(codes(await look('class'))).toEqual(['PODS_MISSING passing']);
    await plane.must('DELETE', `${RBAC}/clusterrolebindings/look`);
    await sleep(2_000);
    await expect(look('db')).rejects.toMatchObject({ code: 'FORBIDDEN' });
  });
});
