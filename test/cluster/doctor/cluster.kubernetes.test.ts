import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { stringify } from 'yaml';
import type { Diagnosis } from '../../../src/cluster/doctor/report.ts';
import { RESOURCES, resourceName } from '../../../src/cluster/inventory/resources.ts';
import { inject } from '../../../src/cluster/inject/inject.ts';
import { cliPath } from '../../../src/testbed/processes.ts';
import { BUILD_TIMEOUT_MS, type Manifest, one, realHelm } from '../../support/helm.ts';
import { type ControlPlane, startControlPlane } from '../../support/kubernetes.ts';
import { CONFIG, postgresPod } from '../../support/pods.ts';

const run = promisify(execFile);
const STATEFUL_SETS = '/apis/apps/v1/namespaces/shop/statefulsets';
const PODS = '/api/v1/namespaces/shop/pods';
const RBAC = '/apis/rbac.authorization.k8s.io/v1';

let plane: ControlPlane;
let dir: string;
/** A kubeconfig with the rights of the chart's ClusterRole, and no others. */
let granted: string;
/** A kubeconfig without any rights. */
let nobody: string;
let role: Manifest;

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'q-doctor-'));
  plane = await startControlPlane();
  await plane.namespace('shop');
  await plane.namespace('velero');
  granted = await plane.kubeconfig('webhook');
  nobody = await plane.kubeconfig('nobody');
  const helm = await realHelm();
  role = one(await helm.template('--set', 'doctor.rbac=true'), 'ClusterRole', /-doctor$/);
  await plane.must('POST', `${RBAC}/clusterroles`, role);
  await bind('clusterrolebindings', 'webhook', role.metadata.name);
}, 2 * BUILD_TIMEOUT_MS);

afterAll(async () => {
  await plane?.stop();
  await rm(dir, { recursive: true, force: true });
});

async function bind(kind: string, user: string, name: string): Promise<void> {
  await plane.must('POST', `${RBAC}/${kind}`, {
    metadata: { name: `${user}-${name}` },
    roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name },
    subjects: [{ apiGroup: 'rbac.authorization.k8s.io', kind: 'User', name: user }],
  });
}

