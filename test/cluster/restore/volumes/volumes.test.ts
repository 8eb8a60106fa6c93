import { beforeEach, describe, expect, it } from 'vitest';
import { ObjectApi } from '../../../../src/cluster/api/objects.ts';
import { type KubeObject, textAt } from '../../../../src/cluster/objects/kube-object.ts';
import type { PlanMember } from '../../../../src/cluster/plan/document.ts';
import { lookAtClaims } from '../../../../src/cluster/restore/volumes/look.ts';
import { checkVolumes, makeVolumes } from '../../../../src/cluster/restore/volumes/make.ts';
import { volumesOfBackup } from '../../../../src/cluster/restore/volumes/of-backup.ts';
import { volumesOfRun } from '../../../../src/cluster/restore/volumes/of-run.ts';
import { removeMade, settleVolumes } from '../../../../src/cluster/restore/volumes/remove.ts';
import { ClusterVolumes } from '../../../../src/cluster/snapshot/cluster-volumes.ts';
import type { RunVerdict } from '../../../../src/cluster/snapshot/document.ts';
import { runOf } from '../../snapshot/runs-of-test.ts';
import { contentPath, SimulatedCluster, snapshotPath } from '../../snapshot/simulated-cluster.ts';

const DRIVER = 'rbd.csi.ceph.com';
const RUN = { id: 'shop-20261130180300-ab12', group: 'shop' };
const RESTORE = 'shop-20261201000000-cd34';
const soon = (): AbortSignal => AbortSignal.timeout(20_000);
const claimPath = (namespace: string, name: string): string =>
  `/api/v1/namespaces/${namespace}/persistentvolumeclaims/${name}`;

let cluster: SimulatedCluster;
let api: ObjectApi;

beforeEach(() => {
  cluster = new SimulatedCluster();
  api = new ObjectApi(cluster);
  cluster.snapshotClass('rbd', DRIVER);
  cluster.put('/apis/storage.k8s.io/v1/storageclasses/fast', { provisioner: DRIVER });
  for (const name of ['data-db-0', 'data-cache-0']) {
    cluster.claim('shop', name, DRIVER, {
      metadata: { labels: { app: name }, namespace: 'shop' },
      spec: {
        accessModes: ['ReadWriteOnce'],
        storageClassName: 'fast',
        volumeName: `pv-shop-${name}`,
        resources: { requests: { storage: '2Gi' } },
      },
      status: { phase: 'Bound', capacity: { storage: '2Gi' } },
    });
  }
});

async function cut(verdict: RunVerdict = 'proven'): Promise<void> {
  const members = ['db', 'cache'].map((name): PlanMember => ({
    namespace: 'shop',
    kind: 'StatefulSet',
    name,
    stage: 'databases',
    from: 'image',
    priority: 'normal',
    protection: 'sidecar',
    pods: [`${name}-0`],
    claims: [`data-${name}-0`],
    after: [],
    dependsOn: [],
  }));
  const volumes = new ClusterVolumes(cluster, { namespaces: ['shop'] });
  const plan = await volumes.preflight(members, soon());
  const done = await volumes.ready(await volumes.cut(RUN, plan, soon()), soon());
  await volumes.record(runOf(RUN, done, { verdict }), done);
}

/** Contents of a class with this policy, as the snapshot controller would have made them. */
function policyOf(contents: 'Retain' | 'Delete'): void {
  cluster.onSnapshot = (one) => {
    cluster.bind(one);
    const content = `content-${one.metadata?.uid ?? ''}`;
    cluster.change(contentPath(content), { spec: { deletionPolicy: contents } });
  };
}

/** The namespace is deleted, with all that is in it. */
function removeNamespace(namespace: string): void {
  for (const plural of ['volumesnapshots', 'persistentvolumeclaims', 'configmaps']) {
    for (const { metadata } of cluster.all(plural)) {
      const { name = '', namespace: place } = metadata ?? {};
      if (place !== namespace) continue;
      cluster.remove(snapshotPath(namespace, name));
      cluster.remove(claimPath(namespace, name));
      cluster.remove(`/api/v1/namespaces/${namespace}/configmaps/${name}`);
    }
  }
}

