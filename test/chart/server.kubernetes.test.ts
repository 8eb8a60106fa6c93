import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { parse, parseAllDocuments, stringify } from 'yaml';
import {
  BUILD_TIMEOUT_MS,
  CHART,
  type ChartTools,
  chartTools,
  type Manifest,
  one,
} from '../support/helm.ts';
import { type ControlPlane, startControlPlane } from '../support/kubernetes.ts';
import { type RunningWebhook, startWebhook } from '../support/webhook.ts';
import { ClusterClient } from './cluster.ts';
import { VALUE_SETS } from './values.ts';

const NAMESPACE = 'quiesce-system';
const CONFIGURATION =
  '/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/quiesce-system-quiesce-webhook';

const run = promisify(execFile);

let dir: string;
let control: ControlPlane;
let kubeconfig: string;
let tools: ChartTools;
let cluster: ClusterClient;

/** The pod that a Deployment would create, with an account that exists before the release does. */
function podOf(deployment: Manifest): Manifest {
  const { template } = deployment['spec'] as { template: Omit<Manifest, 'apiVersion' | 'kind'> };
  const metadata = { ...(template['metadata'] as object), name: 'webhook', namespace: NAMESPACE };
  const spec = { ...(template['spec'] as object), serviceAccountName: 'default' };
  return { ...template, apiVersion: 'v1', kind: 'Pod', metadata, spec };
}

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'q-chart-'));
  tools = await chartTools();
  control = await startControlPlane();
  // helm authenticates as an administrator from a kubeconfig file.
  kubeconfig = await control.kubeconfig('nobody');
  await control.must('POST', '/apis/rbac.authorization.k8s.io/v1/clusterrolebindings', {
    metadata: { name: 'helm' },
    roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: 'cluster-admin' },
    subjects: [{ apiGroup: 'rbac.authorization.k8s.io', kind: 'User', name: 'nobody' }],
  });
  cluster = new ClusterClient(kubeconfig);
  await cluster.define(tools.crds);
  await control.namespace(NAMESPACE, { 'pod-security.kubernetes.io/enforce': 'restricted' });
  await control.namespace('protected');
  await control.namespace('shop');
  await control.namespace('queue');
  await control.namespace('velero');
}, 2 * BUILD_TIMEOUT_MS);

afterAll(async () => {
  await control?.stop();
  await rm(dir, { recursive: true, force: true });
});

describe('a real API server accepts every rendered object', () => {
  test.each(Object.entries(VALUE_SETS))('with values: %s', async (_, args) => {
    const manifests = await tools.helm.template(...args);
    expect(manifests.length).toBeGreaterThan(3);
    const refusals = await Promise.all(manifests.map((manifest) => cluster.refusal(manifest)));
    expect(refusals.filter((refusal) => refusal !== null)).toEqual([]);
  });

  test('the pods may run in a namespace that enforces the restricted Pod Security Standard', async () => {
    const manifests = await tools.helm.template();
    const webhook = podOf(one(manifests, 'Deployment'));
    expect(await cluster.refusal(webhook)).toBeNull();
    expect(await cluster.refusal(one(manifests, 'Pod'))).toBeNull();
    const spec = webhook['spec'] as object;
    const root = { ...webhook, spec: { ...spec, securityContext: { runAsUser: 0 } } };
    expect(await cluster.refusal(root)).toMatch(/violates PodSecurity/);
  });

  test('and refuses a field that does not exist', async () => {
    const [first] = (await tools.helm.template()).filter(({ kind }) => kind === 'Deployment');
    const wrong = { ...(first as Manifest), spec: { ...(first?.['spec'] as object), replica: 2 } };
    expect(await cluster.refusal(wrong)).toMatch(/replica/);
  });

  test('and the example database of the docs', async () => {
    const text = await readFile(join(CHART, '../../docs/examples/postgres.yaml'), 'utf8');
    const manifests = parseAllDocuments(text).map((document) => document.toJS() as Manifest);
    expect(manifests.length).toBeGreaterThan(0);
    for (const manifest of manifests) expect(await cluster.refusal(manifest)).toBeNull();
  });
});

