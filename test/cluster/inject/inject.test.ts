import { describe, expect, it } from 'vitest';
import { inject, type Injection } from '../../../src/cluster/inject/inject.ts';
import type { Container, Pod } from '../../../src/cluster/objects/pod.ts';
import { CONFIG, postgresPod } from '../../support/pods.ts';

function injected(pod: Pod, config = CONFIG) {
  const result = inject(pod, config);
  if (result.outcome !== 'injected') throw new Error(JSON.stringify(result));
  return result;
}

function sidecarOf(pod: Pod, config = CONFIG): Container {
  const found = injected(pod, config).pod.spec?.containers?.find(({ name }) => name === 'quiesce');
  if (!found) throw new Error('no sidecar');
  return found;
}

const envOf = (container: Container): Record<string, string | undefined> =>
  Object.fromEntries((container.env ?? []).map(({ name, value }) => [name, value]));

const annotationsOf = (pod: Pod) => injected(pod).pod.metadata?.annotations ?? {};
const codes = (result: Injection) =>
  result.outcome === 'injected' ? result.notices.map(({ code }) => code) : [];

describe('the decision to inject', () => {
  it('a pod that has not opted in is skipped', () => {
    for (const value of ['false', 'True', '']) {
      const result = inject(postgresPod({ labels: { 'quiesce.dev/inject': value } }), CONFIG);
      expect(result).toMatchObject({ outcome: 'skipped', code: 'NotOptedIn' });
    }
  });

  it('a pod of a Job, or any that runs to completion, is skipped', () => {
    const job = { apiVersion: 'batch/v1', kind: 'Job', name: 'initdb', uid: '1', controller: true };
    const pod = postgresPod({});
    const owned = { ...pod, metadata: { ...pod.metadata, ownerReferences: [job] } };
    expect(inject(owned, CONFIG)).toMatchObject({ outcome: 'skipped', code: 'RunsToCompletion' });
    for (const restartPolicy of ['Never', 'OnFailure']) {
      const result = inject({ ...pod, spec: { ...pod.spec, restartPolicy } }, CONFIG);
      expect(result).toMatchObject({ outcome: 'skipped', code: 'RunsToCompletion' });
    }
  });

  it('a pod with an init container podWith quiesce is skipped, since Velero runs no hooks in it', () => {
    const pod = postgresPod({
      spec: { initContainers: [{ name: 'quiesce', restartPolicy: 'Always' }] },
    });
    expect(inject(pod, CONFIG)).toMatchObject({ outcome: 'skipped', code: 'NameTaken' });
  });

  it('a pod whose application is podWith quiesce is skipped, but an older sidecar is updated', () => {
    const [database] = postgresPod({}).spec?.containers ?? [];
    const own = { name: 'quiesce', image: 'acme/quiesce-ui:3', command: ['/ui'] };
    const pod = postgresPod({ spec: { containers: [own, database] } });
    expect(inject(pod, CONFIG)).toMatchObject({ outcome: 'skipped', code: 'NameTaken' });
    const older = { name: 'quiesce', image: 'mirror.example/backup/q:0.9', args: ['sidecar'] };
    const before = postgresPod({ spec: { containers: [database, older] } });
    expect(sidecarOf(before).image).toBe(CONFIG.image);
  });

  it.each([
    ['quiesce.dev/engine', 'oracle', /postgres, redis, mongodb/],
    ['quiesce.dev/container', 'nobody', /is not the name of a container of this pod \(postgres\)/],
    ['quiesce.dev/copy', 'clone', /snapshot, volumes, files/],
    ['quiesce.dev/ttl', '10', /unit/],
    ['quiesce.dev/ttl', '25h', /24h/],
    ['quiesce.dev/hook-timeout', '1s', /2s/],
    ['quiesce.dev/hook-timeout', '', /empty/],
    ['quiesce.dev/credentials-secret', 'Not_A_Name', /Secret/],
    ['quiesce.dev/restore-scan', '60', /unit, such as .*, or full/],
    ['quiesce.dev/restore-scan', '0s', /longer than zero, or full/],
    ['quiesce.dev/hook-timeuot', '30s', /not an annotation/],
    ['quiesce.dev/restore-check', 'deep', /position, content/],
    ['quiesce.dev/restore-requires-receipt', 'yes', /true, false/],
    ['quiesce.dev/restore-requires-receipts', 'true', /did you mean/],
  ])('an invalid annotation is reported by name: %s=%s', (key, value, message) => {
    const result = inject(postgresPod({ annotations: { [key]: value } }), CONFIG);
    if (result.outcome !== 'invalid') throw new Error(JSON.stringify(result));
    expect(result.issues).toHaveLength(1);
    expect(result.issues[0]?.field).toBe(key);
    expect(result.issues[0]?.message).toMatch(message);
  });

  it('all invalid annotations are reported at once', () => {
    const annotations = {
      'quiesce.dev/engine': 'x',
      'quiesce.dev/copy': 'y',
      'quiesce.dev/ttl': 'z',
    };
    const result = inject(postgresPod({ annotations }), CONFIG);
    expect(result.outcome === 'invalid' && result.issues.map(({ field }) => field)).toEqual([
      'quiesce.dev/engine',
      'quiesce.dev/copy',
      'quiesce.dev/ttl',
    ]);
  });

  it('an alias is not read if its prefixed name is present, and is never written', () => {
    const annotations = { 'quiesce.dev/order': '1', 'backup.dependency.order': 'nonsense' };
    expect(annotationsOf(postgresPod({ annotations }))['backup.dependency.order']).toBe('nonsense');
    expect(annotationsOf(postgresPod({}))).not.toHaveProperty('backup.dependency.order');
  });
});

