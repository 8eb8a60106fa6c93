import { createHash } from 'node:crypto';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { Pod } from '../../../src/cluster/objects/pod.ts';
import { type ControlPlane, startControlPlane } from '../../support/kubernetes.ts';
import { goldenNames, goldenPod, postgresPod } from '../../support/pods.ts';
import { Balancer } from '../../support/tcp-balancer.ts';
import { type RunningWebhook, startWebhook } from '../../support/webhook.ts';

const SYSTEM = 'quiesce-system';
const CONFIGURATION = '/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations';
const PODS = '/api/v1/namespaces/shop/pods';
const STATEFUL_SETS = '/apis/apps/v1/namespaces/shop/statefulsets';

let plane: ControlPlane;
let balancer: Balancer;
const replicas: RunningWebhook[] = [];

beforeAll(async () => {
  plane = await startControlPlane();
  balancer = await Balancer.listen();
  await plane.namespace(SYSTEM);
  await plane.namespace('shop');
  await plane.must('POST', `/api/v1/namespaces/${SYSTEM}/services`, {
    metadata: { name: 'hook' },
    // Without a kube-proxy here, the API server reaches the replicas through the balancer.
    spec: { type: 'ExternalName', externalName: 'localhost' },
  });
  await grant(plane);
}, 3_600_000);

afterAll(async () => {
  await balancer?.close();
  await plane?.stop();
});

afterEach(async () => {
  await Promise.all(replicas.splice(0).map((one) => one.stop('SIGKILL')));
  await plane.call('DELETE', `${CONFIGURATION}/quiesce`);
  await plane.call('DELETE', `/api/v1/namespaces/${SYSTEM}/secrets/tls`);
  await plane.call('DELETE', STATEFUL_SETS);
  await plane.call('DELETE', `${PODS}?gracePeriodSeconds=0`, {
    kind: 'DeleteOptions',
    apiVersion: 'v1',
    gracePeriodSeconds: 0,
  });
});

/** Grants exactly the rights in docs/webhook.md. */
async function grant(to: ControlPlane): Promise<void> {
  const base = '/apis/rbac.authorization.k8s.io/v1';
  const subjects = [{ kind: 'User', name: 'webhook', apiGroup: 'rbac.authorization.k8s.io' }];
  const ref = (kind: string) => ({ apiGroup: 'rbac.authorization.k8s.io', kind, name: 'hook' });
  const metadata = { name: 'hook' };
  await to.must('POST', `${base}/clusterroles`, {
    metadata,
    rules: [
      {
        apiGroups: ['admissionregistration.k8s.io'],
        resources: ['mutatingwebhookconfigurations'],
        resourceNames: ['quiesce'],
        verbs: ['get', 'patch'],
      },
      { apiGroups: [''], resources: ['events'], verbs: ['create'] },
      { apiGroups: [''], resources: ['resourcequotas', 'limitranges'], verbs: ['list'] },
      { apiGroups: [''], resources: ['namespaces'], verbs: ['get', 'list', 'watch'] },
      { apiGroups: ['coordination.k8s.io'], resources: ['leases'], verbs: ['get'] },
    ],
  });
  await to.must('POST', `${base}/clusterrolebindings`, {
    metadata,
    subjects,
    roleRef: ref('ClusterRole'),
  });
  await to.must('POST', `${base}/namespaces/${SYSTEM}/roles`, {
    metadata,
    rules: [
      { apiGroups: [''], resources: ['secrets'], verbs: ['create'] },
      { apiGroups: [''], resources: ['secrets'], resourceNames: ['tls'], verbs: ['get', 'update'] },
    ],
  });
  await to.must('POST', `${base}/namespaces/${SYSTEM}/rolebindings`, {
    metadata,
    subjects,
    roleRef: ref('Role'),
  });
}

