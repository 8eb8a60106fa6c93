import { readFile, writeFile } from 'node:fs/promises';
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest';
import type { SnapshotRun } from '../../../src/cluster/snapshot/document.ts';
import { type RunningExporter, startExporter } from '../../support/exporter.ts';
import { BUILD_TIMEOUT_MS } from '../../support/helm.ts';
import { type ControlPlane, startControlPlane } from '../../support/kubernetes.ts';
import { Relay } from '../../support/relay.ts';
import { defineSnapshots } from '../../support/snapshot-crds.ts';

vi.setConfig({ testTimeout: 180_000 });

const API = '/apis/snapshot.storage.k8s.io/v1';
let control: ControlPlane;
let kubeconfig: string;
let exporter: RunningExporter | undefined;

const RULES = [
  { apiGroups: [''], resources: ['configmaps'], verbs: ['list', 'watch'] },
  { apiGroups: [''], resources: ['namespaces'], verbs: ['get', 'list'] },
  {
    apiGroups: ['snapshot.storage.k8s.io'],
    resources: ['volumesnapshots'],
    verbs: ['list', 'watch'],
  },
  { apiGroups: ['snapshot.storage.k8s.io'], resources: ['volumesnapshotclasses'], verbs: ['list'] },
  { apiGroups: ['snapshot.storage.k8s.io'], resources: ['volumesnapshotcontents'], verbs: ['get'] },
];
const ROLE = '/apis/rbac.authorization.k8s.io/v1/clusterroles/exporter';

beforeAll(async () => {
  control = await startControlPlane();
  kubeconfig = await control.kubeconfig('nobody');
  const rbac = '/apis/rbac.authorization.k8s.io/v1';
  await control.must('POST', `${rbac}/clusterroles`, {
    metadata: { name: 'exporter' },
    rules: RULES,
  });
  await control.must('POST', `${rbac}/clusterrolebindings`, {
    metadata: { name: 'exporter' },
    roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: 'exporter' },
    subjects: [{ apiGroup: 'rbac.authorization.k8s.io', kind: 'User', name: 'nobody' }],
  });
  await defineSnapshots(control);
  await control.must('POST', `${API}/volumesnapshotclasses`, {
    apiVersion: 'snapshot.storage.k8s.io/v1',
    kind: 'VolumeSnapshotClass',
    metadata: { name: 'fast' },
    driver: 'csi.example',
    deletionPolicy: 'Delete',
  });
  for (const name of ['shop', 'velero-made', 'leaving']) await control.namespace(name);
}, BUILD_TIMEOUT_MS);

afterEach(async () => {
  await exporter?.stop();
  exporter = undefined;
});

afterAll(async () => {
  await control?.stop();
});

const at = (namespace: string, name = ''): string =>
  `${API}/namespaces/${namespace}/volumesnapshots${name && `/${name}`}`;

async function create(namespace: string, name: string, labels = {}): Promise<void> {
  await control.must('POST', at(namespace), {
    apiVersion: 'snapshot.storage.k8s.io/v1',
    kind: 'VolumeSnapshot',
    metadata: { name, labels },
    spec: { volumeSnapshotClassName: 'fast', source: { persistentVolumeClaimName: 'data' } },
  });
}

const status = (namespace: string, name: string, own: object): Promise<unknown> =>
  control.must('PATCH', `${at(namespace, name)}/status`, { status: own });

const ready = (namespace: string, name: string): Promise<unknown> =>
  status(namespace, name, { readyToUse: true, creationTime: new Date().toISOString() });

async function started(flags: readonly string[] = []): Promise<RunningExporter> {
  const one = await startExporter(kubeconfig, flags);
  exporter = one;
  await expect.poll(() => one.get('/readyz'), { timeout: 60_000 }).toMatchObject({ status: 200 });
  return one;
}

const series = (name: string, namespace: string, group = namespace): string =>
  `volume_snapshot_${name}{namespace="${namespace}",group="${group}",driver="csi.example"}`;

const settled = (one: RunningExporter, name: string) =>
  expect.poll(() => one.value(name), { timeout: 60_000, interval: 200 });

