import { describe, expect, test } from 'vitest';
import {
  ago,
  cause,
  codes,
  condition,
  look,
  memberOf,
  objectOf,
  podOf,
  statefulSet,
  UNREADY,
} from './support.ts';

const SIDECAR = { name: 'quiesce', image: 'registry.example/quiesce:1', args: ['sidecar'] };
const set = statefulSet();

describe('a custom resource', () => {
  const cnpg = (status: object, more: object = {}) =>
    objectOf('postgresql.cnpg.io/v1', 'Cluster/pg', {
      metadata: { generation: 3 },
      spec: { instances: 2 },
      status,
      ...more,
    });
  const member = memberOf('Cluster/pg');
  const good = {
    phase: 'Cluster in healthy state',
    readyInstances: 2,
    conditions: [condition('Ready', 'True', { observedGeneration: 3 })],
  };
  test('is ready once its condition and its phase say so, for this generation', () => {
    expect(look([cnpg(good)], { member })).toMatchObject({ ready: true, causes: [] });
  });
  test.each([
    [
      'its phase says otherwise',
      { ...good, phase: 'Setting up primary' },
      'RESOURCE_NOT_READY',
      /Setting up primary/,
    ],
    [
      'an instance is missing',
      { ...good, readyInstances: 1 },
      'RESOURCE_NOT_READY',
      /1 of its 2 instances/,
    ],
    [
      'its condition is False',
      {
        ...good,
        conditions: [
          condition('Ready', 'False', { reason: 'ClusterIsNotReady', message: 'no primary' }),
        ],
      },
      'RESOURCE_NOT_READY',
      /ClusterIsNotReady: no primary/,
    ],
    [
      'it was judged before its last change',
      { ...good, conditions: [condition('Ready', 'True', { observedGeneration: 2 })] },
      'NOT_OBSERVED',
      /latest change/,
    ],
    [
      'it is degraded',
      {
        ...good,
        conditions: [
          condition('Ready', 'True'),
          condition('Degraded', 'True', { message: 'one zone' }),
        ],
      },
      'RESOURCE_NOT_READY',
      /Degraded is True.*one zone/,
    ],
    ['its operator has said nothing', undefined, 'OPERATOR_SILENT', /No operator/],
    [
      'its phase is empty',
      { conditions: [condition('Ready', 'True')], readyInstances: 2 },
      'RESOURCE_NOT_READY',
      /says nothing/,
    ],
  ])('is not ready: %s', (_why, status, code, text) => {
    const found = cause([cnpg(status as object)], { member });
    expect(found).toMatchObject({ ready: false, code });
    expect(found.message).toMatch(text);
  });
  test('that is hibernated, or at no replicas, is ready', () => {
    const sleeping = cnpg({}, { metadata: { annotations: { 'cnpg.io/hibernation': 'on' } } });
    expect(look([sleeping], { member }).ready).toBe(true);
    expect(look([cnpg({}, { spec: { instances: 0 } })], { member }).ready).toBe(true);
  });
  test('names an annotation that pauses its operator', () => {
    const paused = cnpg(
      {},
      { metadata: { annotations: { 'cnpg.io/reconciliationLoop': 'disabled' } } },
    );
    expect(cause([paused], { member })).toMatchObject({
      code: 'OPERATOR_SILENT',
      hint: 'Remove that annotation.',
      passing: false,
    });
  });
  test('is not ready while a pod of it is not', () => {
    const owner = {
      apiVersion: 'postgresql.cnpg.io/v1',
      kind: 'Cluster',
      name: 'pg',
      uid: 'x',
      controller: true,
    };
    const pod = podOf({
      metadata: { ownerReferences: [owner] },
      status: {
        conditions: [condition('Ready', 'False')],
        containerStatuses: [
          { name: 'main', ready: false, state: { waiting: { reason: 'InvalidImageName' } } },
        ],
      },
    });
    expect(cause([cnpg(good), pod], { member })).toMatchObject({
      ready: false,
      code: 'IMAGE_NOT_PULLED',
    });
  });
  test.each<readonly [apiVersion: string, ref: string, good: object, bad: object]>([
    [
      'kafka.strimzi.io/v1beta2',
      'Kafka/k',
      { observedGeneration: 1, conditions: [condition('Ready', 'True')] },
      { observedGeneration: 1, conditions: [condition('NotReady', 'True', { message: 'm' })] },
    ],
    [
      'rabbitmq.com/v1beta1',
      'RabbitmqCluster/r',
      { conditions: [condition('AllReplicasReady', 'True')] },
      { conditions: [condition('AllReplicasReady', 'False')] },
    ],
    [
      'mongodbcommunity.mongodb.com/v1',
      'MongoDBCommunity/m',
      { phase: 'Running' },
      { phase: 'Pending' },
    ],
    [
      'psmdb.percona.com/v1',
      'PerconaServerMongoDB/m',
      { state: 'ready' },
      { state: 'initializing' },
    ],
    [
      'k8s.keycloak.org/v2',
      'Keycloak/k',
      { conditions: [condition('Ready', 'True'), condition('HasErrors', 'False')] },
      { conditions: [condition('Ready', 'True'), condition('HasErrors', 'True')] },
    ],
    [
      'acid.zalan.do/v1',
      'postgresql/p',
      { PostgresClusterStatus: 'Running' },
      { PostgresClusterStatus: 'CreateFailed' },
    ],
    ['elasticsearch.k8s.elastic.co/v1', 'Elasticsearch/e', { health: 'yellow' }, { health: 'red' }],
    [
      'redis.redis.opstreelabs.in/v1beta2',
      'RedisCluster/r',
      { state: 'Ready' },
      { state: 'Bootstrap' },
    ],
    [
      'postgres-operator.crunchydata.com/v1beta1',
      'PostgresCluster/p',
      { instances: [{ replicas: 1, readyReplicas: 1 }] },
      { instances: [{ replicas: 1 }] },
    ],
  ])('of %s, %s says how it stands in its own way', (apiVersion, ref, status, bad) => {
    const of = (said: object) =>
      look(
        [
          objectOf(apiVersion, ref, {
            metadata: { generation: 1 },
            spec: { replicas: 1 },
            status: said,
          }),
        ],
        { member: memberOf(ref) },
      );
    expect(of(status)).toMatchObject({ ready: true, causes: [] });
    expect(of(bad).ready).toBe(false);
  });
  test('whose operator writes no status is judged by its pods', () => {
    const failover = objectOf('databases.spotahome.com/v1', 'RedisFailover/r', {
      spec: { redis: { replicas: 1 } },
    });
    const owner = {
      apiVersion: 'databases.spotahome.com/v1',
      kind: 'RedisFailover',
      name: 'r',
      uid: 'x',
      controller: true,
    };
    const owned = { ...set, metadata: { ...set.metadata, ownerReferences: [owner] } };
    const of = (...objects: readonly object[]) =>
      look(objects as never, { member: memberOf('RedisFailover/r') });
    expect(of(failover, owned, podOf()).ready).toBe(true);
    const unready = { ...statefulSet({}, UNREADY), metadata: owned.metadata };
    expect(codes(of(failover, unready))).toEqual(['PODS_NOT_READY passing']);
    expect(codes(of(failover))).toEqual(['RESOURCE_NOT_JUDGED passing']);
  });
});

