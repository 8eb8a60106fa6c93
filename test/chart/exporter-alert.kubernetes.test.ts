import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { type RunningExporter, startExporter } from '../support/exporter.ts';
import { BUILD_TIMEOUT_MS, realHelm } from '../support/helm.ts';
import { type ControlPlane, startControlPlane } from '../support/kubernetes.ts';
import { Prometheus } from '../support/prometheus.ts';
import { defineSnapshots } from '../support/snapshot-crds.ts';
import { APPLICATIONS, EVERYTHING } from './values.ts';

vi.setConfig({ testTimeout: 240_000 });

const API = '/apis/snapshot.storage.k8s.io/v1';

let dir: string;
let control: ControlPlane;
let exporter: RunningExporter;
let prometheus: Prometheus;

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'q-exporter-alert-'));
  control = await startControlPlane();
  const kubeconfig = await control.kubeconfig('nobody');
  await control.must('POST', '/apis/rbac.authorization.k8s.io/v1/clusterrolebindings', {
    metadata: { name: 'reads' },
    roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: 'cluster-admin' },
    subjects: [{ apiGroup: 'rbac.authorization.k8s.io', kind: 'User', name: 'nobody' }],
  });
  await defineSnapshots(control);
  await control.namespace('shop');
  exporter = await startExporter(kubeconfig);
  const ready = async (): Promise<boolean> => (await exporter.get('/readyz')).status === 200;
  await vi.waitUntil(ready, { timeout: 60_000 });
  const helm = await realHelm();
  const manifests = await helm.template(...EVERYTHING, ...APPLICATIONS);
  prometheus = await Prometheus.start(dir, manifests, exporter.address);
  await vi.waitUntil(() => prometheus.isReady(), { timeout: 60_000, interval: 200 });
}, BUILD_TIMEOUT_MS);

afterAll(async () => {
  await exporter?.stop();
  await prometheus?.stop();
  await control?.stop();
  await rm(dir, { recursive: true, force: true });
});

test('a snapshot of Velero that its driver refuses fires QuiesceSnapshotFailed', async () => {
  expect(await prometheus.firing('QuiesceSnapshotFailed')).toEqual([]);
  const path = `${API}/namespaces/shop/volumesnapshots`;
  await control.must('POST', `${API}/volumesnapshotclasses`, {
    apiVersion: 'snapshot.storage.k8s.io/v1',
    kind: 'VolumeSnapshotClass',
    metadata: { name: 'ebs' },
    driver: 'ebs.csi.aws.com',
    deletionPolicy: 'Retain',
  });
  await control.must('POST', path, {
    apiVersion: 'snapshot.storage.k8s.io/v1',
    kind: 'VolumeSnapshot',
    metadata: { name: 'velero-data', labels: { 'velero.io/backup-name': 'nightly' } },
    spec: { volumeSnapshotClassName: 'ebs', source: { persistentVolumeClaimName: 'data' } },
  });
  await control.must('PATCH', `${path}/velero-data/status`, {
    status: {
      readyToUse: false,
      error: { message: 'rpc error: code = InvalidArgument desc = Invalid parameter key fsFreeze' },
    },
  });
  await expect
    .poll(() => prometheus.firing('QuiesceSnapshotFailed'), { timeout: 60_000 })
    .toMatchObject([
      { labels: { namespace: 'shop', group: 'shop', severity: 'critical', team: 'storage' } },
    ]);
});

test('a record of a failed run fires QuiesceRunNotProven, and a proven one ends it', async () => {
  const record = async (name: string, verdict: string): Promise<void> => {
    const now = new Date().toISOString();
    const times = { startedAt: now, endedAt: now, freezeSpreadMs: 5 };
    const run = { kind: 'SnapshotRun', id: name, group: 'orders', verdict, ...times };
    await control.must('POST', '/api/v1/namespaces/shop/configmaps', {
      metadata: { name, labels: { 'quiesce.dev/report': 'snapshot' } },
      data: { 'report.json': JSON.stringify(run) },
    });
  };
  await record('run-1', 'unproven');
  await expect
    .poll(() => prometheus.firing('QuiesceRunNotProven'), { timeout: 60_000 })
    .toMatchObject([
      {
        labels: { namespace: 'shop', group: 'orders', verdict: 'unproven' },
        annotations: { summary: 'The last snapshot of orders in shop is unproven' },
      },
    ]);
  await new Promise((resolve) => setTimeout(resolve, 1_100));
  await record('run-2', 'proven');
  await expect
    .poll(() => prometheus.firing('QuiesceRunNotProven'), { timeout: 60_000 })
    .toEqual([]);
});
