import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ObjectApi } from '../../../src/cluster/api/objects.ts';
import { connect } from '../../../src/cluster/api/reader.ts';
import type { Pod } from '../../../src/cluster/objects/pod.ts';
import { RESTORE } from '../../../src/cluster/restore/names.ts';
import {
  ensureNamespace,
  markNamespace,
  unmarkNamespace,
} from '../../../src/cluster/restore/namespaces.ts';
import { liftGates } from '../../../src/cluster/restore/pods.ts';
import { proveGates } from '../../../src/cluster/restore/probe.ts';
import type { Stages } from '../../../src/cluster/gates/stages.ts';
import { leaseName, RunLease } from '../../../src/cluster/run/lease.ts';
import { type ControlPlane, startControlPlane } from '../../support/kubernetes.ts';
import { postgresPod } from '../../support/pods.ts';
import { Balancer } from '../../support/tcp-balancer.ts';
import { type RunningWebhook, startWebhook } from '../../support/webhook.ts';

const SYSTEM = 'quiesce-system';
const CONFIGURATION = '/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations';
const RBAC = '/apis/rbac.authorization.k8s.io/v1';
const ID = 'shop-20260101000000-abcd';
const TIMES = { durationMs: 6_000, renewEveryMs: 1_000, lookEveryMs: 200 };
const SIGNAL = new AbortController().signal;

let plane: ControlPlane;
let balancer: Balancer;
let webhook: RunningWebhook;
let api: ObjectApi;

beforeAll(async () => {
  plane = await startControlPlane();
  balancer = await Balancer.listen();
  await plane.namespace(SYSTEM);
  await plane.must('POST', `/api/v1/namespaces/${SYSTEM}/services`, {
    metadata: { name: 'hook' },
    // Without a kube-proxy here, the API server reaches the webhook through the balancer.
    spec: { type: 'ExternalName', externalName: 'localhost' },
  });
  await grant();
  await configure();
  const kubeconfig = await plane.kubeconfig('nobody');
  api = new ObjectApi(connect({ kubeconfig }));
  webhook = await startWebhook(['--service', 'hook', '--namespace', SYSTEM, '--secret', 'tls'], {
    KUBECONFIG: await plane.kubeconfig('webhook'),
  });
  await webhook.ready();
  balancer.to(webhook.port);
}, 3_600_000);

afterAll(async () => {
  await webhook?.stop('SIGKILL');
  await balancer?.close();
  await plane?.stop();
});

/** The webhook's rights are those in docs/webhook.md; the verb has all. */
async function grant(): Promise<void> {
  const apiGroup = 'rbac.authorization.k8s.io';
  const bind = async (name: string, user: string, role: string): Promise<void> => {
    await plane.must('POST', `${RBAC}/clusterrolebindings`, {
      metadata: { name },
      subjects: [{ kind: 'User', name: user, apiGroup }],
      roleRef: { apiGroup, kind: 'ClusterRole', name: role },
    });
  };
  await plane.must('POST', `${RBAC}/clusterroles`, {
    metadata: { name: 'hook' },
    rules: [
      {
        apiGroups: ['admissionregistration.k8s.io'],
        resources: ['mutatingwebhookconfigurations'],
        resourceNames: ['quiesce'],
        verbs: ['get', 'patch'],
      },
      { apiGroups: [''], resources: ['events'], verbs: ['create'] },
      { apiGroups: [''], resources: ['namespaces'], verbs: ['get', 'list', 'watch'] },
      { apiGroups: ['coordination.k8s.io'], resources: ['leases'], verbs: ['get'] },
      { apiGroups: [''], resources: ['secrets'], verbs: ['create', 'get', 'update'] },
    ],
  });
  await bind('hook', 'webhook', 'hook');
  await bind('verb', 'nobody', 'cluster-admin');
}

