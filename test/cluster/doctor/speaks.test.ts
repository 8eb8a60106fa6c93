import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { examine } from '../../../src/cluster/doctor/examine.ts';
import { diagnose } from '../../../src/cluster/doctor/report.ts';
import { makeTempDir } from '../../support/temp-dir.ts';
import { codes, findingsOf, inventory, load } from './support.ts';

const password = {
  name: 'POSTGRES_PASSWORD',
  valueFrom: { secretKeyRef: { name: 'db', key: 'password' } },
};

interface Change {
  readonly image?: string;
  readonly container?: object;
  readonly annotations?: object;
  readonly labels?: object;
  readonly storageClassName?: string;
  readonly kind?: string;
  readonly apiVersion?: string;
  readonly spec?: object;
}

/** A StatefulSet with the label, of PostgreSQL unless a test says otherwise. */
function database(change: Change = {}): object {
  const { image = 'postgres:17', labels = { 'quiesce.dev/inject': 'true' } } = change;
  return {
    apiVersion: change.apiVersion ?? 'apps/v1',
    kind: change.kind ?? 'StatefulSet',
    metadata: { name: 'db', namespace: 'shop' },
    spec: {
      template: {
        metadata: { labels, annotations: change.annotations ?? {} },
        spec: {
          securityContext: { runAsUser: 999, fsGroup: 999 },
          containers: [
            {
              name: 'db',
              image,
              env: [password],
              volumeMounts: [{ name: 'data', mountPath: '/var/lib/postgresql/data' }],
              ...change.container,
            },
          ],
          ...change.spec,
        },
      },
      volumeClaimTemplates: [
        {
          metadata: { name: 'data' },
          spec: {
            storageClassName: change.storageClassName ?? 'fast',
            resources: { requests: { storage: '10Gi' } },
          },
        },
      ],
    },
  };
}

const velero = (image = 'velero/velero:v1.17.1') => ({
  apiVersion: 'apps/v1',
  kind: 'Deployment',
  metadata: { name: 'velero', namespace: 'velero' },
  spec: {
    template: {
      spec: { containers: [{ name: 'velero', image, args: ['server', '--features=EnableCSI'] }] },
    },
  },
});
const schedule = (template: object = {}) => ({
  apiVersion: 'velero.io/v1',
  kind: 'Schedule',
  metadata: { name: 'nightly', namespace: 'velero' },
  spec: { template: { includedNamespaces: ['shop'], ...template } },
});
const storageClass = (name: string, provisioner: string) => ({
  apiVersion: 'storage.k8s.io/v1',
  kind: 'StorageClass',
  metadata: { name },
  provisioner,
});
const snapshotClass = (driver: string) => ({
  apiVersion: 'snapshot.storage.k8s.io/v1',
  kind: 'VolumeSnapshotClass',
  metadata: { name: driver, labels: { 'velero.io/csi-volumesnapshot-class': 'true' } },
  driver,
});
/** The codes, without those about a platform that the manifests of these tests lack. */
const said = (...objects: readonly object[]): readonly string[] =>
  codes(findingsOf(objects, { scope: 'set' })).filter(
    (code) => !/^(?:WEBHOOK|VELERO)_MISSING$/.test(code),
  );