describe('the database of a pod', () => {
  const podWith = (image: string, more: object = {}): Pod =>
    postgresPod({ container: { image, ports: [], ...more } });

  it.each([
    ['postgres:17', 'postgres'],
    ['registry:5000/library/postgres@sha256:00', 'postgres'],
    ['ghcr.io/cloudnative-pg/postgresql:17.4', 'postgres'],
    ['ghcr.io/zalando/spilo-16:3.3-p1', 'postgres'],
    ['postgis/postgis:16-3.4', 'postgres'],
    ['timescale/timescaledb-ha:pg16', 'postgres'],
    ['registry.developers.crunchydata.com/crunchydata/crunchy-postgres:ubi8-16.4', 'postgres'],
    ['percona/percona-postgresql-operator:2.4.1-ppg16.3-postgres', 'postgres'],
    ['redis:7', 'redis'],
    ['redis/redis-stack-server:7.4.0-v1', 'redis'],
    ['docker.io/bitnami/redis-cluster:7.2', 'redis'],
    ['valkey/valkey:8.1', 'redis'],
    ['mongo', 'mongodb'],
    ['mongodb/mongodb-community-server:7.0-ubi8', 'mongodb'],
    ['percona/percona-server-mongodb:7.0', 'mongodb'],
  ])(
    '%s is recognised as %s by its image, and the pod is annotated with the guess',
    (image, engine) => {
      const result = injected(podWith(image));
      expect(result.pod.metadata?.annotations).toMatchObject({
        'quiesce.dev/engine': engine,
        'quiesce.dev/container': 'postgres',
      });
      expect(envOf(sidecarOf(podWith(image)))['QUIESCE_ENGINE']).toBe(engine);
    },
  );

  it('is recognised by its port if the image is unknown', () => {
    const pod = podWith('registry.example/team/database:1', { ports: [{ containerPort: 27017 }] });
    expect(annotationsOf(pod)['quiesce.dev/engine']).toBe('mongodb');
  });

  it.each([
    'prometheuscommunity/postgres-exporter:v0.16.0',
    'edoburu/pgbouncer:1.23',
    'percona/percona-postgresql-operator:2.4.1-ppg16.3-pgbouncer1.22.1',
    'bitnami/redis-sentinel:7.2',
  ])('is never %s', (image) => {
    expect(inject(podWith(image, { name: 'helper' }), CONFIG)).toMatchObject({
      outcome: 'invalid',
      issues: [{ field: 'quiesce.dev/engine' }],
    });
  });

  it('is never an application that only has a client’s settings', () => {
    const volumeMounts = [{ name: 'data', mountPath: '/data' }];
    const pod = podWith('registry.example/app:1', { name: 'app', volumeMounts });
    expect(inject(pod, CONFIG)).toMatchObject({ issues: [{ field: 'quiesce.dev/engine' }] });
  });

  it('is not guessed if two containers look alike', () => {
    const [one] = postgresPod({}).spec?.containers ?? [];
    const containers = [one, { ...one, name: 'other' }];
    const pod = postgresPod({ spec: { containers } });
    expect(inject(pod, CONFIG)).toMatchObject({
      outcome: 'invalid',
      issues: [{ field: 'quiesce.dev/container' }],
    });
    const chosen = postgresPod({
      spec: { containers },
      annotations: { 'quiesce.dev/container': 'other' },
    });
    expect(annotationsOf(chosen)['kubectl.kubernetes.io/default-container']).toBe('other');
  });

  it('is never a MongoDB router', () => {
    const pod = podWith('percona/percona-server-mongodb:7.0', { args: ['mongos', '--configdb=x'] });
    expect(inject(pod, CONFIG)).toMatchObject({ outcome: 'invalid' });
  });
});