/** Creates the configuration as the chart does in self-managed mode, without a caBundle. */
async function configure(failurePolicy: 'Ignore' | 'Fail'): Promise<void> {
  await plane.must('POST', CONFIGURATION, {
    metadata: { name: 'quiesce' },
    webhooks: [
      {
        name: 'inject.quiesce.dev',
        admissionReviewVersions: ['v1'],
        sideEffects: 'NoneOnDryRun',
        timeoutSeconds: 5,
        reinvocationPolicy: 'IfNeeded',
        failurePolicy,
        clientConfig: {
          service: { namespace: SYSTEM, name: 'hook', path: '/mutate', port: balancer.port },
        },
        objectSelector: { matchLabels: { 'quiesce.dev/inject': 'true' } },
        namespaceSelector: {
          matchExpressions: [
            {
              key: 'kubernetes.io/metadata.name',
              operator: 'NotIn',
              values: ['kube-system', SYSTEM],
            },
          ],
        },
        rules: [
          {
            apiGroups: [''],
            apiVersions: ['v1'],
            operations: ['CREATE'],
            resources: ['pods'],
            scope: 'Namespaced',
          },
        ],
      },
    ],
  });
}

async function replica(...flags: readonly string[]): Promise<RunningWebhook> {
  const webhook = await startWebhook(
    ['--service', 'hook', '--namespace', SYSTEM, '--secret', 'tls', ...flags],
    { KUBECONFIG: await plane.kubeconfig('webhook') },
  );
  replicas.push(webhook);
  return webhook;
}

/**
 * Starts a replica and waits until the API server trusts its certificate. The API server learns of the
 * caBundle by a watch, so that takes a moment after the replica is ready.
 */
async function serve(failurePolicy: 'Ignore' | 'Fail' = 'Ignore'): Promise<RunningWebhook> {
  await configure(failurePolicy);
  const webhook = await replica('--failure-policy', failurePolicy);
  await webhook.ready();
  balancer.to(webhook.port);
  await expect
    .poll(async () => containers((await create(pod('probe'), true)).body), { timeout: 30_000 })
    .toContain('quiesce');
  return webhook;
}

const create = (body: Pod, dryRun = false) =>
  plane.call<Pod>('POST', `${PODS}${dryRun ? '?dryRun=All' : ''}`, {
    apiVersion: 'v1',
    kind: 'Pod',
    ...body,
  });
const containers = (of: Pod): readonly string[] =>
  of.spec?.containers?.map(({ name }) => name) ?? [];

function pod(name: string, change: Parameters<typeof postgresPod>[0] = {}): Pod {
  const made = postgresPod(change);
  return { ...made, metadata: { ...made.metadata, name, namespace: 'shop' } };
}

/** A stored pod as a backup contains it and a restore creates it again. */
function asBackedUp(stored: Pod, labels: Record<string, string> = {}): Pod {
  const { metadata, spec } = structuredClone(stored) as Pod & { spec: { nodeName?: string } };
  delete spec.nodeName;
  return {
    metadata: {
      name: metadata?.name ?? '',
      namespace: 'shop',
      labels: { ...metadata?.labels, ...labels },
      annotations: metadata?.annotations ?? {},
    },
    spec,
  };
}

const counted = async (webhook: RunningWebhook, result: string): Promise<number> =>
  Number(
    new RegExp(`requests_total\\{result="${result}"\\} (\\d+)`).exec(
      await webhook.metrics(),
    )?.[1] ?? 0,
  );