/** Both webhooks as the chart makes them, without a caBundle. */
async function configure(): Promise<void> {
  const entry = (name: string, path: string, more: object) => ({
    name,
    admissionReviewVersions: ['v1'],
    sideEffects: 'NoneOnDryRun',
    timeoutSeconds: 5,
    reinvocationPolicy: 'IfNeeded',
    clientConfig: { service: { namespace: SYSTEM, name: 'hook', path, port: balancer.port } },
    rules: [
      {
        apiGroups: [''],
        apiVersions: ['v1'],
        operations: ['CREATE'],
        resources: ['pods'],
        scope: 'Namespaced',
      },
    ],
    ...more,
  });
  await plane.must('POST', CONFIGURATION, {
    metadata: { name: 'quiesce' },
    webhooks: [
      entry('inject.quiesce.dev', '/mutate', {
        failurePolicy: 'Ignore',
        objectSelector: { matchLabels: { 'quiesce.dev/inject': 'true' } },
      }),
      entry('restore.quiesce.dev', '/restore', {
        failurePolicy: 'Fail',
        namespaceSelector: {
          matchExpressions: [{ key: 'quiesce.dev/restore', operator: 'Exists' }],
        },
      }),
    ],
  });
}

const STAGES: Stages = {
  layers: [
    [{ kind: 'StatefulSet', name: 'db', owners: ['StatefulSet/db'], pods: ['db-0'] }],
    [{ kind: 'Pod', name: 'api', pods: ['api'] }],
  ],
  last: 1,
};

async function begin(namespace: string, times = TIMES): Promise<RunLease> {
  await ensureNamespace(api, namespace, undefined);
  await expect
    .poll(
      async () =>
        await plane.call('GET', `/api/v1/namespaces/${namespace}/serviceaccounts/default`),
      {
        timeout: 30_000,
      },
    )
    .toMatchObject({ status: 200 });
  const place = { namespace, group: 'shop' };
  const lease = await RunLease.take(api, place, ID, SIGNAL, times);
  await mark(namespace, []);
  await proveGates(api, ID, namespace, SIGNAL, 60_000);
  return lease;
}

async function mark(namespace: string, released: readonly number[]): Promise<void> {
  await markNamespace(api, namespace, {
    run: ID,
    lease: `${namespace}/${leaseName('shop')}`,
    stages: STAGES,
    released: new Set(released),
  });
}

const create = (namespace: string, body: Pod) =>
  plane.call<Pod>('POST', `/api/v1/namespaces/${namespace}/pods`, {
    apiVersion: 'v1',
    kind: 'Pod',
    ...body,
  });

async function gatesOf(namespace: string, name: string): Promise<readonly string[] | undefined> {
  const { status, body } = await plane.call<Pod>(
    'GET',
    `/api/v1/namespaces/${namespace}/pods/${name}`,
  );
  return status === 200 ? (body.spec?.schedulingGates ?? []).map((one) => one.name) : undefined;
}

const plain = (name: string): Pod => ({
  metadata: { name },
  spec: { containers: [{ name: 'c', image: 'app:1' }] },
});