describe('the added sidecar', () => {
  it('runs with the restricted security context, as the database’s user', () => {
    const cases = [
      [{ securityContext: { runAsUser: 1234 } }, {}, 1234],
      [{}, { securityContext: { runAsUser: 5678 } }, 5678],
      [{ securityContext: { runAsUser: 0 } }, {}, 999],
      [{ image: 'postgres:16-alpine' }, {}, 70],
      [{ image: 'bitnami/postgresql:16' }, {}, 1001],
    ] as const;
    for (const [container, spec, uid] of cases) {
      expect(sidecarOf(postgresPod({ container, spec })).securityContext).toMatchObject({
        runAsUser: uid,
        runAsNonRoot: true,
        readOnlyRootFilesystem: true,
        allowPrivilegeEscalation: false,
        capabilities: { drop: ['ALL'] },
        seccompProfile: { type: 'RuntimeDefault' },
      });
    }
  });

  it('has no user if the database’s user is unknown, and a notice says so', () => {
    const pod = postgresPod({
      container: { image: 'registry.example/db:1', ports: [{ containerPort: 27017 }] },
    });
    expect(codes(inject(pod, CONFIG))).toContain('UserUnknown');
    expect(sidecarOf(pod).securityContext).not.toHaveProperty('runAsUser');
  });

  it('uses a podWith Secret instead of the database’s credentials, and starts without it as well', () => {
    const pod = postgresPod({ annotations: { 'quiesce.dev/credentials-secret': 'backup' } });
    const { env = [], envFrom = [] } = sidecarOf(pod);
    expect(envFrom).toEqual([{ secretRef: { name: 'backup', optional: true } }]);
    expect(env.find(({ name }) => name === 'PGPASSWORD')?.valueFrom).toEqual({
      secretKeyRef: { name: 'backup', key: 'password', optional: true },
    });
    expect(JSON.stringify(env)).not.toContain('"name":"db"');
  });

  it('gets every variable that a value refers to, in an order in which they resolve', () => {
    const env = [
      { name: 'PREFIX', value: 'a' },
      { name: 'SECRET_NAME', value: '$(PREFIX)-b' },
      { name: 'UNUSED', value: 'x' },
      { name: 'POSTGRES_USER', value: '$(SECRET_NAME)' },
      { name: 'POSTGRES_PASSWORD', valueFrom: { secretKeyRef: { name: 'db', key: 'p' } } },
    ];
    const names = sidecarOf(postgresPod({ container: { env } })).env?.map(({ name }) => name) ?? [];
    expect(names).not.toContain('UNUSED');
    const order = ['PREFIX', 'SECRET_NAME', 'PGUSER'].map((name) => names.indexOf(name));
    expect(order).toEqual(order.toSorted((a, b) => a - b));
    expect(order).not.toContain(-1);
  });

  it('is built even if variables refer to each other in a circle', () => {
    const env = [
      { name: 'A', value: '$(B)' },
      { name: 'B', value: '$(A)' },
      { name: 'POSTGRES_USER', value: '$(A)' },
    ];
    expect(sidecarOf(postgresPod({ container: { env } }))).toBeDefined();
  });

  it('gets no API token, and no mount that hides its own files', () => {
    const volumeMounts = [
      { name: 'data', mountPath: '/var/lib/postgresql/data' },
      { name: 'token', mountPath: '/var/run/secrets/kubernetes.io/serviceaccount' },
      { name: 'aws', mountPath: '/var/run/secrets/eks.amazonaws.com/serviceaccount' },
      { name: 'tools', mountPath: '/usr/' },
    ];
    const projected = { sources: [{ serviceAccountToken: { path: 'token' } }] };
    const volumes = ['token', 'aws'].map((name) => ({ name, projected }));
    const pod = postgresPod({ container: { volumeMounts }, spec: { volumes } });
    const mounts = sidecarOf(pod).volumeMounts ?? [];
    expect(mounts.map(({ name }) => name)).toEqual([
      'data',
      'quiesce-run',
      'quiesce-state',
      'quiesce-run',
    ]);
  });

  it('avoids ports in use, and does not listen on the node’s loopback', () => {
    const ports = [{ containerPort: 5432 }, { containerPort: 9095 }, { containerPort: 8095 }];
    const env = envOf(sidecarOf(postgresPod({ container: { ports } })));
    expect(env).toMatchObject({
      QUIESCE_METRICS_ADDR: '0.0.0.0:9096',
      QUIESCE_CONTROL_ADDR: '127.0.0.1:8096',
    });
    expect(envOf(sidecarOf(postgresPod({ spec: { hostNetwork: true } })))).toMatchObject({
      QUIESCE_CONTROL_ADDR: 'off',
    });
  });

  it('writes to the server’s folder if the root folder of the volume belongs to root', () => {
    const env = [{ name: 'PGDATA', value: '/var/lib/postgresql/data/pgdata' }];
    const dataDir = (spec: object): string | undefined =>
      envOf(sidecarOf(postgresPod({ container: { env }, spec })))['QUIESCE_DATA_DIR'];
    expect(dataDir({ securityContext: {} })).toBe('/var/lib/postgresql/data/pgdata');
    expect(dataDir({ securityContext: { fsGroup: 999 } })).toBe('/var/lib/postgresql/data');
    expect(dataDir({ securityContext: { runAsUser: 999 } })).toBe('/var/lib/postgresql/data');
  });

  it('reports missing, ephemeral and host data', () => {
    const nowhere = postgresPod({ container: { volumeMounts: [] } });
    expect(codes(inject(nowhere, CONFIG))).toEqual(['DataNotOnVolume']);
    const other = { image: 'registry.example/team/postgres:17', volumeMounts: [] };
    expect(codes(inject(postgresPod({ container: other }), CONFIG))).toEqual(['DataNotFound']);
    const ephemeral = postgresPod({ spec: { volumes: [{ name: 'data', emptyDir: {} }] } });
    expect(codes(inject(ephemeral, CONFIG))).toEqual(['DataEphemeral']);
    const onHost = postgresPod({
      spec: { volumes: [{ name: 'data', hostPath: { path: '/srv' } }] },
    });
    expect(codes(inject(onHost, CONFIG))).toEqual(['DataOnHost']);
  });

  it('reports a lease that may end before its thaw', () => {
    const ttl = { 'quiesce.dev/ttl': '1m' };
    expect(codes(inject(postgresPod({ annotations: ttl }), CONFIG))).toEqual([]);
    const annotations = { ...ttl, 'quiesce.dev/hook-timeout': '5m' };
    expect(codes(inject(postgresPod({ annotations }), CONFIG))).toEqual(['TtlTooShort']);
  });
});