const report = (own: Partial<SnapshotRun>): SnapshotRun => ({
  apiVersion: 'quiesce.dev/v1',
  kind: 'SnapshotRun',
  id: 'orders-1',
  group: 'orders',
  verdict: 'proven',
  members: [],
  problems: [],
  startedAt: new Date(Date.now() - 1_000).toISOString(),
  endedAt: new Date(Date.now() - 500).toISOString(),
  freezeSpreadMs: 120,
  ...own,
});

const record = (name: string, own: Partial<SnapshotRun>): Promise<unknown> =>
  control.must('POST', '/api/v1/namespaces/shop/configmaps', {
    metadata: { name, labels: { 'quiesce.dev/report': 'snapshot', 'quiesce.dev/group': 'orders' } },
    data: { 'report.json': JSON.stringify(report(own)) },
  });

describe('volume snapshots', () => {
  test('that live for a moment, as those of Velero, are each counted once', async () => {
    const one = await started();
    for (let round = 0; round < 5; round += 1) {
      await create('velero-made', `v-${round}`);
      await ready('velero-made', `v-${round}`);
      await control.must('DELETE', at('velero-made', `v-${round}`));
    }
    await settled(one, series('attempts_total', 'velero-made')).toBe(5);
    await settled(one, series('ready_seconds_count', 'velero-made')).toBe(5);
    expect(await one.value(series('failed_total', 'velero-made'))).toBe(0);
  });

  test('that fail or are deleted unready are failures of their group', async () => {
    const one = await started(['--failed-after', '2s']);
    const labels = { 'quiesce.dev/group': 'orders' };
    await create('shop', 'refused', labels);
    await status('shop', 'refused', {
      readyToUse: false,
      error: { message: 'rpc error: code = InvalidArgument desc = invalid parameter fsFreeze' },
    });
    await create('shop', 'deleted', labels);
    await control.must('DELETE', at('shop', 'deleted'));
    await create('shop', 'stuck', labels);
    await settled(one, series('failed_total', 'shop', 'orders')).toBe(3);
    expect(await one.value(series('attempts_total', 'shop', 'orders'))).toBe(3);
  });

  test('of before a start are neither attempts nor failures', async () => {
    await create('shop', 'old');
    await ready('shop', 'old');
    const one = await started();
    await create('shop', 'new');
    await settled(one, series('attempts_total', 'shop')).toBe(1);
    expect((await one.value(series('failed_total', 'shop', 'orders'))) ?? 0).toBe(0);
  });

  test('of a deleted namespace have no series any more', async () => {
    const one = await started(['-n', 'leaving', '-n', 'shop']);
    await create('leaving', 'a');
    await create('shop', 'stays');
    await settled(one, series('attempts_total', 'leaving')).toBe(1);
    await control.must('DELETE', '/api/v1/namespaces/leaving');
    await expect
      .poll(async () => (await one.get('/metrics')).text, { timeout: 120_000, interval: 500 })
      .not.toContain('leaving');
    expect(await one.value(series('attempts_total', 'shop'))).toBe(1);
  });
});

test('an API server that is away makes it unready, and what happened meanwhile is counted', async () => {
  const relay = await Relay.to(() => Number(new URL(control.url).port));
  try {
    const config = (await readFile(kubeconfig, 'utf8')).replace(
      control.url,
      `https://127.0.0.1:${relay.port}`,
    );
    const file = `${kubeconfig}.relay`;
    await writeFile(file, config, { mode: 0o600 });
    const one = await startExporter(file);
    exporter = one;
    await expect.poll(() => one.get('/readyz'), { timeout: 60_000 }).toMatchObject({ status: 200 });
    await relay.close();
    await expect.poll(() => one.get('/readyz'), { timeout: 60_000 }).toMatchObject({ status: 503 });
    expect((await one.get('/metrics')).status).toBe(200);
    // As Velero's: made and gone before anybody could list them.
    for (const name of ['away-1', 'away-2']) {
      await create('shop', name, { 'quiesce.dev/group': 'away' });
      await ready('shop', name);
      await control.must('DELETE', at('shop', name));
    }
    await relay.open();
    await expect.poll(() => one.get('/readyz'), { timeout: 90_000 }).toMatchObject({ status: 200 });
    await settled(one, series('attempts_total', 'shop', 'away')).toBe(2);
    expect(await one.value(series('failed_total', 'shop', 'away'))).toBe(0);
  } finally {
    await relay.close();
  }
});

