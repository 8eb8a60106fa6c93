import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { BUILD_TIMEOUT_MS, type Manifest, realHelm } from '../support/helm.ts';
import { type ControlPlane, startControlPlane } from '../support/kubernetes.ts';
import { defineSnapshots } from '../support/snapshot-crds.ts';
import { ClusterClient } from './cluster.ts';
import { rightsToDrill } from '../../src/cluster/drill/rights.ts';
import { APPLICATIONS } from './values.ts';

vi.setConfig({ testTimeout: 120_000 });

const RELEASE = 'quiesce-system';
const user = (name: string): string => `system:serviceaccount:${RELEASE}:quiesce-drill-${name}`;
const SCRATCH = 'drill-shop-20261130030000-cd34';
const MADE = { 'quiesce.dev/drill': 'shop-20261130030000-cd34' };

let control: ControlPlane;
let cluster: ClusterClient;

beforeAll(async () => {
  control = await startControlPlane();
  const kubeconfig = await control.kubeconfig('nobody');
  await control.must('POST', '/apis/rbac.authorization.k8s.io/v1/clusterrolebindings', {
    metadata: { name: 'admin' },
    roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: 'cluster-admin' },
    subjects: [{ apiGroup: 'rbac.authorization.k8s.io', kind: 'User', name: 'nobody' }],
  });
  cluster = new ClusterClient(kubeconfig);
  await defineSnapshots(control);
  for (const name of [RELEASE, 'shop', 'queue', 'other', 'velero']) await control.namespace(name);
  await control.namespace(SCRATCH, MADE);
  const helm = await realHelm();
  const rendered = await helm.template(...APPLICATIONS);
  for (const one of rendered.filter(isOfDrills)) await cluster.apply(one);
  // A policy is in force some time after it was made.
  await vi.waitUntil(async () => (await tries('nightly', pod('other'))) === 'confined', {
    timeout: 60_000,
    interval: 500,
  });
}, BUILD_TIMEOUT_MS);

afterAll(async () => {
  await control?.stop();
});

function isOfDrills({ kind, metadata }: Manifest): boolean {
  const component = metadata.labels?.['app.kubernetes.io/component'];
  return component === 'drill' && !/^(?:CronJob|NetworkPolicy)$/.test(kind);
}

interface Request {
  readonly method: string;
  readonly path: string;
  readonly body?: object;
}

/** What becomes of a request of the account of a drill. Nothing is kept of it. */
async function tries(drill: string, request: Request): Promise<string> {
  const { method, path, body } = request;
  const { status, text } = await cluster.as(user(drill), method, `${path}?dryRun=All`, body);
  if (status < 300) return 'done';
  if (text.includes('A drill may write in its scratch namespaces only')) return 'confined';
  return status === 403 ? 'no right' : `${status} ${text}`;
}

const create = (path: string, apiVersion: string, kind: string, body: object): Request => ({
  method: 'POST',
  path,
  body: { apiVersion, kind, ...body },
});

const pod = (namespace: string): Request =>
  create(`/api/v1/namespaces/${namespace}/pods`, 'v1', 'Pod', {
    metadata: { name: 'copy' },
    spec: { containers: [{ name: 'db', image: 'postgres' }] },
  });

const namespace = (name: string, labels: object): Request =>
  create('/api/v1/namespaces', 'v1', 'Namespace', { metadata: { name, labels } });

const claim = (place: string): Request =>
  create(`/api/v1/namespaces/${place}/persistentvolumeclaims`, 'v1', 'PersistentVolumeClaim', {
    metadata: { name: 'data' },
    spec: { accessModes: ['ReadWriteOnce'], resources: { requests: { storage: '1Gi' } } },
  });

const content = (labels: object): Request =>
  create(
    '/apis/snapshot.storage.k8s.io/v1/volumesnapshotcontents',
    'snapshot.storage.k8s.io/v1',
    'VolumeSnapshotContent',
    {
      metadata: { name: 'copy', labels },
      spec: {
        deletionPolicy: 'Retain',
        driver: 'csi.example',
        source: { snapshotHandle: 'h' },
        volumeSnapshotRef: { name: 'data', namespace: SCRATCH },
      },
    },
  );