describe('behind a real API server', () => {
  it('a StatefulSet’s pods are injected, and a restored pod gets one init container', async () => {
    const webhook = await serve();
    const { metadata, spec } = postgresPod({ spec: { volumes: [] } });
    await plane.must('POST', STATEFUL_SETS, {
      metadata: { name: 'db' },
      spec: {
        serviceName: 'db',
        replicas: 2,
        podManagementPolicy: 'Parallel',
        selector: { matchLabels: { app: 'db' } },
        template: { metadata: { labels: metadata?.labels }, spec },
        volumeClaimTemplates: [
          {
            metadata: { name: 'data' },
            spec: { accessModes: ['ReadWriteOnce'], resources: { requests: { storage: '1Gi' } } },
          },
        ],
      },
    });
    for (const name of ['db-0', 'db-1']) {
      await expect
        .poll(async () => containers((await plane.call<Pod>('GET', `${PODS}/${name}`)).body), {
          timeout: 60_000,
        })
        .toEqual(['postgres', 'quiesce']);
    }
    const stored = await plane.must<Pod>('GET', `${PODS}/db-0`);
    const sidecar = stored.spec?.containers?.[1];
    expect(sidecar?.volumeMounts?.map(({ mountPath }) => mountPath)).toEqual([
      '/var/lib/postgresql/data',
      '/run/quiesce',
      '/var/lib/quiesce',
      '/var/run/secrets/kubernetes.io/serviceaccount',
    ]);
    // Only the database gets the service account's token, even after the API server's own plugins.
    expect(sidecar?.volumeMounts?.at(-1)).toMatchObject({
      name: 'quiesce-run',
      subPath: 'no-token',
    });
    expect(
      stored.spec?.containers?.[0]?.volumeMounts?.some(({ name }) =>
        name.startsWith('kube-api-access'),
      ),
    ).toBe(true);

    await plane.must('DELETE', `${STATEFUL_SETS}/db`, { propagationPolicy: 'Orphan' });
    await plane.must('DELETE', `${PODS}/db-0?gracePeriodSeconds=0`);
    const before = await counted(webhook, 'unchanged');
    const again = await create(asBackedUp(stored), true);
    expect(again.status).toBe(201);
    expect(again.body.spec).toEqual({ ...stored.spec, nodeName: undefined });
    expect(await counted(webhook, 'unchanged')).toBeGreaterThan(before);

    const restored = await create(asBackedUp(stored, { 'velero.io/restore-name': 'r1' }));
    expect(restored.status).toBe(201);
    expect(restored.body.spec?.initContainers?.map(({ name }) => name)).toEqual([
      'quiesce-prepare-restore',
    ]);
    const { initContainers: _, ...others } = restored.body.spec ?? {};
    expect(others).toEqual({ ...stored.spec, nodeName: undefined });
    await plane.must('DELETE', `${PODS}/db-0?gracePeriodSeconds=0`);
    const twice = await create(asBackedUp(restored.body, { 'velero.io/restore-name': 'r2' }));
    expect(twice.body.spec).toEqual(restored.body.spec);
  });

  it.each(goldenNames)(
    '%s is accepted, and needs no operation when created again as stored',
    async (name) => {
      const [webhook] = replicas.length > 0 ? replicas : [await serve()];
      const golden = goldenPod(name);
      const { ownerReferences: _, ...metadata } = golden.metadata ?? {};
      const spec = structuredClone(golden.spec) as Record<string, unknown>;
      delete spec['serviceAccountName'];
      const first = await create(
        { metadata: { ...metadata, name: 'golden', namespace: 'shop' }, spec },
        true,
      );
      expect(first.status, JSON.stringify(first.body)).toBe(201);
      expect(containers(first.body).at(-1)).toBe('quiesce');
      const before = await counted(webhook as RunningWebhook, 'injected');
      const second = await create(asBackedUp(first.body), true);
      expect(second.status).toBe(201);
      expect(second.body.spec).toEqual(first.body.spec);
      expect(second.body.metadata?.annotations).toEqual(first.body.metadata?.annotations);
      expect(await counted(webhook as RunningWebhook, 'injected')).toBe(before);
    },
  );

  it('an injected pod passes the restricted Pod Security Standard', async () => {
    await serve();
    await plane.namespace('strict', { 'pod-security.kubernetes.io/enforce': 'restricted' });
    const securityContext = { allowPrivilegeEscalation: false, capabilities: { drop: ['ALL'] } };
    const strict = postgresPod({
      labels: { 'velero.io/restore-name': 'r' },
      container: { securityContext },
      spec: {
        securityContext: {
          runAsUser: 999,
          runAsNonRoot: true,
          fsGroup: 999,
          seccompProfile: { type: 'RuntimeDefault' },
        },
      },
    });
    const answer = await plane.call<Pod>('POST', '/api/v1/namespaces/strict/pods', {
      apiVersion: 'v1',
      kind: 'Pod',
      ...strict,
    });
    expect(answer.status, JSON.stringify(answer.body)).toBe(201);
    expect(containers(answer.body)).toContain('quiesce');
    expect(answer.body.spec?.initContainers).toHaveLength(1);
  });

  it('a pod with an invalid annotation is admitted without the sidecar; a warning and an Event give the name', async () => {
    await serve();
    const answer = await create(pod('bad', { annotations: { 'quiesce.dev/copy': 'clone' } }));
    expect(answer.status).toBe(201);
    expect(containers(answer.body)).toEqual(['postgres']);
    expect(answer.warnings.join()).toContain('quiesce.dev/copy');
    await expect
      .poll(
        async () =>
          JSON.stringify((await plane.call('GET', '/api/v1/namespaces/shop/events')).body),
        { timeout: 30_000 },
      )
      .toMatch(/InvalidAnnotation.*|quiesce\.dev\/copy must be one of/);
  });

  it('a ResourceQuota on CPU limits lets the pod in; a LimitRange that does not is an Event with the value', async () => {
    await serve();
    const createIn = (namespace: string, body: Pod) =>
      plane.call<Pod>('POST', `/api/v1/namespaces/${namespace}/pods`, {
        apiVersion: 'v1',
        kind: 'Pod',
        ...body,
        metadata: { ...body.metadata, namespace },
      });
    await plane.namespace('counted');
    const quotas = '/api/v1/namespaces/counted/resourcequotas';
    const hard = { 'limits.cpu': '4' };
    const quota = { metadata: { name: 'hard' }, spec: { hard } };
    await plane.must('POST', quotas, quota);
    // As the quota controller does, which does not run here: the API server counts against the status.
    const status = { hard, used: { 'limits.cpu': '0' } };
    await plane.must('PUT', `${quotas}/hard/status`, { ...quota, status });
    const container = { resources: { limits: { cpu: '200m' } } };
    const letIn = await createIn('counted', pod('db', { container }));
    expect([letIn.status, containers(letIn.body)]).toEqual([201, ['postgres', 'quiesce']]);

    await plane.namespace('ranged');
    await plane.must('POST', '/api/v1/namespaces/ranged/limitranges', {
      metadata: { name: 'range' },
      spec: { limits: [{ type: 'Container', max: { memory: '128Mi' } }] },
    });
    const refused = await createIn('ranged', pod('db'));
    expect(refused.status).toBe(403);
    const events = '/api/v1/namespaces/ranged/events';
    await expect
      .poll(async () => JSON.stringify((await plane.call('GET', events)).body), { timeout: 30_000 })
      .toMatch(/the LimitRange range refuses the pod.*sidecar\.resources\.limits\.memory/);
  });

  it('a pod with an invalid annotation is refused with Fail, by the annotation’s name', async () => {
    await serve('Fail');
    const answer = await create(pod('bad', { annotations: { 'quiesce.dev/engine': 'oracle' } }));
    expect(answer.status).toBe(422);
    expect(JSON.stringify(answer.body)).toContain('quiesce.dev/engine');
  });

  it('a user’s own hooks are kept, and a warning and an Event say so', async () => {
    await serve();
    const own = { 'pre.hook.backup.velero.io/command': '["/bin/own"]' };
    const answer = await create(pod('own', { annotations: own }));
    expect(answer.body.metadata?.annotations).toMatchObject(own);
    expect(answer.body.metadata?.annotations).not.toHaveProperty([
      'post.hook.backup.velero.io/command',
    ]);
    expect(answer.warnings.join()).toContain('pre.hook.backup.velero.io/command');
    await expect
      .poll(
        async () =>
          JSON.stringify((await plane.call('GET', '/api/v1/namespaces/shop/events')).body),
        { timeout: 30_000 },
      )
      .toContain('HooksNotAdded');
  });

  it('a dry run writes no Event', async () => {
    await serve();
    const owner = { metadata: { name: 'dry-only', namespace: 'shop' } };
    const made = pod('dry-only', { annotations: { 'quiesce.dev/ttl': 'soon' } });
    expect(
      (await create({ ...made, metadata: { ...made.metadata, ...owner.metadata } }, true)).warnings,
    ).toHaveLength(1);
    await new Promise((resolve) => setTimeout(resolve, 1_000));
    const events = await plane.must<object>('GET', '/api/v1/namespaces/shop/events');
    expect(JSON.stringify(events)).not.toContain('dry-only');
  });

  it('a killed webhook does not keep pods from starting', async () => {
    const webhook = await serve();
    await webhook.stop('SIGKILL');
    const begun = Date.now();
    const answer = await create(pod('unprotected'));
    expect(answer.status).toBe(201);
    expect(containers(answer.body)).toEqual(['postgres']);
    expect(Date.now() - begun).toBeLessThan(6_000);
  });

  it('replicas that start at once agree on one certificate', async () => {
    await configure('Fail');
    const both = await Promise.all([replica(), replica(), replica()]);
    await Promise.all(both.map((one) => one.ready()));
    balancer.to(...both.map(({ port }) => port));
    const stored = await plane.must<{ data: Record<string, string> }>(
      'GET',
      `/api/v1/namespaces/${SYSTEM}/secrets/tls`,
    );
    const configured = await plane.must<{ webhooks: { clientConfig: { caBundle: string } }[] }>(
      'GET',
      `${CONFIGURATION}/quiesce`,
    );
    expect(configured.webhooks[0]?.clientConfig.caBundle).toBe(stored.data['ca.crt']);
    for (let tried = 0; tried < 12; tried += 1) {
      await expect
        .poll(async () => (await create(pod('agreed'), true)).status, { timeout: 30_000 })
        .toBe(201);
    }
  });

  it('two replicas rotate certificates and authorities under load, and no pod is refused', async () => {
    await configure('Fail');
    const lifetimes = ['--certificate-lifetime', '15s', '--ca-lifetime', '45s'];
    const both = await Promise.all([replica(...lifetimes), replica(...lifetimes)]);
    await Promise.all(both.map((one) => one.ready()));
    balancer.to(...both.map(({ port }) => port));
    await expect
      .poll(async () => (await create(pod('first'), true)).status, { timeout: 30_000 })
      .toBe(201);
    const authorities = new Set<string>();
    const refused: string[] = [];
    let admitted = 0;
    const end = Date.now() + 75_000;
    const load = async (name: string): Promise<void> => {
      while (Date.now() < end) {
        const { status, body } = await create(pod(name), true);
        if (status === 201 && containers(body).includes('quiesce')) admitted += 1;
        else
          refused.push(
            `${new Date().toISOString()} ${status} ${JSON.stringify(body).slice(0, 300)}`,
          );
        await new Promise((resolve) => setTimeout(resolve, 25));
      }
    };
    const watch = async (): Promise<void> => {
      while (Date.now() < end) {
        const { body } = await plane.call<{ data: Record<string, string> }>(
          'GET',
          `/api/v1/namespaces/${SYSTEM}/secrets/tls`,
        );
        authorities.add(
          createHash('sha256')
            .update(body.data['ca.key'] ?? '')
            .digest('hex'),
        );
        await new Promise((resolve) => setTimeout(resolve, 500));
      }
    };
    await Promise.all([load('a'), load('b'), load('c'), watch()]);
    expect(refused).toEqual([]);
    expect(admitted).toBeGreaterThan(100);
    expect(authorities.size).toBeGreaterThan(1);
    for (const one of both) {
      const renewals = /renewals_total (\d+)/.exec(await one.metrics())?.[1];
      expect(Number(renewals)).toBeGreaterThan(2);
    }
  }, 240_000);

  it('a replica stops without a refused pod while the other one serves', async () => {
    await configure('Fail');
    const [one, other] = [await replica(), await replica()];
    await Promise.all([one.ready(), other.ready()]);
    balancer.to(one.port, other.port);
    await expect
      .poll(async () => (await create(pod('first'), true)).status, { timeout: 30_000 })
      .toBe(201);
    const statuses: number[] = [];
    const end = new AbortController();
    const load = (async () => {
      while (!end.signal.aborted) statuses.push((await create(pod('during'), true)).status);
    })();
    await new Promise((resolve) => setTimeout(resolve, 500));
    const stopped = one.stop('SIGTERM');
    balancer.to(other.port);
    expect(await stopped).toBe(0);
    await new Promise((resolve) => setTimeout(resolve, 1_000));
    end.abort();
    await load;
    expect(statuses.filter((status) => status !== 201)).toEqual([]);
  });

  it('the documented rights are enough', async () => {
    const webhook = await serve();
    await create(pod('warned', { annotations: { 'quiesce.dev/ttl': 'soon' } }));
    expect(webhook.log()).not.toMatch(/forbidden|cannot be refreshed|cannot write Events/);
  });

  it('a replica without rights is not ready, and logs why without a private key', async () => {
    await serve();
    await Promise.all(replicas.splice(0).map((one) => one.stop()));
    const { data } = await plane.must<{ data: Record<string, string> }>(
      'GET',
      `/api/v1/namespaces/${SYSTEM}/secrets/tls`,
    );
    expect(data['ca.key']).toBeDefined();
    const unprivileged = await startWebhook(
      ['--service', 'hook', '--namespace', SYSTEM, '--secret', 'tls'],
      { KUBECONFIG: await plane.kubeconfig('nobody') },
    );
    replicas.push(unprivileged);
    await unprivileged.ready(false);
    await expect.poll(() => unprivileged.log(), { timeout: 30_000 }).toMatch(/cannot be refreshed/);
    expect(unprivileged.log()).not.toContain('PRIVATE KEY');
  });
});