describe('runs', () => {
  test('give their group its verdict, its last success and its spread', async () => {
    const one = await started();
    const own = 'namespace="shop",group="orders"';
    const verdict = (of: string): string => `stateful_backup_group_verdict{${own},verdict="${of}"}`;
    const ended = new Date(Date.now() - 60_000);
    await record('run-1', { endedAt: ended.toISOString() });
    await settled(one, verdict('proven')).toBe(1);
    const success = `stateful_backup_group_last_success_timestamp_seconds{${own}}`;
    expect(await one.value(success)).toBeCloseTo(ended.getTime() / 1_000, 3);
    expect(await one.value(`stateful_backup_group_freeze_spread_seconds{${own}}`)).toBe(0.12);
    // The API server's times have whole seconds.
    await new Promise((resolve) => setTimeout(resolve, 1_100));
    await record('run-2', { verdict: 'failed' });
    await settled(one, verdict('failed')).toBe(1);
    expect(await one.value(verdict('proven'))).toBe(0);
    expect(await one.value(success)).toBeCloseTo(ended.getTime() / 1_000, 3);
    for (const name of ['run-1', 'run-2']) {
      await control.must('DELETE', `/api/v1/namespaces/shop/configmaps/${name}`);
    }
    await settled(one, verdict('failed')).toBeUndefined();
  });
});

describe('the exporter', () => {
  test('is not ready without a right, says which in its log, and recovers by itself', async () => {
    const without = RULES.filter(({ resources }) => !resources.includes('configmaps'));
    await control.must('PATCH', ROLE, { rules: without });
    const one = await startExporter(kubeconfig);
    exporter = one;
    await expect.poll(() => one.log(), { timeout: 60_000 }).toContain('cannot list resource');
    expect(one.log()).toMatch(/configmaps/);
    expect(await one.get('/readyz')).toMatchObject({ status: 503 });
    expect((await one.get('/readyz')).text).not.toContain('nobody');
    expect((await one.get('/healthz')).status).toBe(200);
    const errors = await one.value('quiesce_exporter_read_errors_total{resource="configmaps"}');
    expect(errors).toBeGreaterThan(0);
    await control.must('PATCH', ROLE, { rules: RULES });
    await expect.poll(() => one.get('/readyz'), { timeout: 90_000 }).toMatchObject({ status: 200 });
    const read = await one.value(
      'quiesce_exporter_last_read_timestamp_seconds{resource="configmaps"}',
    );
    expect(Math.abs((read ?? 0) - Date.now() / 1_000)).toBeLessThan(60);
    expect(one.log()).toContain('reading works again');
  });

  test('ends cleanly on SIGTERM, and refuses a port in use and flags that contradict', async () => {
    const one = await started();
    expect(await one.stop()).toBe(0);
    const both = await startExporter(kubeconfig, ['-A', '-n', 'shop']);
    await expect.poll(() => both.process.exitCode, { timeout: 30_000 }).toBe(2);
    expect(both.log()).toContain('exclude each other');
  });

  test('stays small with 5,000 snapshots that carry receipts', async () => {
    const receipt = JSON.stringify({ id: 'r', text: 'x'.repeat(3_000) });
    const names = Array.from({ length: 5_000 }, (_, at) => `many-${at}`);
    while (names.length > 0) {
      await Promise.all(
        names.splice(0, 50).map((name) =>
          control.must('POST', at('shop'), {
            apiVersion: 'snapshot.storage.k8s.io/v1',
            kind: 'VolumeSnapshot',
            metadata: { name, annotations: { 'quiesce.dev/receipt': receipt } },
            spec: { volumeSnapshotClassName: 'fast', source: { persistentVolumeClaimName: 'c' } },
          }),
        ),
      );
    }
    const one = await started();
    const memory = await readFile(`/proc/${one.process.pid}/status`, 'utf8');
    const peak = Number(/^VmHWM:\s+(\d+) kB/m.exec(memory)?.[1]) / 1_024;
    console.log(`5,000 snapshots: ${Math.round(peak)} MiB at the peak`);
    expect(peak).toBeLessThan(192);
    await create('shop', 'one-more');
    await settled(one, series('attempts_total', 'shop')).toBe(1);
  }, 600_000);
});