describe('the copy method', () => {
  const files = { 'backup.velero.io/backup-volumes': 'other, data' };

  it('is files if Velero copies the data file by file', () => {
    const result = injected(postgresPod({ annotations: files }));
    expect(result.pod.metadata?.annotations?.['quiesce.dev/copy']).toBe('files');
    expect(codes(result)).toEqual(['CopyFiles']);
  });

  it('is the user’s choice, and a contradiction is reported', () => {
    const annotations = { ...files, 'quiesce.dev/copy': 'snapshot' };
    expect(envOf(sidecarOf(postgresPod({ annotations })))['QUIESCE_COPY']).toBe('snapshot');
    expect(codes(inject(postgresPod({ annotations }), CONFIG))).toEqual(['CopyContradicts']);
  });
});

describe('a restored pod', () => {
  const initNames = (pod: Pod) => pod.spec?.initContainers?.map(({ name }) => name);
  const labels = { 'velero.io/restore-name': 'r1' };

  it('gets the check and the requirement that its annotations ask for', () => {
    const checkOf = (annotations: Record<string, string>, config = CONFIG): unknown => {
      const result = inject(postgresPod({ labels, annotations }), config);
      if (result.outcome !== 'injected') throw new Error(JSON.stringify(result));
      const [init] = result.pod.spec?.initContainers ?? [];
      const sidecar = result.pod.spec?.containers?.find(({ name }) => name === 'quiesce');
      const check = sidecar?.env?.find(({ name }) => name === 'QUIESCE_RESTORE_CHECK')?.value;
      return [check, init?.args?.includes('--require-receipt')];
    };
    const CHECK = 'quiesce.dev/restore-check';
    const REQUIRES = 'quiesce.dev/restore-requires-receipt';
    expect(checkOf({})).toEqual([undefined, false]);
    expect(checkOf({ [CHECK]: 'content', [REQUIRES]: 'true' })).toEqual(['content', true]);
    expect(checkOf({ [REQUIRES]: 'false' })).toEqual([undefined, false]);
    const content = { ...CONFIG, restoreCheck: 'content' } as const;
    expect(checkOf({}, content)).toEqual(['content', false]);
    expect(checkOf({ [CHECK]: 'position' }, content)).toEqual([undefined, false]);
  });

  it('gets an init container that prepares the copy, after Velero’s init container', () => {
    const initContainers = [{ name: 'restore-wait', image: 'velero' }];
    const { pod } = injected(postgresPod({ labels, spec: { initContainers } }));
    expect(pod.spec?.initContainers?.map(({ name }) => name)).toEqual([
      'restore-wait',
      'quiesce-prepare-restore',
    ]);
    expect(pod.spec?.initContainers?.[1]).toMatchObject({
      args: [
        'prepare-restore',
        '--data',
        '/var/lib/postgresql/data',
        '--restore-mark',
        '$(QUIESCE_RESTORE_MARK)',
      ],
      securityContext: { runAsUser: 999 },
    });
  });

  it('passes on how long the pages of its copy are looked at', () => {
    for (const value of ['5m', 'full']) {
      const annotations = { 'quiesce.dev/restore-scan': value };
      const { pod } = injected(postgresPod({ labels, annotations }));
      const init = pod.spec?.initContainers?.at(-1);
      expect(init?.env).toContainEqual({ name: 'QUIESCE_RESTORE_SCAN', value });
    }
  });

  it('is the only kind of pod that gets this init container', () => {
    expect(injected(postgresPod({})).pod.spec).not.toHaveProperty('initContainers');
  });

  it('is also one whose annotation names the restore, for volumes that Velero did not bring back', () => {
    const annotations = { 'quiesce.dev/restore-name': 'monday-2' };
    const result = injected(postgresPod({ annotations }));
    expect(initNames(result.pod)).toEqual(['quiesce-prepare-restore']);
    expect(injected(result.pod).patch).toEqual([]);
    for (const bad of ['', 'two words', 'a,b', '-x', 'x'.repeat(129)]) {
      const pod = postgresPod({ annotations: { 'quiesce.dev/restore-name': bad } });
      expect(inject(pod, CONFIG)).toMatchObject({
        outcome: 'invalid',
        issues: [{ field: 'quiesce.dev/restore-name' }],
      });
    }
  });

  it('or any pod, if the operator asks for it, since it changes nothing on a live volume', () => {
    const { pod } = injected(postgresPod({}), { ...CONFIG, prepareRestore: true });
    expect(initNames(pod)).toEqual(['quiesce-prepare-restore']);
    // Without the flag it stays.
    expect(injected(pod).patch).toEqual([]);
  });

  it('tells sidecar and init container which restores made it, each time they start', () => {
    const { pod } = injected(postgresPod({ labels }));
    for (const container of [pod.spec?.initContainers?.at(-1), pod.spec?.containers?.at(-1)]) {
      const env = container?.env ?? [];
      const at = env.findIndex(({ name }) => name === 'QUIESCE_RESTORE_MARK');
      // The kubelet resolves a reference only to a variable earlier in the list.
      const earlier = env.slice(0, at).filter(({ valueFrom }) => valueFrom?.['fieldRef']);
      const paths = earlier.map(({ name, valueFrom }) => [name, valueFrom?.['fieldRef']]);
      expect(Object.fromEntries(paths)).toEqual({
        VELERO_RESTORE_NAME: { fieldPath: "metadata.labels['velero.io/restore-name']" },
        POD_RESTORE_NAME: { fieldPath: "metadata.annotations['quiesce.dev/restore-name']" },
      });
      expect(env[at]?.value).toBe('$(VELERO_RESTORE_NAME),$(POD_RESTORE_NAME)');
    }
  });

  it('that had a sidecar when it was backed up gets only the init container', () => {
    const { pod } = injected(postgresPod({}));
    const restored = {
      ...pod,
      metadata: { ...pod.metadata, labels: { ...pod.metadata?.labels, ...labels } },
    };
    const { patch } = injected(restored);
    expect(patch.map(({ op, path }) => `${op} ${path}`)).toEqual(['add /spec/initContainers']);
    expect(injected(injected(restored).pod).patch).toEqual([]);
  });
});