const toMake = async (namespace: string) => {
  const { volumes, group } = await volumesOfRun(api, RUN.id, ['shop']);
  const target = { id: RESTORE, group, namespace };
  return volumes.map((volume) => ({ volume, target, claims: [] as KubeObject[] }));
};

describe('the volumes of a run', () => {
  it('say where the snapshot is on the storage, and what the claim was', async () => {
    await cut();
    removeClaims();
    const { verdict, group, volumes } = await volumesOfRun(api, RUN.id, ['shop']);
    expect([verdict, group, volumes.length]).toEqual(['proven', 'shop', 2]);
    const db = volumes.find(({ claim }) => claim === 'data-db-0');
    expect(db).toMatchObject({
      namespace: 'shop',
      stored: { driver: DRIVER, handle: expect.stringMatching(/^cut-/) as string },
      snapshot: { namespace: 'shop' },
      restoreSize: 2 ** 30,
      record: { storageClass: 'fast', request: '2Gi', labels: { app: 'data-db-0' } },
      receipt: { freezeId: RUN.id },
    });
  });

  it('are refused where the run has failed, or was not recorded', async () => {
    await cut('failed');
    await expect(volumesOfRun(api, RUN.id, ['shop'])).rejects.toMatchObject({
      code: 'RUN_NOT_RESTORABLE',
    });
    await expect(volumesOfRun(api, 'nobody', ['shop'])).rejects.toMatchObject({
      code: 'RUN_NOT_FOUND',
    });
  });

  it('carry that the run was not proven', async () => {
    await cut('unproven');
    expect(await volumesOfRun(api, RUN.id, ['shop'])).toMatchObject({ verdict: 'unproven' });
  });

  it('are refused where one of the snapshots is gone', async () => {
    await cut();
    const [first] = cluster.all('volumesnapshots');
    cluster.remove(snapshotPath('shop', first?.metadata?.name ?? ''));
    await expect(volumesOfRun(api, RUN.id, ['shop'])).rejects.toMatchObject({
      code: 'RUN_NOT_RESTORABLE',
      message: expect.stringContaining('is gone') as string,
    });
  });

  it('are found by the contents that outlive the namespace, with the same facts', async () => {
    policyOf('Retain');
    await cut();
    removeNamespace('shop');
    const { verdict, volumes } = await volumesOfRun(api, RUN.id, ['shop']);
    expect([verdict, volumes.length]).toEqual(['proven', 2]);
    const db = volumes.find(({ claim }) => claim === 'data-db-0');
    expect(db).toMatchObject({ namespace: 'shop', record: { storageClass: 'fast' } });
    expect(db).not.toHaveProperty('snapshot');
  });

  it.each(['unproven', 'failed'] as const)(
    'never say more than the run was worth once its namespace is gone: %s',
    async (worth) => {
      policyOf('Retain');
      await cut(worth);
      removeNamespace('shop');
      const found = volumesOfRun(api, RUN.id, ['shop']);
      if (worth === 'unproven') await expect(found).resolves.toMatchObject({ verdict: worth });
      else await expect(found).rejects.toMatchObject({ code: 'RUN_NOT_RESTORABLE' });
    },
  );

  it('are refused where a content that should outlive the namespace is gone', async () => {
    policyOf('Retain');
    await cut();
    removeNamespace('shop');
    cluster.remove(contentPath(cluster.all('volumesnapshotcontents')[0]?.metadata?.name ?? ''));
    await expect(volumesOfRun(api, RUN.id, ['shop'])).rejects.toMatchObject({
      code: 'RUN_NOT_RESTORABLE',
      message: expect.stringContaining('1 of 2 snapshots') as string,
    });
  });

  it('are not found where the snapshots went with the namespace', async () => {
    policyOf('Delete');
    await cut();
    removeNamespace('shop');
    await expect(volumesOfRun(api, RUN.id, ['shop'])).rejects.toMatchObject({
      code: 'RUN_NOT_FOUND',
    });
  });
});

