import { describe, expect, it } from 'vitest';
import { ObjectApi } from '../../../src/cluster/api/objects.ts';
import { BackupSource } from '../../../src/cluster/restore/from-backup/source.ts';
import { modifierOf, restoreOf, stateOf } from '../../../src/cluster/restore/from-backup/velero.ts';
import { mappingOf, readTo } from '../../../src/cluster/restore/mapping.ts';
import { SimulatedCluster } from '../snapshot/simulated-cluster.ts';
import { planFor, shop } from './shop.ts';

const TARGET = { id: 'shop-20260101000000-abcd', namespaces: new Map([['shop', 'copy']]) };
const SIGNAL = new AbortController().signal;

async function sourceOf(
  cluster: SimulatedCluster,
  change: Parameters<typeof shop>[0] = {},
  spec: object = {},
) {
  const objects = shop(change);
  return await BackupSource.of({
    api: new ObjectApi(cluster),
    velero: 'velero',
    backup: { metadata: { name: 'b1' }, spec },
    objects,
    plan: planFor(objects),
  });
}

describe('the phase of a Restore', () => {
  const at = (status: object) => stateOf({ metadata: { name: 'r', namespace: 'velero' }, status });

  it('is under way until Velero says that it is done', () => {
    for (const phase of [
      undefined,
      'New',
      'InProgress',
      'WaitingForPluginOperations',
      'WaitingForPluginOperationsPartiallyFailed',
      'Finalizing',
      'FinalizingPartiallyFailed',
    ]) {
      expect(at({ phase })).toMatchObject({ done: false, problems: [] });
    }
    expect(at({ phase: 'Completed' })).toEqual({ phase: 'Completed', done: true, problems: [] });
  });

  it('is a problem if something failed, and a failure if all did', () => {
    expect(at({ phase: 'PartiallyFailed', errors: 2 }).problems).toMatchObject([
      { code: 'VELERO_PARTIALLY_FAILED', object: 'velero Restore/r' },
    ]);
    expect(at({ phase: 'FailedValidation', validationErrors: ['No such backup.'] }).failure).toBe(
      'No such backup',
    );
    expect(at({ phase: 'Failed', failureReason: 'x' }).failure).toBe('x');
    expect(at({ phase: 'Failed' }).failure).toBeTruthy();
  });
});

describe('what Velero is asked for', () => {
  it('is one Restore, with a modifier of one key that suspends the CronJobs that ran', () => {
    const restore = restoreOf(TARGET, 'b1', 'velero');
    expect(restore).toMatchObject({
      metadata: { name: TARGET.id },
      spec: { backupName: 'b1', includedNamespaces: ['shop'], namespaceMapping: { shop: 'copy' } },
    });
    const { data } = modifierOf(TARGET, 'velero') as unknown as { data: Record<string, string> };
    expect(Object.keys(data)).toHaveLength(1);
    const rules = JSON.parse(Object.values(data)[0] ?? '') as {
      resourceModifierRules: readonly {
        conditions: object;
        mergePatches: readonly { patchData: string }[];
      }[];
    };
    expect(rules.resourceModifierRules[0]?.conditions).toEqual({
      groupResource: 'cronjobs.batch',
      namespaces: ['shop'],
      matches: [{ path: '/spec/suspend', value: 'false' }],
    });
    expect(JSON.parse(rules.resourceModifierRules[0]?.mergePatches[0]?.patchData ?? '')).toEqual({
      metadata: { annotations: { 'quiesce.dev/restore-suspended': TARGET.id } },
      spec: { suspend: true },
    });
  });

  it('has no mapping where nothing is mapped', () => {
    const same = { ...TARGET, namespaces: new Map([['shop', 'shop']]) };
    expect(restoreOf(same, 'b1', 'velero')['spec']).not.toHaveProperty('namespaceMapping');
  });
});

