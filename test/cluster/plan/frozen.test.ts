import { describe, expect, it } from 'vitest';
import type { KubeObject } from '../../../src/cluster/objects/kube-object.ts';
import { describePlan } from '../../../src/cluster/plan/describe.ts';
import { CLUSTER, codes, member, object, plan, running } from './support.ts';

const DIR = '/var/lib/postgresql/data';
const DATA = { name: 'data', mountPath: DIR };
const JOB = { apiVersion: 'batch/v1', kind: 'Job', name: 'import' };

interface Shape {
  readonly volumes?: readonly object[];
  readonly mounts?: readonly object[];
  readonly containers?: readonly object[];
  readonly annotations?: Readonly<Record<string, string>>;
  readonly templates?: readonly string[];
  readonly replicas?: number;
  readonly sidecarEnv?: readonly object[];
}

function spec({ volumes = [], mounts = [DATA], containers = [], sidecarEnv = [] }: Shape) {
  const env = [{ name: 'PGDATA', value: `${DIR}/pgdata` }];
  const sidecar = {
    name: 'quiesce',
    image: 'quiesce:1',
    args: ['sidecar'],
    env: [{ name: 'QUIESCE_DATA_DIR', value: DIR }, ...sidecarEnv],
    volumeMounts: mounts,
  };
  const database = { name: 'postgres', image: 'postgres:17', env, volumeMounts: mounts };
  return { containers: [database, ...containers, sidecar], volumes };
}

/** A StatefulSet in a cluster; its pods are objects of their own. */
function db(shape: Shape = {}): KubeObject {
  const { annotations = {}, templates = ['data'], replicas = 1 } = shape;
  return {
    apiVersion: 'apps/v1',
    kind: 'StatefulSet',
    metadata: { name: 'db', namespace: 'shop', uid: 'db', annotations },
    spec: {
      replicas,
      template: { metadata: { labels: { app: 'db' } }, spec: spec(shape) },
      volumeClaimTemplates: templates.map((name) => ({ metadata: { name } })),
    },
  };
}

function pod(name: string, shape: Shape = {}, metadata: object = {}): KubeObject {
  const { templates = ['data'], volumes = [] } = shape;
  const claimed = templates.map((one) => volume(one, `${one}-${name}`));
  const base = running(`Pod/${name}`, 'StatefulSet/db');
  return {
    ...base,
    metadata: { ...base.metadata, ...metadata },
    spec: spec({ ...shape, volumes: [...volumes, ...claimed] }),
  };
}

const volume = (name: string, claimName: string) => ({
  name,
  persistentVolumeClaim: { claimName },
});

function claim(name: string, labels: Readonly<Record<string, string>> = {}): KubeObject {
  const made = object('v1', `PersistentVolumeClaim/${name}`, { status: { phase: 'Bound' } });
  return { ...made, metadata: { ...made.metadata, uid: name, labels } };
}

/** A pod of nobody that mounts a claim. */
function stranger(
  claimName: string,
  more: { readOnly?: boolean; phase?: string } = {},
): KubeObject {
  const base = running('Pod/import-x', '', { owner: JOB });
  const mount = { name: 'd', mountPath: '/d', readOnly: more.readOnly === true };
  return {
    ...base,
    spec: {
      restartPolicy: 'Never',
      containers: [{ name: 'c', image: 'app:1', volumeMounts: [mount] }],
      volumes: [volume('d', claimName)],
    },
    status: { phase: more.phase ?? 'Running' },
  };
}

const UNREAD = { resource: 'storageclasses.storage.k8s.io', reason: 'forbidden', optional: true };
const live = (objects: readonly KubeObject[], selection?: Parameters<typeof plan>[2]) =>
  plan(objects, { ...CLUSTER, unexamined: [{ ...UNREAD, expected: true }] }, selection);
const whole = (shape: Shape = {}, ...more: readonly KubeObject[]) =>
  live([db(shape), pod('db-0', shape), ...more]);
const unfrozenIn = (of: ReturnType<typeof plan>) =>
  (member(of, 'StatefulSet/db').unfrozen ?? []).map((one) => `${one.claim} ${one.declared ?? ''}`);