describe('of storage, the doctor', () => {
  const files = { 'backup.velero.io/backup-volumes': 'data' };

  it.each([
    'rancher.io/local-path',
    'kubernetes.io/no-provisioner',
    'k8s.io/minikube-hostpath',
    'microk8s.io/hostpath',
    'k8s-sigs.io/nfs-subdir-external-provisioner',
    'cluster.local/nfs-client-provisioner',
    'efs.csi.aws.com',
  ])('says that %s takes no snapshots, and is silent where files are copied', (provisioner) => {
    const around = [storageClass('slow', provisioner), velero(), schedule()];
    expect(said(database({ storageClassName: 'slow' }), ...around)).toEqual([
      'STORAGE_WITHOUT_SNAPSHOTS',
    ]);
    expect(said(database({ storageClassName: 'slow', annotations: files }), ...around)).toEqual([]);
  });

  it('says so of a class that everybody calls alike, and of a volume of a type that nothing snapshots', () => {
    expect(said(database({ storageClassName: 'local-path' }), velero(), schedule())).toEqual([
      'STORAGE_WITHOUT_SNAPSHOTS',
    ]);
    const claim = {
      apiVersion: 'v1',
      kind: 'PersistentVolumeClaim',
      metadata: { name: 'data-db-0', namespace: 'shop' },
      spec: { storageClassName: 'fast', volumeName: 'pv' },
    };
    for (const source of [
      { nfs: { server: 'a' } },
      { hostPath: { path: '/a' } },
      { local: { path: '/a' } },
    ]) {
      const volume = {
        apiVersion: 'v1',
        kind: 'PersistentVolume',
        metadata: { name: 'pv' },
        spec: source,
      };
      expect(said(database(), claim, volume, velero(), schedule())).toEqual([
        'STORAGE_WITHOUT_SNAPSHOTS',
      ]);
    }
    const csi = {
      apiVersion: 'v1',
      kind: 'PersistentVolume',
      metadata: { name: 'pv' },
      spec: { csi: { driver: 'ebs.csi.aws.com' } },
    };
    expect(said(database(), claim, csi, velero(), schedule())).toEqual([]);
  });

  it('says that a driver has no class of its own, unless a plugin of Velero takes the snapshots', () => {
    const around = [
      storageClass('fast', 'ebs.csi.aws.com'),
      snapshotClass('pd.csi.storage.gke.io'),
      velero(),
      schedule(),
    ];
    expect(said(database(), ...around)).toEqual(['STORAGE_WITHOUT_SNAPSHOTS']);
    const location = {
      apiVersion: 'velero.io/v1',
      kind: 'VolumeSnapshotLocation',
      metadata: { name: 'aws', namespace: 'velero' },
    };
    expect(said(database(), ...around, location)).toEqual([]);
    expect(said(database(), ...around, snapshotClass('ebs.csi.aws.com'))).toEqual([]);
  });

  it('says that snapshots copy live files, and is silent for copy: files and for block storage', () => {
    const around = (driver: string) => [
      storageClass('fast', driver),
      snapshotClass(driver),
      velero(),
      schedule(),
    ];
    expect(said(database(), ...around('nfs.csi.k8s.io'))).toEqual(['SNAPSHOT_COPIES_FILES']);
    const copied = database({ annotations: { 'quiesce.dev/copy': 'files' } });
    expect(said(copied, ...around('nfs.csi.k8s.io'))).toEqual([]);
    expect(said(database(), ...around('driver.longhorn.io'))).toEqual([]);
  });
});