describe('before a restore from a backup', () => {
  it('pods that Velero copied file by file wait elsewhere, or it is said that they do not', async () => {
    const cluster = new SimulatedCluster();
    cluster.put('/apis/velero.io/v1/namespaces/velero/podvolumebackups/x', {
      metadata: { labels: { 'velero.io/backup-name': 'b1' } },
      spec: { pod: { namespace: 'shop', name: 'db-0' } },
    });
    cluster.put('/apis/velero.io/v1/namespaces/velero/podvolumebackups/y', {
      metadata: { labels: { 'velero.io/backup-name': 'b2' } },
      spec: { pod: { namespace: 'shop', name: 'queue-0' } },
    });
    const source = await sourceOf(cluster);
    expect([...source.held]).toEqual(['shop/db-0']);
    expect(await source.preflight(TARGET, SIGNAL)).toMatchObject([
      { code: 'NOT_HELD_BACK', object: 'shop StatefulSet/db' },
    ]);
    const injected = await sourceOf(cluster, {
      db: { claims: true, labels: { 'quiesce.dev/inject': 'true' } },
    });
    expect(await injected.preflight(TARGET, SIGNAL)).toEqual([]);
    const moved = await sourceOf(new SimulatedCluster(), {}, { snapshotMoveData: true });
    expect([...moved.held]).toEqual(['shop/db-0']);
  });

  it('a storage class that the cluster lacks is named, unless Velero maps it', async () => {
    const cluster = new SimulatedCluster();
    const objects = [
      ...shop(),
      {
        apiVersion: 'v1',
        kind: 'PersistentVolumeClaim',
        metadata: { name: 'data-db-0', namespace: 'shop' },
        spec: { storageClassName: 'fast' },
      },
    ];
    const source = await BackupSource.of({
      api: new ObjectApi(cluster),
      velero: 'velero',
      backup: { metadata: { name: 'b1' } },
      objects,
      plan: planFor(objects),
    });
    await expect(source.preflight(TARGET, SIGNAL)).rejects.toMatchObject({
      code: 'RESTORE_IMPOSSIBLE',
      message: expect.stringContaining('fast') as string,
    });
    cluster.put('/apis/storage.k8s.io/v1/storageclasses/ssd', {});
    cluster.put('/api/v1/namespaces/velero/configmaps/classes', {
      metadata: { labels: { 'velero.io/change-storage-class': 'RestoreItemAction' } },
      data: { fast: 'ssd' },
    });
    expect(await source.preflight(TARGET, SIGNAL)).toEqual([]);
  });

  it('a right that is missing is named, with a manifest that grants all', async () => {
    const cluster = new SimulatedCluster();
    cluster.denied = ['create restores'];
    const source = await sourceOf(cluster);
    await expect(source.preflight(TARGET, SIGNAL)).rejects.toMatchObject({
      code: 'FORBIDDEN',
      message: expect.stringContaining('create restores.velero.io in velero') as string,
      hint: expect.stringContaining('quiesce-restore') as string,
    });
  });
});

describe('--to', () => {
  const of = (namespaces: readonly string[], ...to: readonly string[]) => {
    const mapping = mappingOf(
      namespaces,
      to.flatMap((one) => readTo(one) ?? []),
    );
    return typeof mapping === 'string' ? mapping : Object.fromEntries(mapping);
  };

  it('names the target of the only namespace, or of each', () => {
    expect(of(['a'])).toEqual({ a: 'a' });
    expect(of(['a'], 'b')).toEqual({ a: 'b' });
    expect(of(['a', 'b'], 'a:c')).toEqual({ a: 'c', b: 'b' });
    expect(of(['a', 'b'], 'a:b', 'b:a')).toEqual({ a: 'b', b: 'a' });
  });

  it('is refused where it does not say which, or makes two into one', () => {
    expect(of(['a', 'b'], 'c')).toMatch(/OLD:NEW/);
    expect(of(['a'], 'x:c')).toMatch(/no namespace x/);
    expect(of(['a', 'b'], 'a:b')).toMatch(/two namespaces/);
    expect(readTo('A')).toBeUndefined();
    expect(readTo('a:')).toBeUndefined();
  });
});
