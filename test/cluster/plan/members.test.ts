import { describe, expect, it } from 'vitest';
import type { KubeObject } from '../../../src/cluster/objects/kube-object.ts';
import { membersOf } from '../../../src/cluster/plan/document.ts';
import { nameOf, parseSelector, type Selection } from '../../../src/cluster/plan/selection.ts';
import {
  ALL,
  CLUSTER,
  codes,
  layers,
  member,
  object,
  plan,
  planned,
  running,
  workload,
} from './support.ts';

const names = (...given: Parameters<typeof plan>) => layers(plan(...given)).flat();
const INJECT = { 'quiesce.dev/inject': 'true' };
const DB = { image: 'postgres:17', templates: ['data'] };

function claim(name: string, spec: object = {}, phase = 'Bound'): KubeObject {
  return {
    apiVersion: 'v1',
    kind: 'PersistentVolumeClaim',
    metadata: { name, namespace: 'shop', uid: name },
    spec,
    status: { phase },
  };
}

describe('members', () => {
  it('are all kinds of workloads with pods, at no replicas too, and no Jobs', () => {
    const job = { spec: { template: { spec: { containers: [] } } } };
    const kinds = ['DaemonSet', 'Deployment', 'Pod', 'ReplicaSet', 'StatefulSet'];
    const objects = [
      ...kinds.map((kind) => workload(`${kind}/${kind.toLowerCase()}`, { replicas: 0 })),
      object('batch/v1', 'Job/migrate', job),
      object('batch/v1', 'CronJob/nightly', job),
      running('Pod/migrate-x', 'Job/migrate'),
    ];
    expect(names(objects).toSorted()).toEqual(kinds.map((kind) => `${kind}/${kind.toLowerCase()}`));
  });

  it('are one for a Deployment with its ReplicaSets and pods', () => {
    const found = plan([
      workload('Deployment/web', { replicas: 2 }),
      workload('ReplicaSet/web-5d8f', {
        owner: { apiVersion: 'apps/v1', kind: 'Deployment', name: 'web' },
      }),
      running('Pod/web-5d8f-a', 'ReplicaSet/web-5d8f'),
      running('Pod/web-5d8f-b', 'ReplicaSet/web-5d8f'),
    ]);
    expect(layers(found)).toEqual([['Deployment/web']]);
    expect(member(found, 'Deployment/web').pods).toEqual(['web-5d8f-a', 'web-5d8f-b']);
  });

  it('are a known custom resource with what it owns, and its parts with it', () => {
    const kafka = { apiVersion: 'kafka.strimzi.io/v1', kind: 'Kafka', name: 'events' };
    const labels = { 'strimzi.io/cluster': 'events' };
    const pool = {
      apiVersion: 'kafka.strimzi.io/v1',
      kind: 'KafkaNodePool',
      metadata: { name: 'brokers', namespace: 'shop', labels },
    };
    const set = {
      apiVersion: 'core.strimzi.io/v1',
      kind: 'StrimziPodSet',
      metadata: {
        name: 'events-brokers',
        namespace: 'shop',
        ownerReferences: [{ ...kafka, kind: 'KafkaNodePool', name: 'brokers', uid: 'b' }],
      },
    };
    const owner = {
      apiVersion: 'core.strimzi.io/v1',
      kind: 'StrimziPodSet',
      name: 'events-brokers',
    };
    const pod = running('Pod/events-brokers-0', '', { owner, claims: ['data-events-brokers-0'] });
    const found = plan([pool, set, pod, workload('Deployment/web')]);
    expect(layers(found)).toEqual([['Kafka/events'], ['Deployment/web']]);
    expect(member(found, 'Kafka/events')).toMatchObject({
      engine: 'kafka',
      stage: 'messaging',
      pods: ['events-brokers-0'],
      claims: ['data-events-brokers-0'],
    });
  });

  it('of an unknown kind are a problem: in manifests by their looks, in a cluster by their pods', () => {
    const tiger = object('example.org/v1', 'Tiger/stripes', { spec: { replicas: 2 } });
    const settings = object('example.org/v1', 'Colour/orange', { spec: { hue: 3 } });
    const scaler = object('autoscaling.k8s.io/v1', 'VerticalPodAutoscaler/x', {
      spec: { template: 1 },
    });
    const web = workload('Deployment/web');
    const files = plan([tiger, settings, scaler, web]);
    expect(codes(files)).toEqual(['RESOURCE_NOT_JUDGED shop Tiger/stripes']);
    expect(layers(files)).toEqual([['Deployment/web']]);

    const owner = { apiVersion: 'example.org/v1', kind: 'Colour', name: 'orange' };
    const live = plan([
      settings,
      running('Pod/orange-0', '', { owner, claims: ['paint'] }),
      workload('StatefulSet/orange-db', { owner, templates: ['data'] }),
    ]);
    expect(codes(live)).toContain('RESOURCE_NOT_JUDGED shop Colour/orange');
    expect(layers(live).flat()).toEqual(['Colour/orange', 'StatefulSet/orange-db']);
    expect(codes(live)).toContain('SIDECAR_MISSING shop Colour/orange');
  });

  it('defined twice in the manifests are one, and told', () => {
    const found = plan([
      workload('Deployment/web', { replicas: 1 }),
      workload('Deployment/web', { replicas: 5 }),
    ]);
    expect(membersOf(found)).toHaveLength(1);
    expect(member(found, 'Deployment/web').replicas).toBe(5);
    expect(codes(found)).toEqual(['DEFINED_TWICE shop Deployment/web']);
  });

  it('are chosen by namespace, labels and group', () => {
    const objects = [
      workload('Deployment/a', { labels: { tier: 'web' } }),
      workload('Deployment/b', { below: { 'quiesce.dev/group': 'g' } }),
      workload('Deployment/c', { namespace: 'other', annotations: { 'quiesce.dev/group': 'g' } }),
    ];
    expect(names(objects, {}, { namespaces: ['shop'] })).toEqual(['Deployment/a', 'Deployment/b']);
    expect(names(objects, {}, { ...ALL, group: 'g' })).toEqual(['Deployment/c', 'Deployment/b']);
    expect(plan(objects, {}, { ...ALL, group: 'g' }).group).toBe('g');
    const labelled = { namespaces: ['shop'], selector: parseSelector('tier in (web,api),!old') };
    expect(names(objects, {}, labelled)).toEqual(['Deployment/a']);
    expect(plan(objects, {}, labelled).group).toMatch(/^shop\.old-tier-api-web-[0-9a-f]{8}$/);
    expect(names(objects, {}, { ...ALL, selector: parseSelector('tier!=web') })).toHaveLength(2);
  });

  it('that are chosen otherwise make an application of another name', () => {
    const nameOf_ = (selection: Omit<Selection, 'selector'>, selector?: string): string =>
      nameOf(
        { ...selection, selector: selector === undefined ? undefined : parseSelector(selector) },
        ['a', 'b'],
      );
    const shop = { namespaces: ['shop'] };
    const unlike = [
      nameOf_(shop),
      nameOf_(shop, 'tier=data'),
      nameOf_(shop, 'tier!=data'),
      nameOf_(shop, '!tier'),
      nameOf_(shop, 'tier'),
      nameOf_({ namespaces: ['a', 'b'] }),
      nameOf_({ namespaces: undefined, group: 'a.b' }),
      nameOf_({ namespaces: ['a', 'b'], group: 'g' }),
      nameOf_({ namespaces: ['a', 'b'], group: 'g' }, 'tier=data'),
      nameOf_({ namespaces: ['a.b'] }, 'c=d'),
      nameOf_({ namespaces: ['a'] }, 'b=c,d=e'),
    ];
    expect(new Set(unlike).size).toBe(unlike.length);
    expect(nameOf_(shop, 'b in (y,x),a=1')).toBe(nameOf_(shop, 'a==1, b in (x,y)'));
    for (const one of unlike)
      expect(one).toMatch(/^[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$/);
  });

  it('that nobody has are an error', () => {
    const none = expect.objectContaining({ code: 'NO_MEMBERS', exit: 2 }) as Error;
    expect(() => plan([workload('Deployment/a')], {}, { namespaces: ['elsewhere'] })).toThrow(none);
    expect(() => plan([object('v1', 'ConfigMap/a')])).toThrow(none);
  });

  it('a selector that kubectl would refuse is refused', () => {
    for (const bad of ['', 'a b', 'a=b=c', 'a in b', 'a,,b', '=x', 'a=in(b)']) {
      expect(parseSelector(bad), bad).toBeUndefined();
    }
  });
});

describe('pods and claims', () => {
  it('are those that run and those that the workload is meant to have', () => {
    const files = plan([workload('StatefulSet/db', { ...DB, replicas: 2 })]);
    expect(member(files, 'StatefulSet/db')).toMatchObject({
      pods: ['db-0', 'db-1'],
      claims: ['data-db-0', 'data-db-1'],
    });
    const pods = [10, 2].map((one) =>
      running(`Pod/db-${one}`, 'StatefulSet/db', { claims: [`data-db-${one}`] }),
    );
    const live = plan([workload('StatefulSet/db', { ...DB, replicas: 1 }), ...pods]);
    expect(member(live, 'StatefulSet/db')).toMatchObject({
      pods: ['db-0', 'db-2', 'db-10'],
      claims: ['data-db-0', 'data-db-2', 'data-db-10'],
    });
    const web = workload('Deployment/web', { replicas: 3, claims: ['uploads'] });
    expect(member(plan([web]), 'Deployment/web')).toMatchObject({
      pods: [],
      replicas: 3,
      claims: ['uploads'],
    });
  });

  it('of a workload without pods are the claims that it left', () => {
    const objects = [
      workload('StatefulSet/db', { ...DB, replicas: 0 }),
      ...['data-db-0', 'data-db-1', 'data-db-x', 'data-dbx-0'].map((name) => claim(name)),
    ];
    expect(member(plan(objects), 'StatefulSet/db').claims).toEqual(['data-db-0', 'data-db-1']);
  });

  it('begin at the first ordinal that the StatefulSet names', () => {
    const db = workload('StatefulSet/db', { replicas: 2 });
    const moved = { ...db, spec: { ...(db['spec'] as object), ordinals: { start: 5 } } };
    expect(member(plan([moved]), 'StatefulSet/db').pods).toEqual(['db-5', 'db-6']);
  });

  it('an ephemeral claim is no claim of the plan, and known to those who look for losses', () => {
    const pod = {
      ...workload('Pod/one'),
      spec: {
        containers: [{ name: 'main', image: 'app' }],
        volumes: [{ name: 'scratch', ephemeral: { volumeClaimTemplate: { spec: {} } } }],
      },
    };
    const { members } = planned([pod]);
    expect(members[0]).toMatchObject({ claims: [], protection: 'not-needed' });
    expect(members[0]?.volumeClaims).toMatchObject([
      { name: 'one-scratch', volume: 'scratch', source: 'ephemeral' },
    ]);
  });
});

describe('protection', () => {
  const of = (shape: Parameters<typeof workload>[1], ...more: KubeObject[]) =>
    member(plan([workload('StatefulSet/db', shape), ...more]), 'StatefulSet/db').protection;

  it('is the sidecar in the template, or the one that the label asks the webhook for', () => {
    expect(of({ ...DB, sidecar: true })).toBe('sidecar');
    expect(of({ ...DB, labels: INJECT })).toBe('sidecar');
    expect(of(DB)).toBe('missing');
    expect(of({ ...DB, below: { 'quiesce.dev/freeze': 'none' } })).toBe('none');
    expect(of({ image: 'postgres:17' })).toBe('not-needed');
  });

  it('of running pods is the sidecar of each of them, never a label', () => {
    const pod = (name: string, sidecar: boolean) =>
      running(`Pod/${name}`, 'StatefulSet/db', {
        ...DB,
        labels: INJECT,
        claims: ['data'],
        sidecar,
      });
    const asked = { ...DB, labels: INJECT };
    expect(of(asked, pod('db-0', true), pod('db-1', true))).toBe('sidecar');
    expect(of(asked, pod('db-0', true), pod('db-1', false))).toBe('missing');
  });

  it('that is missing where there are claims is an error in the plan', () => {
    const found = plan([workload('StatefulSet/db', DB)]);
    expect(found.problems).toMatchObject([{ code: 'SIDECAR_MISSING', severity: 'error' }]);
    expect(codes(plan([workload('StatefulSet/db', { image: 'postgres:17' })]))).not.toContain(
      'SIDECAR_MISSING shop StatefulSet/db',
    );
  });
});

describe('annotations', () => {
  it('of the workload outweigh its template, and the difference is told', () => {
    const found = plan([
      workload('Deployment/a'),
      workload('Deployment/b', {
        annotations: { 'quiesce.dev/order': '1', 'quiesce.dev/depends-on': 'a' },
        below: { 'quiesce.dev/order': '2', 'quiesce.dev/depends-on': ' a ' },
      }),
    ]);
    expect(member(found, 'Deployment/b').order).toBe(1);
    expect(codes(found)).toEqual(['ANNOTATIONS_DIFFER shop Deployment/b']);
  });

  it.each([
    ['order', '1.5'],
    ['priority', 'urgent'],
    ['stage', 'frontend'],
    ['freeze', 'always'],
    ['group', '-x-'],
    ['state', 'cache=lose'],
    ['depend-on', 'db'],
  ])('%s: %s is a warning, and changes nothing', (name, value) => {
    const bad = { annotations: { [`quiesce.dev/${name}`]: value } };
    const found = plan([workload('Deployment/a', bad)]);
    expect(found.problems).toMatchObject([{ code: 'ANNOTATION_IGNORED', severity: 'warning' }]);
    const plain = plan([workload('Deployment/a')]);
    expect(found.layers).toEqual(plain.layers);
  });
});

describe('claims that cannot be snapshotted', () => {
  const shape = { ...DB, sidecar: true };
  const classes = (driver = 'csi.example.org') => [
    object('storage.k8s.io/v1', 'StorageClass/fast', { provisioner: 'csi.example.org' }),
    object('snapshot.storage.k8s.io/v1', 'VolumeSnapshotClass/snap', { driver }),
  ];
  const found = (objects: readonly KubeObject[], more = CLUSTER) =>
    plan([workload('StatefulSet/db', shape), ...objects], more).problems.map(({ code }) => code);
  const bound = claim('data-db-0', { storageClassName: 'fast' });

  it('are told where no VolumeSnapshotClass is for the driver of their class or volume', () => {
    expect(found([bound, ...classes()])).toEqual([]);
    expect(found([bound, ...classes('another.example.org')])).toEqual(['CLAIM_WITHOUT_CLASS']);
    expect(found([claim('data-db-0', { storageClassName: 'gone' }), ...classes()])).toEqual([
      'CLAIM_WITHOUT_CLASS',
    ]);
    const volume = object('v1', 'PersistentVolume/pv', {
      spec: { csi: { driver: 'old.example.org' } },
    });
    const placed = claim('data-db-0', { storageClassName: 'fast', volumeName: 'pv' });
    expect(found([placed, volume, ...classes()])).toEqual(['CLAIM_WITHOUT_CLASS']);
  });

  it('are those of the default class, too', () => {
    const [fast, snap] = classes();
    const annotations = { 'storageclass.kubernetes.io/is-default-class': 'true' };
    const chosen = { ...fast, metadata: { name: 'fast', annotations } };
    expect(found([chosen, snap ?? {}])).toEqual([]);
    expect(found([...classes()])).toEqual(['CLAIM_WITHOUT_CLASS']);
  });

  it('are told where a claim is not bound, or not there', () => {
    expect(found([claim('data-db-0', {}, 'Pending'), ...classes()])).toEqual(['CLAIM_NOT_BOUND']);
    const web = workload('Deployment/web', {
      claims: ['gone'],
      annotations: { 'quiesce.dev/freeze': 'none' },
    });
    expect(found([bound, web, ...classes()])).toEqual(['CLAIM_MISSING']);
  });

  it('are not judged by a fragment of manifests, nor by kinds that could not be read', () => {
    expect(found([], { scope: 'part' })).toEqual([]);
    const unexamined = ['storageclasses.storage.k8s.io', 'persistentvolumes'].map((resource) => ({
      resource,
      reason: 'forbidden',
      optional: true,
    }));
    expect(found([bound], { ...CLUSTER, unexamined })).toEqual(['NOT_LOOKED_AT', 'NOT_LOOKED_AT']);
  });
});