describe('Services', () => {
  const service = (spec: object = {}) =>
    objectOf('v1', 'Service/db', {
      spec: { selector: { app: 'db' }, ports: [{ port: 5432 }], ...spec },
    });
  const slice = (
    endpoints: readonly object[],
    ports: readonly object[] = [{ port: 5432 }],
    of = 'db',
  ) =>
    objectOf('discovery.k8s.io/v1', 'EndpointSlice/db-1', {
      metadata: { labels: { 'kubernetes.io/service-name': of } },
      endpoints,
      ports,
    });
  test('that select the pods must have an endpoint that is ready', () => {
    expect(look([set, podOf(), service(), slice([{ conditions: { ready: true } }])]).ready).toBe(
      true,
    );
    expect(look([set, podOf(), service(), slice([{}])]).ready).toBe(true);
    expect(
      codes(look([set, podOf(), service(), slice([{ conditions: { ready: false } }])])),
    ).toEqual(['SERVICE_WITHOUT_ENDPOINTS passing']);
    expect(codes(look([set, podOf(), service()]))).toEqual(['SERVICE_WITHOUT_ENDPOINTS passing']);
    expect(codes(look([set, podOf(), service(), slice([{}], [{}], 'other')]))).toEqual([
      'SERVICE_WITHOUT_ENDPOINTS passing',
    ]);
  });
  test('whose port no container has wait in vain', () => {
    expect(codes(look([set, podOf(), service(), slice([{}], [])]))).toEqual([
      'SERVICE_PORT_UNKNOWN in-vain',
    ]);
  });
  test('that select other pods, or none, do not count', () => {
    expect(look([set, podOf(), service({ selector: { app: 'api' } })]).ready).toBe(true);
    expect(look([set, podOf(), service({ selector: undefined })]).ready).toBe(true);
    expect(
      look([set, podOf(), service({ type: 'ExternalName', externalName: 'db.example' })]).ready,
    ).toBe(true);
  });
  test('need none while the member is meant to have no pods', () => {
    const none = statefulSet(
      { replicas: 0 },
      { replicas: 0, readyReplicas: 0, availableReplicas: 0, updatedReplicas: 0 },
    );
    expect(look([none, service()]).ready).toBe(true);
  });
});