const DUMPS = {
  mounts: [DATA, { name: 'dumps', mountPath: '/dumps' }],
  templates: ['dumps'],
};

describe('an ordinary database', () => {
  it('is frozen with its claim, beside containers that mount nothing and helpers', () => {
    const exporter = { name: 'metrics', image: 'postgres-exporter:1' };
    const agent = { name: 'backup-agent', image: 'agent:1', volumeMounts: [DATA] };
    const found = whole({ containers: [exporter, agent] }, claim('data-db-0'));
    expect(codes(found)).toEqual([]);
    expect(unfrozenIn(found)).toEqual([]);
  });

  it('keeps the claims of volumes that are mounted below its data, where copies are of several', () => {
    const shape = {
      mounts: [DATA, { name: 'wal', mountPath: `${DIR}/pgdata/pg_wal` }],
      templates: ['data', 'wal'],
    };
    const copy = { name: 'QUIESCE_COPY', value: 'volumes' };
    const claims = [claim('data-db-0'), claim('wal-db-0')];
    expect(codes(whole({ ...shape, sidecarEnv: [copy] }, ...claims))).toEqual([]);
    expect(unfrozenIn(whole(shape, ...claims))).toEqual(['wal-db-0 ']);
  });
});

describe('a database whose data no snapshot holds', () => {
  const claims = [claim('dumps-db-0')];
  const PROBLEMS = ['DATA_NOT_CUT shop StatefulSet/db', 'CLAIM_NOT_FROZEN shop StatefulSet/db'];
  const problems = (shape: Shape) =>
    codes(whole(shape, ...claims)).filter((one) => /DATA_NOT_CUT|CLAIM_NOT_FROZEN/.test(one));

  it.each([
    ['an emptyDir', { emptyDir: {} }],
    ['a generic ephemeral claim', { ephemeral: { volumeClaimTemplate: { spec: {} } } }],
    ['a hostPath', { hostPath: { path: '/srv' } }],
  ])('on %s is an error, and its other claims are not frozen', (_, source) => {
    expect(problems({ ...DUMPS, volumes: [{ name: 'data', ...source }] })).toEqual(PROBLEMS);
  });

  it('on a claim that is left out, while another one is kept, is an error', () => {
    const out = { 'velero.io/exclude-from-backup': 'true' };
    const shape = { ...DUMPS, templates: ['data', 'dumps'] };
    const found = whole(shape, claim('data-db-0', out), ...claims);
    expect(codes(found)).toEqual(expect.arrayContaining(PROBLEMS));
    expect(member(found, 'StatefulSet/db').dataNotCut?.[0]).toContain('left out');
  });

  it('is one also where the member has no claim at all', () => {
    const shape = { templates: [], volumes: [{ name: 'data', emptyDir: {} }] };
    expect(codes(whole(shape))).toContain('DATA_NOT_CUT shop StatefulSet/db');
  });

  it('is none where the user declares that it is made anew', () => {
    const annotations = { 'quiesce.dev/state': 'data=rebuild' };
    const shape = { ...DUMPS, annotations, volumes: [{ name: 'data', emptyDir: {} }] };
    expect(problems(shape)).toEqual(['CLAIM_NOT_FROZEN shop StatefulSet/db']);
  });
});