describe('a release', () => {
  const helm = async (...args: string[]): Promise<string> => {
    const at = ['--kubeconfig', kubeconfig, '--namespace', NAMESPACE];
    const { code, stdout, stderr } = await tools.helm.run(...args, ...at);
    if (code !== 0) throw new Error(stderr);
    return stdout;
  };
  const database: Manifest = {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: 'db-0', namespace: 'protected', labels: { 'quiesce.dev/inject': 'true' } },
    spec: {
      containers: [
        { name: 'postgres', image: 'postgres:17' },
        { name: 'quiesce', image: 'quiesce:0.0.9' },
      ],
    },
  };
  const podPath = '/api/v1/namespaces/protected/pods/db-0';
  const secretPath = `/api/v1/namespaces/${NAMESPACE}/secrets/quiesce-webhook-tls`;
  const trust = async (): Promise<unknown> => {
    const found = await cluster.get(CONFIGURATION);
    const [webhook] = (found?.['webhooks'] ?? []) as { clientConfig: { caBundle?: string } }[];
    return webhook?.clientConfig.caBundle;
  };

  /** Asserts, by the server's own decision, what the webhook's account may and may not do. */
  const expectRights = async (): Promise<void> => {
    const admission = 'admissionregistration.k8s.io';
    const configurations = 'mutatingwebhookconfigurations';
    const own = 'quiesce-system-quiesce-webhook';
    const asked = [
      [
        true,
        { verb: 'get', resource: 'secrets', namespace: NAMESPACE, name: 'quiesce-webhook-tls' },
      ],
      [
        true,
        { verb: 'update', resource: 'secrets', namespace: NAMESPACE, name: 'quiesce-webhook-tls' },
      ],
      [true, { verb: 'create', resource: 'secrets', namespace: NAMESPACE }],
      [true, { verb: 'get', group: admission, resource: configurations, name: own }],
      [true, { verb: 'patch', group: admission, resource: configurations, name: own }],
      [true, { verb: 'create', resource: 'events', namespace: 'protected' }],
      [false, { verb: 'get', resource: 'secrets', namespace: NAMESPACE, name: 'another' }],
      [false, { verb: 'list', resource: 'secrets', namespace: NAMESPACE }],
      [false, { verb: 'create', resource: 'secrets', namespace: 'protected' }],
      [
        false,
        { verb: 'get', resource: 'secrets', namespace: 'protected', name: 'quiesce-webhook-tls' },
      ],
      [false, { verb: 'patch', group: admission, resource: configurations, name: 'another' }],
      [false, { verb: 'delete', group: admission, resource: configurations, name: own }],
      [false, { verb: 'get', resource: 'pods', namespace: 'protected' }],
      [false, { verb: 'create', resource: 'pods', subresource: 'exec', namespace: 'protected' }],
      [false, { verb: 'list', resource: 'events', namespace: 'protected' }],
    ] as const;
    const account = `system:serviceaccount:${NAMESPACE}:quiesce-webhook`;
    for (const [may, access] of asked) {
      expect(await cluster.mayDo(account, access), JSON.stringify(access)).toBe(may);
    }
  };

  /** Starts the webhook as the chart runs it: with its flags, and only the rights of its account. */
  const startAsInstalled = async (): Promise<RunningWebhook> => {
    const { status } = await control.must<{ status: { token: string } }>(
      'POST',
      `/api/v1/namespaces/${NAMESPACE}/serviceaccounts/quiesce-webhook/token`,
      { apiVersion: 'authentication.k8s.io/v1', kind: 'TokenRequest', spec: {} },
    );
    const config = parse(await readFile(kubeconfig, 'utf8')) as { users: { user: object }[] };
    config.users = [{ ...config.users[0], user: { token: status.token } }];
    const file = join(dir, 'account.conf');
    await writeFile(file, stringify(config), { mode: 0o600 });
    const { containers } = podOf(one(await tools.helm.template(), 'Deployment'))['spec'] as {
      containers: { args: string[] }[];
    };
    const [verb, ...flags] = containers[0]?.args ?? [];
    expect(verb).toBe('webhook');
    // The addresses and the image are set by this machine.
    const own = flags.filter((flag) => !/^--(?:addr|metrics-addr|image)=/.test(flag));
    return startWebhook(own, { KUBECONFIG: file });
  };

  /** Runs the command of the `helm test` pod with the real curl. */
  const helmTest = async (port: number, path = ''): Promise<{ code: number; stdout: string }> => {
    const { containers } = one(await tools.helm.template(), 'Pod')['spec'] as {
      containers: { command: string[]; env: { name: string; value: string }[] }[];
    };
    const [container] = containers;
    const own = Object.fromEntries((container?.env ?? []).map(({ name, value }) => [name, value]));
    const env = {
      ...own,
      WEBHOOK: `${own['WEBHOOK']}${path}`,
      HOME: dir,
      PATH: process.env['PATH'],
    };
    const { hostname } = new URL(env.WEBHOOK);
    await writeFile(join(dir, '.curlrc'), `connect-to = "${hostname}:443:127.0.0.1:${port}"\n`);
    const [shell = 'sh', ...args] = container?.command ?? [];
    return run(shell, args, { env }).then(
      ({ stdout }) => ({ code: 0, stdout }),
      (failed: { code: number; stdout: string }) => failed,
    );
  };

  test('serves after the install, keeps its CA through an upgrade, and never changes running pods', async () => {
    await cluster.apply(database);
    const before = (await cluster.get(podPath))?.metadata as { uid?: string };

    expect(await helm('install', 'quiesce', CHART)).toContain('STATUS: deployed');
    const monitors = `/apis/monitoring.coreos.com/v1/namespaces/${NAMESPACE}/podmonitors`;
    expect(await cluster.get(`${monitors}/quiesce-sidecars`)).toBeDefined();
    await expectRights();

    const webhook = await startAsInstalled();
    try {
      await webhook.ready();
      expect(await helmTest(webhook.port)).toMatchObject({
        code: 0,
        stdout: expect.stringContaining('"allowed":true') as string,
      });
      expect(await helmTest(webhook.port, '/elsewhere')).toMatchObject({ code: 1 });
      expect(await webhook.metrics()).toContain(
        'quiesce_webhook_requests_total{result="injected"} 1',
      );
      const trusted = await trust();
      expect(trusted).toMatch(/^LS0t/);

      await helm('upgrade', 'quiesce', CHART, '--set', 'replicas=3,webhook.timeoutSeconds=7');
      expect(await trust()).toBe(trusted);
      expect(JSON.stringify(await cluster.get(CONFIGURATION))).toContain('"timeoutSeconds":7');
      expect((await cluster.get(podPath))?.metadata).toMatchObject({ uid: before.uid });
      expect(webhook.log()).not.toMatch(/"level":"(?:warn|error)"/);
    } finally {
      await webhook.stop('SIGKILL');
    }

    await helm('uninstall', 'quiesce');
    expect(await cluster.get(CONFIGURATION)).toBeUndefined();
    // The notes say that the Secret stays, and how to remove it.
    expect(await cluster.get(secretPath)).toBeDefined();
    const left = await cluster.get(podPath);
    expect(left?.metadata).toMatchObject({ uid: before.uid });
    expect(left?.['spec']).toMatchObject(database['spec'] as object);
  }, 180_000);
});