function removeClaims(): void {
  for (const name of ['data-db-0', 'data-cache-0']) cluster.remove(claimPath('shop', name));
}

describe('making and removing', () => {
  beforeEach(() => cut());

  it('makes each once, however often it is called or killed', async () => {
    const all = await toMake('shop-2');
    await checkVolumes(api, all);
    let calls = 0;
    cluster.intercept = (method) => {
      calls += method === 'POST' ? 1 : 0;
      if (calls === 4) throw new Error('killed');
      return undefined;
    };
    await makeVolumes(api, all, soon());
    cluster.intercept = undefined;
    await makeVolumes(api, all, soon());
    const mine = (plural: string): number =>
      cluster
        .all(plural)
        .filter(({ metadata }) => metadata?.labels?.['quiesce.dev/restore'] === RESTORE).length;
    expect(
      ['volumesnapshotcontents', 'volumesnapshots', 'persistentvolumeclaims'].map(mine),
    ).toEqual([2, 2, 2]);
    await expect(checkVolumes(api, all)).resolves.toBeUndefined();
    expect(await lookAtClaims(api, { id: RESTORE, namespaces: ['shop-2'] })).toMatchObject([
      { phase: 'waiting' },
      { phase: 'waiting' },
    ]);
  });

  it('never overwrites a claim', async () => {
    const all = await toMake('shop');
    await expect(checkVolumes(api, all)).rejects.toMatchObject({ code: 'CLAIM_EXISTS' });
    await expect(makeVolumes(api, all, soon())).rejects.toMatchObject({ code: 'CLAIM_EXISTS' });
  });

  it.each([
    ['is of another driver', { provisioner: 'ebs.csi.aws.com' }],
    ['does not exist', undefined],
  ])('refuses a StorageClass that %s', async (_what, storage) => {
    const path = '/apis/storage.k8s.io/v1/storageclasses/fast';
    if (storage === undefined) cluster.remove(path);
    else cluster.put(path, storage);
    await expect(checkVolumes(api, await toMake('shop-2'))).rejects.toMatchObject({
      code: 'STORAGE_CLASS_UNFIT',
      message: expect.stringContaining('fast') as string,
    });
  });

  it('removes all that it made, and nothing of the run that was cut', async () => {
    const before = new Set(
      cluster.all('volumesnapshotcontents').map(({ metadata }) => metadata?.uid),
    );
    const snapshots = cluster.all('volumesnapshots').length;
    await makeVolumes(api, await toMake('shop-2'), soon());
    const [claim] = cluster
      .all('persistentvolumeclaims')
      .filter(({ metadata }) => metadata?.namespace === 'shop-2');
    const name = claim?.metadata?.name ?? '';
    cluster.change(claimPath('shop-2', name), { spec: { volumeName: 'pv-new' } });
    cluster.put('/api/v1/persistentvolumes/pv-new', {
      spec: {
        persistentVolumeReclaimPolicy: 'Retain',
        claimRef: { namespace: 'shop-2', name, uid: claim?.metadata?.uid },
      },
    });
    const made = cluster
      .all('volumesnapshotcontents')
      .find(({ metadata }) => !before.has(metadata?.uid));
    // Somebody changed it: its deletion would take the snapshot on the storage along.
    cluster.change(contentPath(made?.metadata?.name ?? ''), { spec: { deletionPolicy: 'Delete' } });
    const deleted: unknown[] = [];
    cluster.intercept = (method, path) => {
      if (method === 'DELETE' && path.includes('volumesnapshotcontents')) {
        deleted.push(textAt(cluster.read(path), 'spec', 'deletionPolicy'));
      }
      return undefined;
    };
    await removeMade(api, { id: RESTORE, namespaces: ['shop-2'] });
    expect(deleted).toEqual(['Retain', 'Retain']);
    expect(
      cluster.all('persistentvolumeclaims').map(({ metadata }) => metadata?.namespace),
    ).toEqual(['shop', 'shop']);
    expect(cluster.all('volumesnapshots')).toHaveLength(snapshots);
    expect(cluster.all('volumesnapshotcontents').map(({ metadata }) => metadata?.uid)).toEqual([
      ...before,
    ]);
    // The claim's deletion then deletes the copy on the storage.
    expect(
      textAt(
        cluster.read('/api/v1/persistentvolumes/pv-new'),
        'spec',
        'persistentVolumeReclaimPolicy',
      ),
    ).toBe('Delete');
    await expect(removeMade(api, { id: RESTORE, namespaces: ['shop-2'] })).resolves.toMatchObject({
      claims: [],
    });
  });

  it('keeps what a claim still needs, and makes a volume as lasting as its original', async () => {
    await makeVolumes(api, await toMake('shop-2'), soon());
    const bound = claimPath('shop-2', 'data-db-0');
    cluster.change(bound, { spec: { volumeName: 'pv-new' }, status: { phase: 'Bound' } });
    const uid = cluster.read(bound)?.metadata?.uid;
    cluster.put('/api/v1/persistentvolumes/pv-new', {
      spec: {
        persistentVolumeReclaimPolicy: 'Delete',
        claimRef: { namespace: 'shop-2', name: 'data-db-0', uid },
      },
    });
    const made = { id: RESTORE, namespaces: ['shop-2'] };
    const retained = new Set(['shop-2/data-db-0']);
    expect(await settleVolumes(api, made, retained)).toEqual(['shop-2/data-cache-0']);
    const left = cluster
      .all('volumesnapshots')
      .filter(({ metadata }) => metadata?.namespace === 'shop-2');
    expect(left).toHaveLength(1);
    expect(
      textAt(
        cluster.read('/api/v1/persistentvolumes/pv-new'),
        'spec',
        'persistentVolumeReclaimPolicy',
      ),
    ).toBe('Retain');
  });
});