describe('a claim is not frozen because its pod has a sidecar', () => {
  const uploads = { volumes: [volume('uploads', 'uploads')] };
  const mount = { name: 'uploads', mountPath: '/u' };
  const claims = [claim('data-db-0'), claim('uploads')];

  it('if another container of the pod writes to it', () => {
    const app = { name: 'app', image: 'app:1', volumeMounts: [mount] };
    const found = whole({ ...uploads, containers: [app] }, ...claims);
    expect(unfrozenIn(found)).toEqual(['uploads ']);
    expect(describePlan(found, 'here')).toMatch(/data-db-0: frozen by a sidecar\n +uploads: NOT/);
  });

  it('nor if the container of the database does: its data is elsewhere', () => {
    const found = whole({ ...uploads, mounts: [DATA, mount] }, ...claims);
    expect(unfrozenIn(found)).toEqual(['uploads ']);
    expect(codes(found)).toEqual(['CLAIM_NOT_FROZEN shop StatefulSet/db']);
  });

  it('nor is the data itself, where another container writes beside the database', () => {
    const app = { name: 'app', image: 'app:1', volumeMounts: [{ ...DATA, subPath: 'app' }] };
    expect(unfrozenIn(whole({ containers: [app] }, claims[0] as KubeObject))).toEqual([
      'data-db-0 ',
    ]);
    const block = { name: 'app', image: 'app:1', volumeDevices: [{ name: 'data' }] };
    expect(unfrozenIn(whole({ containers: [block] }, claims[0] as KubeObject))).toEqual([
      'data-db-0 ',
    ]);
  });

  it('unless nobody may write to it', () => {
    const app = { name: 'app', image: 'app:1', volumeMounts: [{ ...mount, readOnly: true }] };
    expect(unfrozenIn(whole({ ...uploads, containers: [app] }, ...claims))).toEqual([]);
    const ro = { name: 'uploads', persistentVolumeClaim: { claimName: 'uploads', readOnly: true } };
    const read = { volumes: [ro], mounts: [DATA, mount] };
    expect(unfrozenIn(whole(read, ...claims))).toEqual([]);
  });

  it.each([
    ['quiesce.dev/freeze', 'uploads=none', ['uploads quiesce.dev/freeze: uploads=none'], []],
    ['quiesce.dev/state', 'uploads=discard', ['uploads quiesce.dev/state: uploads=discard'], []],
    ['quiesce.dev/state', 'uploads=keep', ['uploads '], ['CLAIM_NOT_FROZEN shop StatefulSet/db']],
  ])('%s: %s declares it or not', (name, value, unfrozen, problems) => {
    const shape = { ...uploads, mounts: [DATA, mount], annotations: { [name]: value } };
    const found = whole(shape, ...claims);
    expect(unfrozenIn(found)).toEqual(unfrozen);
    expect(codes(found)).toEqual(problems);
  });

  it('and nobody can declare that the data of the database needs no freeze', () => {
    const annotations = { 'quiesce.dev/freeze': 'data=none', 'quiesce.dev/state': 'data=discard' };
    const found = whole({ annotations }, claim('data-db-0'), stranger('data-db-0'));
    expect(unfrozenIn(found)).toEqual(['data-db-0 ']);
  });
});

describe('a claim of a frozen member is not frozen if others write to it', () => {
  const claims = [claim('data-db-0')];

  it('a pod of a Job, but not one that has ended or only reads', () => {
    const found = whole({}, ...claims, stranger('data-db-0'));
    expect(unfrozenIn(found)).toEqual(['data-db-0 ']);
    expect(found.problems[0]?.message).toContain('the pod import-x of Job/import');
    expect(unfrozenIn(whole({}, ...claims, stranger('data-db-0', { readOnly: true })))).toEqual([]);
    expect(unfrozenIn(whole({}, ...claims, stranger('data-db-0', { phase: 'Succeeded' })))).toEqual(
      [],
    );
  });

  it('a Job in manifests', () => {
    const template = { spec: { ...(stranger('data-db-0')['spec'] as object) } };
    const job = object('batch/v1', 'Job/import', { spec: { template } });
    expect(unfrozenIn(plan([db(), job]))).toEqual(['data-db-0 ']);
  });

  it('a workload that was not chosen', () => {
    const web = object('apps/v1', 'Deployment/web', {
      spec: {
        template: {
          spec: {
            containers: [
              { name: 'c', image: 'app:1', volumeMounts: [{ name: 'd', mountPath: '/d' }] },
            ],
            volumes: [volume('d', 'data-db-0')],
          },
        },
      },
    });
    const labelled = { ...db(), metadata: { ...db().metadata, labels: { app: 'db' } } };
    const selector = {
      text: 'app=db',
      matchExpressions: [{ key: 'app', operator: 'In' as const, values: ['db'] }],
    };
    const found = live([labelled, pod('db-0'), ...claims, web], { namespaces: ['shop'], selector });
    expect(unfrozenIn(found)).toEqual(['data-db-0 ']);
  });
});

