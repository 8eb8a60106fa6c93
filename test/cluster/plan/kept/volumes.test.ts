import { describe, expect, it } from 'vitest';
import { deployment, notKeptIn, planObjects, problemsIn, statefulSet } from './support.ts';

/** An application with one volume, mounted at /srv. */
function app(volume: object, more: { mount?: object; annotations?: object; labels?: object } = {}) {
  const mounts = [{ name: 'v', mountPath: '/srv', ...more.mount }];
  const containers = [{ name: 'app', image: 'acme/app', volumeMounts: mounts }];
  return deployment(
    'app',
    { containers, volumes: [{ name: 'v', ...volume }] },
    { template: { annotations: more.annotations ?? {}, labels: { app: 'app', ...more.labels } } },
  );
}

function claim(name: string, spec: object = {}, labels: object = {}) {
  return { apiVersion: 'v1', kind: 'PersistentVolumeClaim', metadata: { name, labels }, spec };
}

const CLAIMED = { persistentVolumeClaim: { claimName: 'c' } };
const STATE = /^STATE_/;

function whyOf(...objects: readonly object[]): string | undefined {
  return planObjects(objects).notKept[0]?.why;
}

describe('a volume', () => {
  it.each<[object, RegExp]>([
    [{ emptyDir: {} }, /emptyDir/],
    [{ emptyDir: { sizeLimit: '1Gi' } }, /emptyDir/],
    [{}, /emptyDir/],
    [{ emptyDir: { medium: 'Memory' } }, /tmpfs/],
    [{ hostPath: { path: '/data' } }, /hostPath .*\/data/],
    [{ nfs: { server: 'nas', path: '/x' } }, /nfs.*nas/],
    [{ iscsi: { targetPortal: '10.0.0.1' } }, /iscsi/],
    [{ cephfs: { monitors: [] } }, /cephfs/],
    [{ csi: { driver: 'inline.storage.example' } }, /csi/],
    [{ ephemeral: { volumeClaimTemplate: { spec: {} } } }, /ephemeral/],
  ])('%j is not kept, and a problem', (volume, why) => {
    const plan = planObjects([app(volume)]);
    expect(notKeptIn(plan)).toEqual(['Deployment/app v']);
    expect(plan.notKept[0]?.why).toMatch(why);
    expect(problemsIn(plan, STATE)).toEqual(['STATE_NOT_KEPT Deployment/app']);
  });

  it.each<[object]>([
    [{ configMap: { name: 'x' } }],
    [{ secret: { secretName: 'x' } }],
    [{ projected: { sources: [] } }],
    [{ downwardAPI: { items: [] } }],
    [{ image: { reference: 'acme/models' } }],
    [{ csi: { driver: 'secrets-store.csi.k8s.io' } }],
    [CLAIMED],
  ])('%j is no store, or is kept', (volume) => {
    const plan = planObjects([app(volume), claim('c')]);
    expect(notKeptIn(plan)).toEqual([]);
    expect(problemsIn(plan, STATE)).toEqual([]);
  });

  it('that no container mounts holds nothing', () => {
    const volumes = [{ name: 'v', emptyDir: {} }];
    const plan = planObjects([
      deployment('app', { containers: [{ name: 'a', image: 'acme/app' }], volumes }),
    ]);
    expect(notKeptIn(plan)).toEqual([]);
  });

  it('of the sidecar itself is never listed', () => {
    const own = ['quiesce-run', 'quiesce-state'];
    const containers = [
      {
        name: 'app',
        image: 'acme/app',
        volumeMounts: own.map((name) => ({ name, mountPath: `/${name}` })),
      },
    ];
    const volumes = own.map((name) => ({ name, emptyDir: {} }));
    expect(notKeptIn(planObjects([deployment('app', { containers, volumes })]))).toEqual([]);
  });

  it('is judged also where the workload is scaled to none', () => {
    const none = app({ emptyDir: {} });
    const plan = planObjects([{ ...none, spec: { ...none.spec, replicas: 0 } }]);
    expect(notKeptIn(plan)).toEqual(['Deployment/app v']);
  });

  it('of a template that a claim of the same name replaces is not judged', () => {
    const set = statefulSet(
      'db',
      {
        containers: [
          { name: 'db', image: 'postgres', volumeMounts: [{ name: 'data', mountPath: '/data' }] },
        ],
        volumes: [{ name: 'data', emptyDir: {} }],
      },
      [{ metadata: { name: 'data' }, spec: {} }],
    );
    expect(notKeptIn(planObjects([set]))).toEqual([]);
  });
});