interface Ended {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

async function doctor(kubeconfig: string, ...args: readonly string[]): Promise<Ended> {
  const env = { PATH: process.env['PATH'] ?? '', KUBECONFIG: kubeconfig };
  try {
    return { code: 0, ...(await run(process.execPath, [cliPath(), 'doctor', ...args], { env })) };
  } catch (error) {
    return error as Ended;
  }
}

async function diagnosis(kubeconfig: string, ...args: readonly string[]): Promise<Diagnosis> {
  const { stdout, stderr } = await doctor(kubeconfig, '-o', 'json', ...args);
  if (stdout === '') throw new Error(stderr);
  return JSON.parse(stdout) as Diagnosis;
}

function statefulSet(name: string, labels: Record<string, string>): object {
  const { spec, metadata } = postgresPod({ spec: { volumes: [] } });
  const app = { ...metadata?.labels, ...labels, app: name };
  return {
    metadata: { name },
    spec: {
      serviceName: name,
      replicas: 2,
      podManagementPolicy: 'Parallel',
      selector: { matchLabels: { app: name } },
      template: { metadata: { labels: app }, spec },
      volumeClaimTemplates: [
        {
          metadata: { name: 'data' },
          spec: { accessModes: ['ReadWriteOnce'], resources: { requests: { storage: '1Gi' } } },
        },
      ],
    },
  };
}

async function podsOf(app: string, count: number): Promise<void> {
  const list = async () =>
    (await plane.must<{ items: unknown[] }>('GET', `${PODS}?labelSelector=app%3D${app}`)).items;
  await expect.poll(async () => (await list()).length, { timeout: 60_000 }).toBe(count);
}

const veleroServer = {
  metadata: { name: 'velero', labels: { component: 'velero' } },
  spec: {
    selector: { matchLabels: { deploy: 'velero' } },
    template: {
      metadata: { labels: { deploy: 'velero' } },
      spec: {
        containers: [{ name: 'velero', image: 'velero/velero:v1.16.1', args: ['server'] }],
      },
    },
  },
};

/** Creates Velero's server, with the status that a controller would report, and a place for backups. */
async function installVelero(): Promise<void> {
  const deployments = '/apis/apps/v1/namespaces/velero/deployments';
  await plane.must('POST', deployments, veleroServer);
  await plane.must('PATCH', `${deployments}/velero/status`, {
    status: { replicas: 1, readyReplicas: 1, availableReplicas: 1 },
  });
  const [plural, group] = ['backupstoragelocations', 'velero.io'];
  const names = { plural, singular: 'backupstoragelocation', kind: 'BackupStorageLocation' };
  const openAPIV3Schema = { type: 'object', 'x-kubernetes-preserve-unknown-fields': true };
  await plane.must('POST', '/apis/apiextensions.k8s.io/v1/customresourcedefinitions', {
    metadata: { name: `${plural}.${group}` },
    spec: {
      group,
      names,
      scope: 'Namespaced',
      versions: [{ name: 'v1', served: true, storage: true, schema: { openAPIV3Schema } }],
    },
  });
  const location = {
    apiVersion: `${group}/v1`,
    kind: names.kind,
    metadata: { name: 'default' },
    status: { phase: 'Available' },
  };
  const path = `/apis/${group}/v1/namespaces/velero/${plural}`;
  await expect.poll(async () => (await plane.call('POST', path, location)).status).toBe(201);
}

describe('on a real API server, the doctor', () => {
  it('reports an unprotected workload, a pod without its sidecar, and missing parts of the platform', async () => {
    await plane.must(
      'POST',
      STATEFUL_SETS,
      statefulSet('plain', { 'quiesce.dev/inject': 'false' }),
    );
    await plane.must('POST', STATEFUL_SETS, statefulSet('forgotten', { 'quiesce.dev/inject': '' }));
    await plane.must('POST', STATEFUL_SETS, statefulSet('labelled', {}));
    await podsOf('labelled', 2);
    const found = await diagnosis(granted);
    const about = (code: string) => found.findings.filter((finding) => finding.code === code);
    expect(about('LABEL_VALUE').map(({ name }) => name)).toEqual(['forgotten']);
    expect(about('SIDECAR_MISSING')).toMatchObject([{ object: 'shop StatefulSet/labelled' }]);
    expect(about('SIDECAR_MISSING')[0]?.pods.toSorted()).toEqual(['labelled-0', 'labelled-1']);
    expect(about('VELERO_MISSING')).toHaveLength(1);
    expect(about('WEBHOOK_MISSING')).toHaveLength(1);
    expect(found.findings.filter(({ name }) => name === 'plain')).toEqual([]);
    expect(found).toMatchObject({ scope: 'cluster', complete: true });
    // The chart's role grants no right to read Secrets: that is reported, but is not a failure.
    expect(about('NOT_LOOKED_AT')).toMatchObject([
      { severity: 'info', name: 'secrets', namespace: 'shop' },
    ]);
    expect((await doctor(granted)).code).toBe(7);
  });

  it('reads with the rights of the chart, and finds nothing once all is fixed', async () => {
    await plane.must('DELETE', STATEFUL_SETS);
    await plane.must('DELETE', PODS);
    await installVelero();
    await podsOf('labelled', 0);
    await plane.must('POST', '/apis/rbac.authorization.k8s.io/v1/clusterroles', {
      metadata: { name: 'secrets' },
      rules: [{ apiGroups: [''], resources: ['secrets'], verbs: ['get'] }],
    });
    await bind('clusterrolebindings', 'webhook', 'secrets');
    await plane.must('POST', '/api/v1/namespaces/shop/secrets', {
      metadata: { name: 'db' },
      stringData: { password: 'correct-horse' },
    });
    const injected = inject(postgresPod({}), CONFIG);
    if (injected.outcome !== 'injected') throw new Error('not injected');
    await plane.must('POST', PODS, injected.pod);
    const found = await diagnosis(granted);
    // The cluster has no Schedule.
    expect(found.findings.map(({ code, severity }) => `${severity} ${code}`)).toEqual([
      'info NO_SCHEDULE',
    ]);
    expect(found.complete).toBe(true);
    expect((await doctor(granted)).code).toBe(0);
    expect(found.summary.workloads).toMatchObject({ protected: 1, half: 0, unprotected: 0 });
    expect(JSON.stringify(found)).not.toContain('correct-horse');
    const { stdout, code } = await doctor(granted, '-n', 'shop', '--fail-on', 'error');
    expect([code, stdout]).toEqual([expect.any(Number), expect.stringContaining('1 protected')]);
    await plane.must('DELETE', '/api/v1/namespaces/shop/secrets/db');
    const missing = await diagnosis(granted);
    expect(missing.findings.map(({ code: one }) => one)).toContain('SECRET_MISSING');
  });

  it('never treats a kind that it may not read as absent', async () => {
    const { code, stdout } = await doctor(nobody);
    expect(code).toBe(2);
    expect(stdout).toMatch(/NOT_LOOKED_AT\s+Resource\/pods/);
    expect(stdout).toMatch(/pods is forbidden: User "nobody" cannot list/);
    expect(stdout).toMatch(/Not everything could be examined/);
    const found = await diagnosis(nobody);
    expect(found.complete).toBe(false);
    // The API server answers 403 for kinds that are not installed, too.
    expect(found.notLookedAt.map(({ resource }) => resource)).toEqual(
      expect.arrayContaining(
        RESOURCES.filter(({ version }) => version !== 'preferred').map(resourceName),
      ),
    );
    expect(found.findings.map(({ code: one }) => one)).not.toContain('VELERO_MISSING');
    expect((await doctor(nobody, '--fail-on', 'error')).code).toBe(2);
  });

  it('examines the given namespaces, with rights in them alone', async () => {
    await plane.must('POST', `${RBAC}/namespaces/shop/rolebindings`, {
      metadata: { name: 'doctor' },
      roleRef: {
        apiGroup: 'rbac.authorization.k8s.io',
        kind: 'ClusterRole',
        name: role.metadata.name,
      },
      subjects: [{ apiGroup: 'rbac.authorization.k8s.io', kind: 'User', name: 'nobody' }],
    });
    await plane.must('POST', STATEFUL_SETS, statefulSet('mine', { 'quiesce.dev/inject': 'no' }));
    const found = await diagnosis(nobody, '-n', 'shop');
    expect(found.findings.map(({ code }) => code)).toContain('LABEL_VALUE');
    expect(found.notLookedAt.map(({ resource }) => resource)).toContain(
      'mutatingwebhookconfigurations.admissionregistration.k8s.io',
    );
    expect(found.notLookedAt.filter(({ resource }) => resource === 'pods')).toEqual([]);
    const typo = await doctor(granted, '-n', 'shpo');
    expect(typo).toMatchObject({ code: 2, stdout: '' });
    expect(typo.stderr).toMatch(/USAGE: There is no namespace shpo\./);
  });

  it('reports a server that refuses, and one that does not answer', async () => {
    const refused = join(dir, 'refused.conf');
    const absent = join(dir, 'absent.conf');
    const of = (server: string): string =>
      stringify({
        apiVersion: 'v1',
        kind: 'Config',
        'current-context': 'c',
        clusters: [{ name: 'c', cluster: { server, 'insecure-skip-tls-verify': true } }],
        users: [{ name: 'u', user: { token: 'wrong' } }],
        contexts: [{ name: 'c', context: { cluster: 'c', user: 'u' } }],
      });
    await writeFile(refused, of(plane.url));
    await writeFile(absent, of('https://127.0.0.1:1'));
    const wrong = await doctor(refused);
    expect(wrong).toMatchObject({ code: 2, stdout: '' });
    expect(wrong.stderr).toMatch(/CLUSTER_UNREACHABLE: .* refuses the credentials \(401\)/);
    const gone = await doctor(absent);
    expect(gone).toMatchObject({ code: 2, stdout: '' });
    expect(gone.stderr).toMatch(/CLUSTER_UNREACHABLE: .* does not answer: ECONNREFUSED/);
    const context = await doctor(granted, '--context', 'elsewhere');
    expect(context.stderr).toMatch(/there is no context elsewhere \(c\)/);
  });

  it('reports sidecars that gave no answer', async () => {
    // There is no kubelet, so no command can run in a pod.
    const injected = inject(postgresPod({}), CONFIG);
    if (injected.outcome !== 'injected') throw new Error('not injected');
    const metadata = { ...injected.pod.metadata, name: 'asked' };
    await plane.must('POST', PODS, { ...injected.pod, metadata });
    const of = (found: Diagnosis) =>
      found.findings.filter(({ name }) => name === 'asked').map(({ code }) => code);
    expect(of(await diagnosis(granted))).not.toContain('PROBE_FAILED');
    const { findings } = await diagnosis(granted, '--probe');
    expect(findings).toContainEqual(
      expect.objectContaining({
        code: 'PROBE_FAILED',
        severity: 'warning',
        message: expect.stringMatching(
          /^The sidecar gave no answer: .*cannot .* "pods\/exec"/,
        ) as string,
      }),
    );
  });

  it('reports a restored pod whose sidecar was not asked, until it is', async () => {
    const injected = inject(
      postgresPod({ labels: { 'velero.io/restore-name': 'nightly-1' } }),
      CONFIG,
    );
    if (injected.outcome !== 'injected') throw new Error('not injected');
    const metadata = { ...injected.pod.metadata, name: 'restored' };
    await plane.must('POST', PODS, { ...injected.pod, metadata });
    const of = ({ findings }: Diagnosis) =>
      findings.filter(({ name }) => name === 'restored').map(({ code }) => code);
    expect(of(await diagnosis(granted))).toContain('RESTORE_NOT_ASKED');
    expect((await doctor(granted)).code).toBe(7);
    const asked = of(await diagnosis(granted, '--probe'));
    expect(asked).toContain('PROBE_FAILED');
    expect(asked).not.toContain('RESTORE_NOT_ASKED');
  });

  it('reads all pages of a long list', async () => {
    const claim = (name: string, labels: Record<string, string> = {}) =>
      plane.must('POST', '/api/v1/namespaces/shop/persistentvolumeclaims', {
        metadata: { name, labels },
        spec: { accessModes: ['ReadWriteOnce'], resources: { requests: { storage: '1Gi' } } },
      });
    for (let begin = 0; begin < 520; begin += 40) {
      const names = Array.from({ length: 40 }, (_, at) => `a-${begin + at}`);
      await Promise.all(names.map((name) => claim(name)));
    }
    await claim('zz', { 'velero.io/exclude-from-backup': 'true' });
    const volumes = [{ name: 'data', persistentVolumeClaim: { claimName: 'zz' } }];
    const injected = inject(postgresPod({ spec: { volumes } }), CONFIG);
    if (injected.outcome !== 'injected') throw new Error('not injected');
    const metadata = { ...injected.pod.metadata, name: 'last' };
    await plane.must('POST', PODS, { ...injected.pod, metadata });
    const { findings } = await diagnosis(granted);
    expect(findings).toContainEqual(
      expect.objectContaining({
        code: 'VOLUME_EXCLUDED',
        object: 'shop Pod/last',
      }),
    );
  });
});
