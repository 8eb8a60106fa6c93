import { describe, expect, it } from 'vitest';
import { type KubeObject, textAt } from '../../../../src/cluster/objects/kube-object.ts';
import {
  manifestsOf,
  type VolumeTarget,
} from '../../../../src/cluster/restore/volumes/manifests.ts';
import type { SourceVolume } from '../../../../src/cluster/restore/volumes/source-volume.ts';
import { recordOfClaim } from '../../../../src/cluster/run/claim-record.ts';

const GI = 2 ** 30;
const SECRET = 'snapshot.storage.kubernetes.io/deletion-secret-name';

const volume: SourceVolume = {
  namespace: 'shop',
  claim: 'data-db-0',
  snapshot: { namespace: 'shop', name: 'data-db-0-cut' },
  stored: {
    driver: 'rbd.csi.ceph.com',
    handle: 'snap-1',
    sourceVolumeMode: 'Filesystem',
    className: 'rbd',
    annotations: { [SECRET]: 'keys' },
  },
  restoreSize: 10 * GI,
  record: {
    accessModes: ['ReadWriteOncePod'],
    volumeMode: 'Filesystem',
    storageClass: 'fast',
    request: '10Gi',
    labels: { app: 'db' },
    annotations: { 'quiesce.dev/snapshot-class': 'rbd' },
  },
};
const into = (namespace: string, more: Partial<VolumeTarget> = {}): VolumeTarget => ({
  id: 'shop-20261201000000-ab12',
  group: 'shop',
  namespace,
  ...more,
});
const sizeOf = (claim: KubeObject): string | undefined =>
  textAt(claim, 'spec', 'resources', 'requests', 'storage');
const claimOf = (request: string, more: object = {}): KubeObject => ({
  kind: 'PersistentVolumeClaim',
  metadata: { name: 'data-db-0', namespace: 'shop' },
  spec: { accessModes: ['ReadWriteOnce'], resources: { requests: { storage: request } } },
  ...more,
});