describe('scratch', () => {
  it.each([
    '/tmp',
    '/tmp/x',
    '/run',
    '/var/run/app',
    '/dev/shm',
    '/var/cache/nginx/',
    '/proc',
    '/sys',
  ])('at %s is listed, and no problem', (mountPath) => {
    const plan = planObjects([app({ emptyDir: {} }, { mount: { mountPath } })]);
    expect(notKeptIn(plan)).toEqual(['Deployment/app v']);
    expect(problemsIn(plan, STATE)).toEqual([]);
  });

  it.each(['/tmpfiles', '/var/lib/run', '/app/tmp', '/var', '/cache'])(
    'is not what is at %s',
    (mountPath) => {
      const plan = planObjects([app({ emptyDir: {} }, { mount: { mountPath } })]);
      expect(problemsIn(plan, STATE)).toHaveLength(1);
    },
  );

  it('is not what has another mount elsewhere', () => {
    const volumeMounts = ['/tmp', '/srv'].map((mountPath) => ({ name: 'v', mountPath }));
    const containers = [{ name: 'app', image: 'acme/app', volumeMounts }];
    const volumes = [{ name: 'v', emptyDir: {} }];
    const plan = planObjects([deployment('app', { containers, volumes })]);
    expect(problemsIn(plan, STATE)).toHaveLength(1);
  });

  it.each<[string, object]>([
    ['/proc', {}],
    ['/etc/localtime', {}],
    ['/data', { readOnly: true }],
  ])('is the hostPath %s with %j', (path, mount) => {
    const plan = planObjects([
      app({ hostPath: { path } }, { mount: { mountPath: '/host', ...mount } }),
    ]);
    expect(notKeptIn(plan)).toEqual(['Deployment/app v']);
    expect(problemsIn(plan, STATE)).toEqual([]);
  });
});

describe('Velero’s file-system backup', () => {
  const volumes = 'backup.velero.io/backup-volumes';

  it('keeps what its annotation names', () => {
    const keep = (volume: object, value = 'x, v') =>
      notKeptIn(planObjects([app(volume, { annotations: { [volumes]: value } })]));
    expect(keep({ emptyDir: {} })).toEqual([]);
    expect(keep({ emptyDir: { medium: 'Memory' } })).toEqual([]);
    expect(keep({ nfs: { server: 's', path: '/' } })).toEqual([]);
    expect(keep({ ephemeral: { volumeClaimTemplate: { spec: {} } } })).toEqual([]);
    expect(keep({ hostPath: { path: '/d' } })).toEqual(['Deployment/app v']);
    expect(keep({ emptyDir: {} }, 'w')).toEqual(['Deployment/app v']);
  });

  it('keeps nothing of a pod that Velero leaves out', () => {
    const labels = { 'velero.io/exclude-from-backup': 'true' };
    const plan = planObjects([app({ emptyDir: {} }, { annotations: { [volumes]: 'v' }, labels })]);
    expect(notKeptIn(plan)).toEqual(['Deployment/app v']);
  });

  it('keeps by default what is not excluded, where a Schedule says so', () => {
    const schedule = {
      apiVersion: 'velero.io/v1',
      kind: 'Schedule',
      metadata: { name: 's', namespace: 'velero' },
      spec: { template: { defaultVolumesToFsBackup: true } },
    };
    const excluded = { 'backup.velero.io/backup-volumes-excludes': 'v' };
    expect(notKeptIn(planObjects([schedule, app({ emptyDir: {} })]))).toEqual([]);
    expect(
      notKeptIn(planObjects([schedule, app({ emptyDir: {} }, { annotations: excluded })])),
    ).toEqual(['Deployment/app v']);
  });
});