const record = (place: string, labels: object): Request =>
  create(`/api/v1/namespaces/${place}/configmaps`, 'v1', 'ConfigMap', {
    metadata: { name: 'record', labels },
  });

const secret = (place: string): Request =>
  create(`/api/v1/namespaces/${place}/secrets`, 'v1', 'Secret', { metadata: { name: 'login' } });

const lease = (place: string): Request =>
  create(
    `/apis/coordination.k8s.io/v1/namespaces/${place}/leases`,
    'coordination.k8s.io/v1',
    'Lease',
    { metadata: { name: 'run' } },
  );

const remove = (path: string): Request => ({ method: 'DELETE', path });

describe('the account of a drill', () => {
  test('makes and removes a scratch namespace, and works in it', async () => {
    const all = [
      namespace('drill-shop-2', MADE),
      pod(SCRATCH),
      claim(SCRATCH),
      secret(SCRATCH),
      record(SCRATCH, {}),
      content(MADE),
      remove(`/api/v1/namespaces/${SCRATCH}`),
    ];
    for (const request of all) expect(await tries('nightly', request), request.path).toBe('done');
  });

  test('writes its record and its Lease in the application, and nothing else there', async () => {
    expect(await tries('nightly', record('shop', { 'quiesce.dev/report': 'drill' }))).toBe('done');
    expect(await tries('nightly', lease('shop'))).toBe('done');
    for (const request of [
      record('shop', {}),
      record('shop', { 'quiesce.dev/report': 'snapshot' }),
      pod('shop'),
      claim('shop'),
      secret('shop'),
    ]) {
      expect(await tries('nightly', request), request.path).toBe('confined');
    }
  });

  test('neither changes nor deletes a ConfigMap of the application', async () => {
    const maps = '/api/v1/namespaces/shop/configmaps';
    await control.must('POST', maps, { metadata: { name: 'settings' }, data: { a: 'b' } });
    const body = { metadata: { labels: { 'quiesce.dev/report': 'drill' } }, data: { a: 'evil' } };
    const patch = { method: 'PATCH', path: `${maps}/settings`, body };
    expect(await tries('nightly', patch)).toBe('confined');
    expect(await tries('nightly', remove(`${maps}/settings`))).toBe('confined');
  });

  test.each(['other', 'kube-system', RELEASE, 'velero', 'queue'])(
    'writes nothing in %s',
    async (place) => {
      for (const request of [
        pod(place),
        claim(place),
        secret(place),
        record(place, { 'quiesce.dev/report': 'drill' }),
        lease(place),
      ]) {
        expect(await tries('nightly', request), request.path).toMatch(/^(?:confined|no right)$/);
      }
    },
  );

  test('makes no namespace and no content without its label, and removes none of others', async () => {
    expect(await tries('nightly', namespace('mine', {}))).toBe('confined');
    expect(await tries('nightly', remove('/api/v1/namespaces/other'))).toBe('confined');
    expect(await tries('nightly', content({}))).toBe('confined');
    const contents = '/apis/snapshot.storage.k8s.io/v1/volumesnapshotcontents';
    const { body } = content({});
    await control.must('POST', contents, body);
    const path = `${contents}/copy`;
    expect(await tries('nightly', remove(path))).toBe('confined');
    const label = { method: 'PATCH', path, body: { metadata: { labels: MADE } } };
    expect(await tries('nightly', label)).toBe('confined');
  });

  test('changes the volumes of its claims, and no other volume', async () => {
    const volume = (name: string, place: string): object => ({
      apiVersion: 'v1',
      kind: 'PersistentVolume',
      metadata: { name },
      spec: {
        capacity: { storage: '1Gi' },
        accessModes: ['ReadWriteOnce'],
        persistentVolumeReclaimPolicy: 'Retain',
        csi: { driver: 'csi.example', volumeHandle: name },
        claimRef: { namespace: place, name: 'data' },
      },
    });
    const body = { spec: { persistentVolumeReclaimPolicy: 'Delete' } };
    for (const [name, place, outcome] of [
      ['own', SCRATCH, 'done'],
      ['theirs', 'shop', 'confined'],
    ] as const) {
      await control.must('POST', '/api/v1/persistentvolumes', volume(name, place));
      const path = `/api/v1/persistentvolumes/${name}`;
      expect(await tries('nightly', { method: 'PATCH', path, body }), name).toBe(outcome);
    }
  });

  test('reaches into the pods of its drills only', async () => {
    for (const place of [SCRATCH, 'shop', 'other']) {
      await control.must('POST', pod(place).path, pod(place).body);
      const path = `${pod(place).path}/copy/exec`;
      const { status, text } = await cluster.as(
        user('nightly'),
        'POST',
        `${path}?command=true&stdout=true`,
      );
      const confined = text.includes('A drill may write in its scratch namespaces only');
      // In the scratch namespace it fails for want of a node.
      expect([place, confined]).toEqual([place, place !== SCRATCH]);
      if (place === SCRATCH) expect(status).not.toBe(403);
    }
  });

  test('with Velero makes what it needs there, each account in its own drills', async () => {
    const map = record('velero', MADE);
    expect(await tries('whole', map)).toBe('done');
    expect(await tries('whole', record('velero', {}))).toBe('confined');
    expect(await tries('nightly', map)).toBe('confined');
    expect(await tries('whole', record('queue', { 'quiesce.dev/report': 'drill' }))).toBe('done');
  });

  test('reads the Secrets of its application, and of nobody else', async () => {
    const may = (place: string | undefined, verb: string): Promise<boolean> =>
      cluster.mayDo(user('nightly'), {
        resource: 'secrets',
        verb,
        ...(place !== undefined && { namespace: place }),
      });
    expect(await may('shop', 'get')).toBe(true);
    for (const place of ['other', 'queue', RELEASE, undefined])
      expect([place, await may(place, 'get')]).toEqual([place, false]);
    for (const place of ['shop', undefined]) expect(await may(place, 'list')).toBe(false);
  });

  test.each([
    ['nightly', 'data'],
    ['whole', 'application'],
  ] as const)('%s has every right that a drill of %s asks for', async (name, mode) => {
    const denied: string[] = [];
    for (const right of rightsToDrill('shop', ['shop'], mode)) {
      const allowed = await cluster.mayDo(user(name), { ...right });
      if (!allowed) denied.push(`${right.verb} ${right.resource} ${right.namespace ?? ''}`);
    }
    expect(denied).toEqual([]);
  });

  test('marks its scratch namespaces, and no others', async () => {
    const patch = (place: string, labels: object): Request => {
      return {
        method: 'PATCH',
        path: `/api/v1/namespaces/${place}`,
        body: { metadata: { labels } },
      };
    };
    expect(await tries('whole', patch(SCRATCH, { 'quiesce.dev/restore': 'x' }))).toBe('done');
    expect(await tries('whole', patch('shop', MADE))).toBe('confined');
    expect(await tries('nightly', patch(SCRATCH, {}))).toBe('no right');
  });

  test('asks for the time by a namespace that it may make', async () => {
    const ask = create('/api/v1/namespaces', 'v1', 'Namespace', {
      metadata: { generateName: 'quiesce-time-', labels: { 'quiesce.dev/drill': 'time' } },
    });
    expect(await tries('nightly', ask)).toBe('done');
  });

  test('cannot raise its rights', async () => {
    const asked = [
      ['rbac.authorization.k8s.io', 'rolebindings', 'create'],
      ['rbac.authorization.k8s.io', 'roles', 'create'],
      ['rbac.authorization.k8s.io', 'clusterrolebindings', 'create'],
      ['admissionregistration.k8s.io', 'validatingadmissionpolicies', 'delete'],
      ['admissionregistration.k8s.io', 'validatingadmissionpolicybindings', 'delete'],
      ['', 'namespaces', 'update'],
      ['', 'users', 'impersonate'],
      ['batch', 'jobs', 'create'],
      ['batch', 'cronjobs', 'create'],
    ];
    for (const name of ['nightly', 'whole']) {
      for (const [group = '', resource = '', verb = ''] of asked) {
        const allowed = await cluster.mayDo(user(name), { group, resource, verb });
        expect([resource, verb, allowed]).toEqual([resource, verb, false]);
      }
    }
  });
});

test('everybody else works as before', async () => {
  const { status } = await cluster.as('nobody', 'POST', `${pod('other').path}?dryRun=All`, {
    ...pod('other').body,
    metadata: { name: 'theirs' },
  });
  expect(status).toBe(201);
});