describe('of a Schedule, the doctor', () => {
  const policy = (conditions: object, type: string) => ({
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: { name: 'policy', namespace: 'velero' },
    data: {
      'p.yaml': JSON.stringify({
        version: 'v1',
        volumePolicies: [{ conditions, action: { type } }],
      }),
    },
  });
  const named = schedule({ resourcePolicy: { kind: 'configmap', name: 'policy' } });
  const classes = [storageClass('fast', 'ebs.csi.aws.com'), snapshotClass('ebs.csi.aws.com')];

  it.each([
    [{ storageClass: ['fast'] }, 'skip', ['VOLUME_POLICY_SKIPS']],
    [{ csi: { driver: 'ebs.csi.aws.com' } }, 'skip', ['VOLUME_POLICY_SKIPS']],
    [{ capacity: '5Gi,20Gi' }, 'skip', ['VOLUME_POLICY_SKIPS']],
    [{}, 'fs-backup', ['COPY_CONTRADICTS_FILE_BACKUP']],
    [{ storageClass: ['slow'] }, 'skip', []],
    [{ csi: { driver: 'other' } }, 'skip', []],
    [{ capacity: ',5Gi' }, 'skip', []],
    [{ pvcLabels: { a: 'b' } }, 'skip', []],
    [{ volumeTypes: ['nfs'] }, 'skip', []],
    [{}, 'snapshot', []],
  ])('reads the volume policy %j: %s', (conditions, type, expected) => {
    const objects = [database(), velero(), named, policy(conditions, type), ...classes];
    expect(said(...objects)).toEqual(expected);
  });

  it('lets a volume policy outweigh the annotation of a pod', () => {
    const annotations = {
      'backup.velero.io/backup-volumes': 'data',
      'quiesce.dev/copy': 'snapshot',
    };
    expect(
      said(database({ annotations }), velero(), named, policy({}, 'snapshot'), ...classes),
    ).toEqual([]);
  });

  it.each([
    [
      { includedNamespaceScopedResources: ['persistentvolumeclaims', 'configmaps'] },
      'does not list pods',
    ],
    [{ excludedNamespaceScopedResources: ['pods'] }, 'excludes pods'],
    [{ excludedResources: ['po'] }, 'excludes pods'],
    [{ labelSelector: { matchLabels: { a: 'b' } } }, 'has a label selector'],
    [{ includedNamespaces: ['blog'] }, 'does not include the namespace'],
  ])('says which filter leaves the pods out: %j', (template, why) => {
    const findings = findingsOf([database(), velero(), schedule(template)], { scope: 'set' });
    expect(findings.find(({ code }) => code === 'NOT_SCHEDULED')?.message).toContain(
      `nightly ${why}`,
    );
  });

  it('says that claims are left out, and nothing of filters that let both through', () => {
    for (const template of [{ excludedResources: ['pvc'] }, { includedResources: ['pods'] }]) {
      expect(said(database(), velero(), schedule(template))).toContain('VOLUMES_NOT_COPIED');
    }
    for (const template of [
      { includedResources: ['po', 'pvc', 'pv'] },
      { includedNamespaceScopedResources: ['pods', 'persistentvolumeclaims'] },
      { includedResources: ['*'] },
    ]) {
      expect(said(database(), velero(), schedule(template))).toEqual([]);
    }
  });

  it('names ordered pods that do not exist, and no others', () => {
    const ordered = (pods: string) =>
      said(database(), velero(), schedule({ orderedResources: { pods } }));
    expect(ordered('shop/db-0,shop/db-1')).toEqual([]);
    expect(ordered('shop/db-0, shop/cache-0')).toEqual(['ORDERED_NOBODY']);
    expect(ordered('blog/db-0')).toEqual(['ORDERED_NOBODY']);
  });

  it.each([
    ['v1.14.0', true],
    ['v1.14.1', true],
    ['v1.15.0', true],
    ['v1.15.1', false],
    ['v1.13.2', false],
    ['v1.18.0', false],
  ])('knows whether Velero %s thaws before the files are copied', (tag, early) => {
    const files = { 'backup.velero.io/backup-volumes': 'data' };
    const of = (annotations: object) =>
      said(database({ annotations }), velero(`velero/velero:${tag}`), schedule());
    expect(of(files).includes('VELERO_POST_HOOK_EARLY')).toBe(early);
    expect(of({})).not.toContain('VELERO_POST_HOOK_EARLY');
  });

  it('says in a cluster that there is none', () => {
    const of = (...objects: readonly object[]) => codes(findingsOf(objects, { scope: 'cluster' }));
    expect(of(database(), velero())).toContain('NO_SCHEDULE');
    expect(of(database(), velero(), schedule())).not.toContain('NO_SCHEDULE');
    const own = {
      apiVersion: 'batch/v1',
      kind: 'CronJob',
      metadata: { name: 'q' },
      spec: { args: ['snapshot'] },
    };
    expect(of(database(), velero(), own)).not.toContain('NO_SCHEDULE');
    expect(of(velero())).not.toContain('NO_SCHEDULE');
  });
});