describe('a claim', () => {
  const EXCLUDED = { 'velero.io/exclude-from-backup': 'true' };
  const storageClass = (provisioner: string, annotations: object = {}) => ({
    apiVersion: 'storage.k8s.io/v1',
    kind: 'StorageClass',
    metadata: { name: 'k', annotations },
    provisioner,
  });
  const snapshots = (driver: string) => ({
    apiVersion: 'snapshot.storage.k8s.io/v1',
    kind: 'VolumeSnapshotClass',
    metadata: { name: driver },
    driver,
  });
  const volume = (spec: object) => ({
    apiVersion: 'v1',
    kind: 'PersistentVolume',
    metadata: { name: 'pv' },
    spec: { claimRef: { name: 'c', namespace: 'default' }, ...spec },
  });

  it('that Velero leaves out is not kept: by the label of claim, pod, namespace', () => {
    expect(whyOf(app(CLAIMED), claim('c', {}, EXCLUDED))).toMatch(/claim has the label/);
    expect(whyOf(app(CLAIMED, { labels: EXCLUDED }), claim('c'))).toMatch(/pod has the label/);
    const namespace = {
      apiVersion: 'v1',
      kind: 'Namespace',
      metadata: { name: 'default', labels: EXCLUDED },
    };
    expect(whyOf(app(CLAIMED), claim('c'), namespace)).toMatch(/namespace has the label/);
  });

  it('of a template with that label is not kept', () => {
    const mounts = [{ name: 'data', mountPath: '/d' }];
    const set = statefulSet(
      'db',
      { containers: [{ name: 'a', image: 'a', volumeMounts: mounts }] },
      [{ metadata: { name: 'data', labels: EXCLUDED }, spec: {} }],
    );
    expect(notKeptIn(planObjects([set]))).toEqual(['StatefulSet/db data']);
  });

  it.each<[string, readonly object[], object]>([
    [
      'a class without snapshots',
      [storageClass('rancher.io/local-path')],
      { storageClassName: 'k' },
    ],
    [
      'a driver without a snapshot class',
      [storageClass('a.csi'), snapshots('b.csi')],
      { storageClassName: 'k' },
    ],
    [
      'the default class',
      [storageClass('efs.csi.aws.com', { 'storageclass.kubernetes.io/is-default-class': 'true' })],
      {},
    ],
    ['a class that distributions have', [], { storageClassName: 'local-path' }],
    ['a volume on a node', [volume({ hostPath: { path: '/d' } })], {}],
    ['a volume on a local disk', [volume({ local: { path: '/d' } })], {}],
    ['a volume on an NFS server', [volume({ nfs: { server: 's' } })], {}],
  ])('on %s is not kept', (_, objects, spec) => {
    const plan = planObjects([app(CLAIMED), claim('c', spec), ...objects]);
    expect(notKeptIn(plan)).toEqual(['Deployment/app v']);
    expect(problemsIn(plan, STATE)).toEqual(['STATE_NOT_KEPT Deployment/app']);
  });

  it.each<[string, readonly object[], object]>([
    [
      'a driver with a snapshot class',
      [storageClass('a.csi'), snapshots('a.csi')],
      { storageClassName: 'k' },
    ],
    [
      'an old provisioner whose driver has a class',
      [storageClass('kubernetes.io/aws-ebs'), snapshots('ebs.csi.aws.com')],
      { storageClassName: 'k' },
    ],
    ['a class that is not among the objects', [snapshots('a.csi')], { storageClassName: 'fast' }],
    [
      'a class of a driver, without any snapshot class',
      [storageClass('a.csi')],
      { storageClassName: 'k' },
    ],
    [
      'a volume of a driver with a class',
      [volume({ csi: { driver: 'a.csi' } }), snapshots('a.csi')],
      {},
    ],
  ])('on %s is kept', (_, objects, spec) => {
    expect(notKeptIn(planObjects([app(CLAIMED), claim('c', spec), ...objects]))).toEqual([]);
  });

  it('is kept by file-system backup where no snapshot can be made, but not from a hostPath', () => {
    const annotations = { 'backup.velero.io/backup-volumes': 'v' };
    const of = (...objects: readonly object[]) =>
      notKeptIn(planObjects([app(CLAIMED, { annotations }), claim('c'), ...objects]));
    expect(of(volume({ nfs: { server: 's' } }))).toEqual([]);
    expect(of(volume({ hostPath: { path: '/d' } }))).toEqual(['Deployment/app v']);
  });

  it('of a class without snapshots is one error where all objects are there', () => {
    const objects = [app(CLAIMED), claim('c', { storageClassName: 'k' }), storageClass('a.csi')];
    const plan = planObjects(objects, 'cluster');
    expect(notKeptIn(plan)).toEqual(['Deployment/app v']);
    expect(problemsIn(plan, /^(?:STATE|CLAIM)_/)).toEqual(['CLAIM_WITHOUT_CLASS Deployment/app']);
  });
});