describe('behind a real API server', () => {
  it('pods wait for their layer, with their sidecar, also those of a StatefulSet; then they go', async () => {
    const lease = await begin('shop');
    const { metadata, spec } = postgresPod({ spec: { volumes: [{ name: 'data', emptyDir: {} }] } });
    await plane.must('POST', '/apis/apps/v1/namespaces/shop/statefulsets', {
      metadata: { name: 'db' },
      spec: {
        replicas: 1,
        selector: { matchLabels: { app: 'db' } },
        template: { metadata: { labels: metadata?.labels }, spec },
      },
    });
    await expect.poll(() => gatesOf('shop', 'db-0'), { timeout: 30_000 }).toEqual([RESTORE.gate]);
    const { body } = await plane.call<Pod>('GET', '/api/v1/namespaces/shop/pods/db-0');
    expect(body.spec?.containers?.at(-1)?.name).toBe('quiesce');
    const own = {
      ...plain('api'),
      spec: { ...plain('api').spec, schedulingGates: [{ name: 'a.io/own' }] },
    };
    expect((await create('shop', own)).status).toBe(201);
    expect(await gatesOf('shop', 'api')).toEqual(['a.io/own', RESTORE.gate]);
    expect((await create('shop', plain('stranger'))).status).toBe(201);
    expect(await gatesOf('shop', 'stranger')).toEqual([]);

    await mark('shop', [0]);
    const staged = [{ namespace: 'shop', stages: STAGES }];
    const waited = await liftGates(api, ID, staged, new Set([0]));
    expect([...waited].toSorted()).toEqual(['shop/Pod/api', 'shop/StatefulSet/db']);
    expect(await gatesOf('shop', 'db-0')).toEqual([]);
    expect(await gatesOf('shop', 'api')).toEqual(['a.io/own', RESTORE.gate]);
    // Evicted: its StatefulSet makes another one, which does not wait.
    await plane.call('DELETE', '/api/v1/namespaces/shop/pods/db-0?gracePeriodSeconds=0');
    await expect.poll(() => gatesOf('shop', 'db-0'), { timeout: 30_000 }).toEqual([]);

    await mark('shop', [0, 1]);
    await liftGates(api, ID, staged, new Set([0, 1]));
    expect(await gatesOf('shop', 'api')).toEqual(['a.io/own']);
    await unmarkNamespace(api, 'shop', ID);
    await lease.release();
    await expect.poll(() => webhook.metrics()).not.toContain('restored_namespace="shop"');
  }, 120_000);

  it('trusts the webhook in both entries of the configuration', async () => {
    interface Found {
      readonly webhooks: readonly { readonly clientConfig: { readonly caBundle?: string } }[];
    }
    const { webhooks } = await plane.must<Found>('GET', `${CONFIGURATION}/quiesce`);
    const bundles = webhooks.map(({ clientConfig }) => clientConfig.caBundle);
    expect(bundles[0]).toBeTruthy();
    expect(bundles[1]).toBe(bundles[0]);
  });

  it('pods wait only while the run lives; then they start, with an Event and a metric', async () => {
    // Nobody renews it, as after kill -9.
    await begin('left', { ...TIMES, renewEveryMs: 600_000 });
    expect((await create('left', plain('api'))).status).toBe(201);
    expect(await gatesOf('left', 'api')).toEqual([RESTORE.gate]);
    const abandoned = 'restore_abandoned{restored_namespace="left",run="shop-20260101000000-abcd"}';
    await expect.poll(() => webhook.metrics(), { timeout: 20_000 }).toContain(`${abandoned} 0`);
    await expect.poll(() => webhook.metrics(), { timeout: 20_000 }).toContain(`${abandoned} 1`);
    await plane.call('DELETE', '/api/v1/namespaces/left/pods/api?gracePeriodSeconds=0');
    const { status, warnings } = await create('left', plain('api'));
    expect(status).toBe(201);
    expect(warnings.join()).toContain(`--resume ${ID}`);
    expect(await gatesOf('left', 'api')).toEqual([]);
    await expect
      .poll(async () => JSON.stringify(await plane.must('GET', '/api/v1/namespaces/left/events')), {
        timeout: 20_000,
      })
      .toContain('RestoreAbandoned');
    await unmarkNamespace(api, 'left', ID);
  }, 120_000);

  it('while the webhook is down no pod is created there, and pods elsewhere are', async () => {
    const lease = await begin('down');
    await ensureNamespace(api, 'other', undefined);
    await webhook.stop();
    const refused = await create('down', plain('api'));
    expect(refused.status).toBe(500);
    expect(JSON.stringify(refused.body)).toContain('restore.quiesce.dev');
    await expect(proveGates(api, ID, 'down', SIGNAL, 2_000)).rejects.toMatchObject({
      code: 'RESTORE_NOT_GATED',
    });
    await expect
      .poll(async () => (await create('other', plain('api'))).status, { timeout: 30_000 })
      .toBe(201);
    await lease.release();
  }, 120_000);
});