describe('of a user’s own hooks, the doctor', () => {
  const hooks = (pre: string, more: object = {}) => ({
    'pre.hook.backup.velero.io/container': 'db',
    'pre.hook.backup.velero.io/command': pre,
    ...more,
  });
  const of = (image: string, annotations: object) =>
    said(database({ image, annotations, labels: {}, container: { env: [] } })).filter((code) =>
      code.startsWith('HOOK'),
    );
  const shell = (line: string) => JSON.stringify(['/bin/sh', '-c', line]);

  it.each([
    ['mysql:8', shell('mysql -e "FLUSH TABLES WITH READ LOCK"')],
    ['mariadb:11', shell('mariadb -e "BACKUP STAGE START; BACKUP STAGE BLOCK_COMMIT"')],
    ['mysql:8', shell('mysql -e "LOCK INSTANCE FOR BACKUP"')],
    ['postgres:17', shell('psql -U postgres -c "SELECT pg_backup_start(\'velero\')"')],
    ['postgres:13', shell('psql -c "SELECT pg_start_backup(\'velero\', true, false)"')],
    ['mongo:7', JSON.stringify(['mongosh', '--eval', 'db.fsyncLock()'])],
    ['redis:7', shell('redis-cli BGSAVE')],
  ])('says what a lock in %s is worth: %s', (image, command) => {
    expect(of(image, hooks(command))).toEqual(['HOOK_LOCK_LOST']);
  });

  it.each([
    ['mysql:8', shell('mysqldump --all-databases > /dump/all.sql')],
    ['mysql:8', shell('(echo "FLUSH TABLES WITH READ LOCK;"; sleep 600) | mysql & sleep 1')],
    ['mysql:8', shell('mysql -e "FLUSH TABLES WITH READ LOCK; SYSTEM sync; UNLOCK TABLES"')],
    ['postgres:17', shell('psql -c CHECKPOINT')],
    ['redis:7', shell('redis-cli SAVE')],
  ])('is silent for a hook of %s that takes none, or keeps its session: %s', (image, command) => {
    expect(of(image, hooks(command))).toEqual([]);
  });

  it('reads timeouts and commands as Velero does, with and without the sidecar', () => {
    const dump = shell('dump');
    for (const labels of [{}, { 'quiesce.dev/inject': 'true' }]) {
      const found = (annotations: object) =>
        said(database({ annotations, labels })).filter((code) =>
          /^HOOK_(?:TIMEOUT|COMMAND)/.test(code),
        );
      expect(found(hooks(dump, { 'pre.hook.backup.velero.io/timeout': '300' }))).toEqual([
        'HOOK_TIMEOUT_UNREADABLE',
      ]);
      expect(found(hooks(dump, { 'pre.hook.backup.velero.io/timeout': '300s' }))).toEqual([]);
      expect(found(hooks('/bin/sh -c "dump all"'))).toEqual(['HOOK_COMMAND_UNREADABLE']);
      expect(found(hooks("['/bin/sh', '-c', 'dump']"))).toEqual(['HOOK_COMMAND_UNREADABLE']);
      expect(found(hooks('/scripts/freeze.sh'))).toEqual([]);
    }
  });

  it('sees the hooks of a Schedule, where no annotation replaces them', () => {
    const resources = [
      {
        name: 'lock',
        pre: [
          {
            exec: {
              container: 'db',
              command: ['sh', '-c', 'mysql -e "FLUSH TABLES WITH READ LOCK"'],
            },
          },
        ],
      },
    ];
    const mysql = database({ image: 'mysql:8', labels: {}, container: { env: [] } });
    const findings = findingsOf([mysql, velero(), schedule({ hooks: { resources } })], {
      scope: 'set',
    });
    expect(findings.find(({ code }) => code === 'HOOK_LOCK_LOST')?.message).toMatch(
      /pre\[0\] of lock .*nightly/,
    );
  });
});