describe('a workload that only reads its claims', () => {
  it('needs no sidecar', () => {
    const reader = object('apps/v1', 'Deployment/web', {
      spec: {
        template: {
          spec: {
            containers: [
              {
                name: 'c',
                image: 'nginx:1',
                volumeMounts: [{ name: 'd', mountPath: '/d', readOnly: true }],
              },
            ],
            volumes: [volume('d', 'static')],
          },
        },
      },
    });
    const found = plan([reader]);
    expect(member(found, 'Deployment/web').protection).toBe('not-needed');
    expect(codes(found)).toEqual([]);
  });
});

describe('pods of a StatefulSet that do not run', () => {
  const two = { replicas: 2 };

  it('leave their claims to the member, and are an error', () => {
    const found = live([db(two), pod('db-0'), claim('data-db-0'), claim('data-db-1')]);
    expect(member(found, 'StatefulSet/db')).toMatchObject({
      pods: ['db-0', 'db-1'],
      claims: ['data-db-0', 'data-db-1'],
      missingPods: ['db-1'],
    });
    expect(codes(found)).toEqual(['POD_MISSING shop StatefulSet/db']);
  });

  it('still count while they are being deleted', () => {
    const leaving = pod('db-1', {}, { deletionTimestamp: '2026-11-30T12:00:00Z' });
    const found = live([db(two), pod('db-0'), leaving, claim('data-db-0'), claim('data-db-1')]);
    expect(member(found, 'StatefulSet/db').missingPods).toBeUndefined();
    expect(member(found, 'StatefulSet/db').claims).toEqual(['data-db-0', 'data-db-1']);
    expect(codes(found)).toEqual(['POD_LEAVING shop StatefulSet/db']);
  });

  it('and that it is no longer meant to have leave claims that are named', () => {
    const found = live([db(), pod('db-0'), claim('data-db-0'), claim('data-db-1')]);
    expect(member(found, 'StatefulSet/db').claims).toEqual(['data-db-0']);
    expect(codes(found)).toEqual(['CLAIM_LEFT_BEHIND shop StatefulSet/db']);
  });
});

describe('a claim of no member', () => {
  const message = (...more: readonly KubeObject[]) =>
    whole({}, claim('data-db-0'), claim('lost'), ...more).problems.map(
      (one) => `${one.code} ${one.message}`,
    );

  it('is named, with who has it', () => {
    expect(message()).toEqual([expect.stringMatching(/^CLAIM_OF_NO_MEMBER No pod mounts it/)]);
    expect(message(stranger('lost'))).toEqual([expect.stringContaining('Only Job/import mounts')]);
    expect(message(stranger('lost', { phase: 'Succeeded' }))).toEqual([
      expect.stringContaining('Only pods that have ended mount it (Job/import)'),
    ]);
    const bare = { ...running('Pod/once', ''), spec: stranger('lost')['spec'] };
    const ended = {
      ...bare,
      metadata: { ...bare.metadata, ownerReferences: [] },
      status: { phase: 'Succeeded' },
    };
    expect(message(ended)).toEqual([expect.stringContaining('have ended mount it (Pod/once)')]);
  });

  it('is that of a CronJob in manifests', () => {
    const template = { spec: stranger('lost')['spec'] };
    const cron = object('batch/v1', 'CronJob/cron', {
      spec: { jobTemplate: { spec: { template } } },
    });
    const found = plan([db(), object('v1', 'PersistentVolumeClaim/lost'), cron]);
    expect(found.problems.map((one) => one.message)).toEqual([
      expect.stringContaining('Only CronJob/cron mounts it'),
    ]);
  });

  it('is not told of where it is left out, or where only a part of the namespace is planned', () => {
    const out = { 'velero.io/exclude-from-backup': 'true' };
    const grouped = { annotations: { 'quiesce.dev/group': 'g' } };
    const objects = [db(grouped), pod('db-0'), claim('data-db-0')];
    expect(codes(live([...objects, claim('lost', out)]))).toEqual([]);
    const selection = { namespaces: ['shop'], group: 'g' };
    expect(codes(live([...objects, claim('lost')], selection))).toEqual([]);
  });
});