describe('the volumes of a backup of Velero', () => {
  const claim = (name: string): KubeObject => ({
    kind: 'PersistentVolumeClaim',
    metadata: { namespace: 'shop', name },
    spec: { storageClassName: 'fast', resources: { requests: { storage: '1Gi' } } },
  });
  const snapshot = (name: string, more: object): KubeObject => ({
    kind: 'VolumeSnapshot',
    metadata: { namespace: 'shop', name: `velero-${name}` },
    spec: { source: { persistentVolumeClaimName: name }, volumeSnapshotClassName: 'rbd' },
    ...more,
  });

  it('are those with a snapshot on the storage; the others are named', () => {
    const objects = [
      claim('data-db-0'),
      claim('data-cache-0'),
      claim('logs'),
      snapshot('data-db-0', {
        status: { boundVolumeSnapshotContentName: 'c1', restoreSize: '3Gi' },
      }),
      snapshot('data-cache-0', {
        metadata: {
          namespace: 'shop',
          name: 'velero-data-cache-0',
          annotations: {
            'velero.io/csi-volumesnapshot-handle': 'h2',
            'velero.io/csi-driver-name': DRIVER,
            'velero.io/csi-volumesnapshot-restore-size': '2Gi',
          },
        },
      }),
      {
        kind: 'VolumeSnapshotContent',
        metadata: { name: 'c1' },
        spec: { driver: DRIVER, volumeSnapshotClassName: 'rbd', sourceVolumeMode: 'Block' },
        status: { snapshotHandle: 'h1' },
      },
    ];
    const { volumes, without } = volumesOfBackup({}, objects);
    expect(volumes).toMatchObject([
      {
        claim: 'data-db-0',
        stored: { handle: 'h1', driver: DRIVER, sourceVolumeMode: 'Block' },
        restoreSize: 3 * 2 ** 30,
        record: { storageClass: 'fast' },
      },
      { claim: 'data-cache-0', stored: { handle: 'h2', className: 'rbd' }, restoreSize: 2 ** 31 },
    ]);
    expect(without).toEqual(['shop/logs']);
    const moved = volumesOfBackup({ spec: { snapshotMoveData: true } }, objects);
    expect(moved.volumes).toEqual([]);
  });
});