describe('of data and logins, the doctor', () => {
  const redis = (container: object, labels: object = { 'quiesce.dev/inject': 'true' }) =>
    database({
      image: 'redis:7',
      labels,
      container: { env: [], volumeMounts: [{ name: 'data', mountPath: '/data' }], ...container },
    });

  it.each([
    ['postgres:18', '/var/lib/postgresql/data', true],
    ['postgres:18-alpine', '/var/lib/postgresql', false],
    ['postgis/postgis:18-3.6', '/var/lib/postgresql/data', true],
    ['pgvector/pgvector:pg18', '/var/lib/postgresql/data', true],
    ['pgvector/pgvector:0.8.0-pg17', '/var/lib/postgresql/data', false],
    ['postgres:17', '/var/lib/postgresql', false],
    ['postgres:17', '/data', true],
    ['registry.example/team/postgres:17', '/data', false],
    ['mongo:7', '/var/lib/mongo', true],
    ['mongo:7', '/data/db', false],
  ])('knows whether the data of %s is on a volume at %s', (image, mountPath, lost) => {
    const container = {
      env: image.startsWith('mongo') ? [] : [password],
      volumeMounts: [{ name: 'data', mountPath }],
    };
    expect(said(database({ image, container })).includes('DATA_NOT_ON_VOLUME')).toBe(lost);
    const own = { env: [...container.env, { name: 'PGDATA', value: `${mountPath}/mine` }] };
    if (image.startsWith('postgres')) {
      expect(said(database({ image, container: { ...container, ...own } }))).not.toContain(
        'DATA_NOT_ON_VOLUME',
      );
    }
  });

  it('says that an unlabelled database is on an emptyDir, unless its owner has decided', () => {
    const volumes = [{ name: 'data', emptyDir: {} }];
    const of = (labels: object, image = 'postgres:17') =>
      findingsOf([
        {
          ...(database({ labels, image, spec: { volumes } }) as { spec: object }),
          kind: 'Deployment',
          spec: {
            template: (
              database({ labels, image, spec: { volumes } }) as { spec: { template: object } }
            ).spec.template,
          },
        },
      ]);
    expect(of({})).toMatchObject([{ code: 'DATA_EPHEMERAL', severity: 'warning' }]);
    expect(of({ 'quiesce.dev/inject': 'false' })).toEqual([]);
  });

  it('says that a password has a name that nobody knows, or is nowhere', () => {
    const secret = { valueFrom: { secretKeyRef: { name: 's', key: 'p' } } };
    expect(said(redis({ env: [{ name: 'CACHE_PASS', ...secret }] }))).toEqual([
      'CREDENTIALS_UNKNOWN',
    ]);
    expect(said(redis({ env: [{ name: 'AUTH', ...secret }] }))).not.toContain(
      'CREDENTIALS_UNKNOWN',
    );
    expect(said(redis({ args: ['--aclfile', '/etc/users.acl'] }))).toEqual(['CREDENTIALS_UNKNOWN']);
    const mongo = (args: readonly string[]) =>
      said(
        database({
          image: 'mongo:7',
          container: { env: [], args, volumeMounts: [{ name: 'data', mountPath: '/data/db' }] },
        }),
      );
    expect(mongo(['--auth'])).toEqual(['CREDENTIALS_UNKNOWN']);
    expect(mongo([])).toEqual([]);
    expect(said(redis({}))).toEqual([]);
    const trust = [{ name: 'POSTGRES_HOST_AUTH_METHOD', value: 'trust' }];
    expect(said(database({ container: { env: trust } }))).toEqual([]);
    expect(
      said(
        database({
          image: 'quay.io/sclorg/postgresql-15-c9s',
          container: {
            env: [],
            volumeMounts: [{ name: 'data', mountPath: '/var/lib/pgsql/data' }],
          },
        }),
      ),
    ).toEqual(['CREDENTIALS_UNKNOWN']);
  });

  it('says that a server saves nothing, and is silent if it has a file', () => {
    for (const args of [
      ['--save', '', '--appendonly', 'no'],
      ['--save ""'],
      ['redis-server', '--save', ''],
    ]) {
      expect(said(redis({ args }))).toEqual(['NOTHING_SAVED']);
    }
    for (const args of [['--save', '', '--appendonly', 'yes'], ['--save', '60', '1'], []]) {
      expect(said(redis({ args }))).toEqual([]);
    }
  });

  it('advises no method that the engine refuses, for volumes of logs and dumps', () => {
    const container = {
      env: [],
      volumeMounts: [
        { name: 'data', mountPath: '/data/db' },
        { name: 'logs-volume', mountPath: '/var/log/mongodb' },
        { name: 'dumps', mountPath: '/dumps' },
      ],
    };
    const annotations = { 'backup.velero.io/backup-volumes': 'dumps' };
    expect(
      said(database({ image: 'mongo:7', container, annotations }), velero(), schedule()),
    ).toEqual([]);
    const wal = {
      volumeMounts: [
        { name: 'data', mountPath: '/var/lib/postgresql/data' },
        { name: 'wal-logs', mountPath: '/pg_wal' },
      ],
    };
    expect(said(database({ container: wal }))).toEqual(['COPY_SEVERAL_VOLUMES']);
  });

  it.each([
    ['external-secrets.io/v1', 'ExternalSecret', { target: { name: 'creds' } }],
    ['bitnami.com/v1alpha1', 'SealedSecret', {}],
    [
      'secrets.hashicorp.com/v1beta1',
      'VaultStaticSecret',
      { destination: { name: 'creds', create: true } },
    ],
    ['isindir.github.com/v1alpha3', 'SopsSecret', { secretTemplates: [{ name: 'creds' }] }],
    ['example.dev/v1', 'PasswordMaker', { into: 'creds' }],
    ['kustomize.config.k8s.io/v1beta1', 'Kustomization', {}],
  ])('knows that a Secret comes from a %s %s', (apiVersion, kind, spec) => {
    const annotations = { 'quiesce.dev/credentials-secret': 'creds' };
    const maker = {
      apiVersion,
      kind,
      metadata: { name: kind === 'SealedSecret' ? 'creds' : 'x', namespace: 'shop' },
      spec,
      ...(kind === 'Kustomization' ? { secretGenerator: [{ name: 'creds' }] } : {}),
    };
    expect(said(database({ annotations }), maker)).not.toContain('SECRET_MISSING');
    expect(said(database({ annotations }))).toContain('SECRET_MISSING');
  });
});