describe('a claim from a snapshot', () => {
  it('names the VolumeSnapshot itself in its namespace, and makes nothing else', () => {
    const made = manifestsOf(volume, into('shop'));
    expect(Object.keys(made)).toEqual(['claim']);
    expect(made.claim).toMatchObject({
      metadata: {
        name: 'data-db-0',
        namespace: 'shop',
        labels: { app: 'db', 'quiesce.dev/restore': 'shop-20261201000000-ab12' },
        annotations: { 'quiesce.dev/snapshot-class': 'rbd' },
      },
      spec: {
        accessModes: ['ReadWriteOncePod'],
        volumeMode: 'Filesystem',
        storageClassName: 'fast',
        dataSource: {
          apiGroup: 'snapshot.storage.k8s.io',
          kind: 'VolumeSnapshot',
          name: 'data-db-0-cut',
        },
      },
    });
  });

  it('gets a content of its own elsewhere, which keeps the storage’s snapshot', () => {
    const { content, snapshot, claim } = manifestsOf(volume, into('shop-2'));
    const name = snapshot?.metadata?.name;
    expect(content).toMatchObject({
      metadata: { annotations: { [SECRET]: 'keys' } },
      spec: {
        deletionPolicy: 'Retain',
        driver: 'rbd.csi.ceph.com',
        source: { snapshotHandle: 'snap-1' },
        sourceVolumeMode: 'Filesystem',
        volumeSnapshotClassName: 'rbd',
        volumeSnapshotRef: { name, namespace: 'shop-2' },
      },
    });
    expect(snapshot).toMatchObject({
      metadata: { namespace: 'shop-2' },
      spec: { source: { volumeSnapshotContentName: content?.metadata?.name } },
    });
    expect(textAt(claim, 'spec', 'dataSource', 'name')).toBe(name);
    for (const one of [content, snapshot, claim]) {
      expect(one?.metadata?.labels).toMatchObject({
        'quiesce.dev/restore': 'shop-20261201000000-ab12',
      });
      // With this label a VolumeSnapshot would count as part of the run that was cut.
      expect(one?.metadata?.labels).not.toHaveProperty('quiesce.dev/run');
    }
  });

  it('gets a content of its own where the VolumeSnapshot is gone with its namespace', () => {
    const { snapshot: _, ...kept } = volume;
    expect(Object.keys(manifestsOf(kept, into('shop')))).toEqual(['content', 'snapshot', 'claim']);
  });

  it('leaves out a class that the cluster lacks', () => {
    const target = into('shop-2', { snapshotClasses: new Set(['other']) });
    const { content } = manifestsOf(volume, target);
    expect(textAt(content, 'spec', 'volumeSnapshotClassName')).toBeUndefined();
  });

  it.each([
    ['the snapshot needs more than was asked for', {}, '5Gi', [], String(10 * GI)],
    ['the original was larger than its snapshot', {}, '20Gi', [], '20Gi'],
    ['the claim has grown since', {}, '10Gi', [claimOf('30Gi')], '30Gi'],
    [
      'the volume is larger than its claim asks',
      {},
      '10Gi',
      [claimOf('10Gi', { status: { capacity: { storage: '40Gi' } } })],
      '40Gi',
    ],
    ['the driver gives no size', { restoreSize: undefined }, '7Gi', [], '7Gi'],
    ['sizes are alike', {}, '10Gi', [], '10Gi'],
  ])('is as large as the largest: %s', (_what, more, request, claims, expected) => {
    const record = { ...volume.record!, request };
    const one = { ...volume, ...more, record } as SourceVolume;
    expect(sizeOf(manifestsOf(one, into('shop'), claims).claim)).toBe(expected);
  });

  it('is described by a template or the live claim where an old run has no record', () => {
    const { record: _, ...old } = volume;
    const template = {
      spec: {
        accessModes: ['ReadWriteMany'],
        storageClassName: 'slow',
        resources: { requests: { storage: '1Gi' } },
      },
    };
    expect(manifestsOf(old, into('shop'), [template]).claim).toMatchObject({
      spec: {
        accessModes: ['ReadWriteMany'],
        storageClassName: 'slow',
        resources: { requests: { storage: String(10 * GI) } },
      },
    });
  });

  it('is refused where nothing says its size', () => {
    const { record: _, restoreSize: __, ...old } = volume;
    expect(() => manifestsOf(old, into('shop'))).toThrowError(
      expect.objectContaining({ code: 'CLAIM_UNKNOWN' }),
    );
  });

  it('gets the class that the map names', () => {
    const classes = new Map([['fast', 'fast-2']]);
    const { claim } = manifestsOf(volume, into('shop', { storageClasses: classes }));
    expect(textAt(claim, 'spec', 'storageClassName')).toBe('fast-2');
  });
});

describe('the record of a claim', () => {
  it('has what a user set, and nothing that binds it to one volume or one run', () => {
    const claim: KubeObject = {
      metadata: {
        name: 'data-db-0',
        labels: {
          app: 'db',
          'quiesce.dev/run': 'r1',
          'quiesce.dev/restore': 'r0',
          'velero.io/restore-name': 'monday',
        },
        annotations: {
          'team.example/owner': 'storage',
          'pv.kubernetes.io/bind-completed': 'yes',
          'pv.kubernetes.io/bound-by-controller': 'yes',
          'volume.kubernetes.io/selected-node': 'node-1',
          'volume.kubernetes.io/storage-provisioner': 'rbd.csi.ceph.com',
          'volume.beta.kubernetes.io/storage-provisioner': 'rbd.csi.ceph.com',
          'kubectl.kubernetes.io/last-applied-configuration': '{}',
        },
      },
      spec: {
        accessModes: ['ReadWriteOnce'],
        volumeMode: 'Block',
        storageClassName: 'fast',
        volumeName: 'pv-1',
        resources: { requests: { storage: '10Gi' } },
      },
      status: { capacity: { storage: '12Gi' } },
    };
    const pv = { spec: { persistentVolumeReclaimPolicy: 'Retain' } };
    expect(recordOfClaim(claim, pv)).toEqual({
      accessModes: ['ReadWriteOnce'],
      volumeMode: 'Block',
      storageClass: 'fast',
      request: '10Gi',
      capacity: '12Gi',
      reclaimPolicy: 'Retain',
      labels: { app: 'db' },
      annotations: { 'team.example/owner': 'storage' },
    });
  });
});