describe('what the sidecars say', () => {
  const pod = (name: string) =>
    podOf({ spec: { containers: [{ name: 'main', image: 'postgres:17' }, SIDECAR] } }, name);
  const restore = (level: string, more: object = {}) =>
    ({
      restore: {
        id: 'shop-1',
        level,
        verified: level !== 'refused',
        message: `it is ${level}`,
        ...more,
      },
    }) as never;
  const two = statefulSet(
    { replicas: 2 },
    { replicas: 2, readyReplicas: 2, availableReplicas: 2, updatedReplicas: 2 },
  );
  test('is the lowest level of all, with its words and the receipts', () => {
    const state = look([two, pod('db-0'), pod('db-1')], {
      sidecars: {
        'shop/db-0': restore('content'),
        'shop/db-1': restore('unproven', { id: 'shop-2', verified: false }),
      },
    });
    expect(state).toMatchObject({
      ready: true,
      judged: true,
      level: 'unproven',
      message: 'it is unproven',
      receipts: ['shop-1', 'shop-2'],
      causes: [],
    });
  });
  test('is no level where there is no restore', () => {
    const state = look([set, pod('db-0')], { sidecars: { 'shop/db-0': { restore: null } } });
    expect(state).toMatchObject({ ready: true, judged: true, receipts: [], causes: [] });
    expect(state.level).toBeUndefined();
  });
  test('is not judged while one has not looked, does not answer, or was not asked', () => {
    const pending = look([set, pod('db-0')], {
      sidecars: { 'shop/db-0': restore('unproven', { verified: null, message: 'soon' }) },
    });
    expect(pending).toMatchObject({ ready: true, judged: false });
    expect(codes(pending)).toEqual(['NOT_JUDGED passing']);
    const problem = { problem: { code: 'SIDECAR_UNREACHABLE', message: 'no answer' } };
    const unreachable = look([set, pod('db-0')], { sidecars: { 'shop/db-0': problem } });
    expect(unreachable).toMatchObject({ ready: true, judged: false });
    expect(codes(unreachable)).toEqual(['SIDECAR_UNREACHABLE passing']);
    expect(look([set, pod('db-0')])).toMatchObject({ judged: false });
  });
  test('is in vain to wait for where the data contradicts its receipt', () => {
    const state = look([set, pod('db-0')], { sidecars: { 'shop/db-0': restore('refused') } });
    expect(state).toMatchObject({ level: 'refused', judged: true });
    expect(codes(state)).toEqual(['DATA_REFUSED in-vain']);
  });
});

test('the pods of a restored StatefulSet that it has not adopted yet are looked at', () => {
  const orphan = podOf({
    metadata: { ownerReferences: [], creationTimestamp: ago(10) },
    spec: { nodeName: undefined, schedulingGates: [{ name: 'quiesce.dev/restore-stage' }] },
    status: { conditions: [], containerStatuses: [] },
  });
  const namespace = {
    apiVersion: 'v1',
    kind: 'Namespace',
    metadata: { name: 'shop', labels: { 'quiesce.dev/restore': 'shop-1' } },
  } as never;
  const state = look([statefulSet({}, { ...UNREADY, replicas: 0 }), orphan, namespace]);
  expect(codes(state)).toEqual(['WAITS_FOR_LAYER passing', 'PODS_MISSING passing']);
});