describe('of what is not a plain workload, the doctor', () => {
  it.each([
    ['apps.openshift.io/v1', 'DeploymentConfig'],
    ['apps.kruise.io/v1beta1', 'StatefulSet'],
    ['argoproj.io/v1alpha1', 'Rollout'],
  ])('finds the database in a %s %s', (apiVersion, kind) => {
    expect(said(database({ apiVersion, kind, labels: {} }))).toEqual(['UNPROTECTED']);
  });

  it('knows databases of other engines in Deployments', () => {
    const volumes = [{ name: 'data', persistentVolumeClaim: { claimName: 'c' } }];
    const of = (image: string) => {
      const { spec } = database({
        image,
        labels: {},
        container: { env: [], volumeMounts: [{ name: 'data', mountPath: '/usr/share/data' }] },
        spec: { volumes },
      }) as { spec: { template: object } };
      return findingsOf([
        {
          apiVersion: 'apps/v1',
          kind: 'Deployment',
          metadata: { name: 'x', namespace: 'shop' },
          spec: { template: spec.template },
        },
      ]);
    };
    expect(of('elasticsearch:8.14')[0]).toMatchObject({ code: 'ENGINE_UNKNOWN', severity: 'info' });
    expect(of('elasticsearch:8.14')[0]?.message).toContain('elasticsearch');
    expect(of('nginx:1.27')).toEqual([]);
    expect(of('haproxy:3')).toEqual([]);
  });

  it('names databases of operators among manifests, and says that it is not complete', () => {
    const cluster = (spec: object) => ({
      apiVersion: 'postgresql.cnpg.io/v1',
      kind: 'Cluster',
      metadata: { name: 'pg', namespace: 'shop' },
      spec,
    });
    const plain = examine(inventory([cluster({ instances: 3 })]));
    expect(plain.findings).toMatchObject([{ code: 'OPERATOR_RESOURCE', severity: 'warning' }]);
    expect(diagnose(plain, { source: '', scope: 'part', unexamined: [] }).complete).toBe(false);
    const labelled = examine(
      inventory([
        cluster({ instances: 3, inheritedMetadata: { labels: { 'quiesce.dev/inject': 'true' } } }),
      ]),
    );
    expect(labelled.findings).toMatchObject([{ code: 'OPERATOR_RESOURCE', severity: 'info' }]);
    expect(diagnose(labelled, { source: '', scope: 'part', unexamined: [] }).complete).toBe(true);
    const search = {
      apiVersion: 'opensearch.org/v1',
      kind: 'OpenSearchCluster',
      metadata: { name: 's', namespace: 'shop' },
      spec: {},
    };
    expect(findingsOf([search])).toMatchObject([{ code: 'OPERATOR_RESOURCE', severity: 'info' }]);
    const pod = {
      ...database(),
      kind: 'Pod',
      apiVersion: 'v1',
      metadata: {
        name: 'pg-1',
        namespace: 'shop',
        labels: { 'quiesce.dev/inject': 'false' },
        ownerReferences: [
          {
            apiVersion: 'postgresql.cnpg.io/v1',
            kind: 'Cluster',
            name: 'pg',
            uid: 'u',
            controller: true,
          },
        ],
      },
      spec: { containers: [{ name: 'postgres', image: 'postgres:17' }] },
    };
    expect(findingsOf([cluster({ instances: 3 }), pod])).toEqual([]);
  });

  it('tells a pod that was refused from one that waits for its node', () => {
    const event = (message: string, name = 'db') => ({
      apiVersion: 'v1',
      kind: 'Event',
      metadata: { name: 'e', namespace: 'shop' },
      reason: 'FailedCreate',
      involvedObject: { kind: 'StatefulSet', name },
      message,
    });
    const refused =
      'create Pod db-0 in StatefulSet db failed error: admission webhook "validate.kyverno.svc-fail" denied the request: limits are required';
    expect(said(database(), event(refused))).toEqual(['POD_REFUSED']);
    expect(said(database(), event(refused, 'other'))).toEqual([]);
    expect(said(database(), event('create Pod db-0 failed error: timeout'))).toEqual([]);
    expect(said(database({ labels: { 'quiesce.dev/inject': 'false' } }), event(refused))).toEqual(
      [],
    );
  });

  it('examines a folder with templates, encrypted and broken files, and says in one line what it left out', async () => {
    const path = await makeTempDir('doctor-');
    const write = (name: string, text: string): void => {
      mkdirSync(join(path, name, '..'), { recursive: true });
      writeFileSync(join(path, name), text);
    };
    write('db.yaml', JSON.stringify(database({ labels: {} })));
    write('chart/templates/a.yaml', '{{- if .Values.a }}\nkind: X\n{{- end }}\n');
    write('chart/templates/b.yaml', 'a: {{ .Values.b | nindent 4 }}\n  {{ range }}\n');
    write('chart/values.yaml', 'a: 1\n');
    write(
      'secret.enc.yaml',
      'apiVersion: v1\nkind: Secret\nmetadata:\n  name: s\ndata:\n  a: ENC[AES256_GCM,data:x]\nsops:\n  mac: ENC[AES256_GCM,data:x]\n',
    );
    const templates = examine(await load([path]));
    expect(codes(templates.findings)).toEqual(['NOT_LOOKED_AT', 'UNPROTECTED']);
    expect(templates.findings.filter(({ code }) => code === 'NOT_LOOKED_AT')).toMatchObject([
      { severity: 'info' },
    ]);
    write('broken.yaml', 'a: [1\nb: }\n');
    const broken = examine(await load([path])).findings.filter(
      ({ code }) => code === 'NOT_LOOKED_AT',
    );
    expect(broken.map(({ severity }) => severity).toSorted()).toEqual(['info', 'warning']);
    await expect(load([join(path, 'broken.yaml')])).rejects.toThrow(/is not YAML/);
  });
});
