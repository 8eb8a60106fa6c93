import { describe, expect, test } from 'vitest';
import {
  codes,
  condition,
  eventOf,
  look,
  memberOf,
  objectOf,
  podOf,
  statefulSet,
  TEMPLATE,
  troubled,
  UNREADY,
  waiting,
} from './support.ts';

const ready = (...given: Parameters<typeof look>) => look(...given).ready;

describe('a StatefulSet', () => {
  test('is ready once its controller has seen it, and all pods are ready and of its template', () => {
    expect(look([statefulSet(), podOf()])).toEqual({
      member: { namespace: 'shop', kind: 'StatefulSet', name: 'db' },
      ready: true,
      judged: true,
      receipts: [],
      causes: [],
    });
  });
  test.each([
    ['its latest change is not seen', {}, {}, { generation: 3 }, 'NOT_OBSERVED passing'],
    ['a pod has not been created', { replicas: 2 }, {}, {}, 'PODS_MISSING passing'],
    ['a pod is not ready', {}, UNREADY, {}, 'PODS_NOT_READY passing'],
    [
      'a pod is of an old template',
      {},
      { updateRevision: 'db-2', updatedReplicas: 0 },
      {},
      'ROLLOUT_UNDER_WAY passing',
    ],
    ['more pods are there than wanted', {}, { replicas: 2 }, {}, 'PODS_LEFT passing'],
  ])('is not ready if %s', (_why, spec, status, metadata, code) => {
    const state = look([statefulSet(spec, status, metadata), podOf()]);
    expect(state.ready).toBe(false);
    expect(codes(state)).toContain(code);
  });
  test('with a partition needs only the pods above it', () => {
    const spec = {
      replicas: 3,
      updateStrategy: { type: 'RollingUpdate', rollingUpdate: { partition: 2 } },
    };
    const three = { replicas: 3, readyReplicas: 3, availableReplicas: 3, updateRevision: 'db-2' };
    expect(ready([statefulSet(spec, { ...three, updatedReplicas: 1 }), podOf()])).toBe(true);
    expect(ready([statefulSet(spec, { ...three, updatedReplicas: 0 }), podOf()])).toBe(false);
  });
  test('with OnDelete may have pods of an old template', () => {
    const spec = { updateStrategy: { type: 'OnDelete' } };
    expect(
      ready([statefulSet(spec, { updateRevision: 'db-2', updatedReplicas: 0 }), podOf()]),
    ).toBe(true);
  });
  test('at zero replicas is ready', () => {
    const none = { replicas: 0, readyReplicas: 0, availableReplicas: 0, updatedReplicas: 0 };
    expect(ready([statefulSet({ replicas: 0 }, none)])).toBe(true);
  });
  test('that does not exist is not ready', () => {
    expect(codes(look([]))).toEqual(['MEMBER_MISSING passing']);
  });
  test('in a manifest only, without the uid of an API server, does not exist', () => {
    const { uid: _, ...metadata } = statefulSet().metadata ?? {};
    expect(ready([{ ...statefulSet(), metadata }])).toBe(false);
  });
});

describe('a Deployment', () => {
  const member = memberOf('Deployment/db');
  const deployment = (spec: object = {}, status: object = {}, generation = 2) =>
    objectOf('apps/v1', 'Deployment/db', {
      metadata: { generation },
      spec: { replicas: 2, template: TEMPLATE, ...spec },
      status: {
        observedGeneration: 2,
        replicas: 2,
        updatedReplicas: 2,
        readyReplicas: 2,
        availableReplicas: 2,
        ...status,
      },
    });
  test('is ready once updated, available and wanted pods are as many', () => {
    expect(look([deployment()], { member }).ready).toBe(true);
    expect(
      look(
        [deployment({ replicas: 0 }, { replicas: 0, updatedReplicas: 0, availableReplicas: 0 })],
        { member },
      ).ready,
    ).toBe(true);
  });
  test.each([
    ['not seen', {}, {}, 3, 'NOT_OBSERVED passing'],
    ['not available', {}, { availableReplicas: 1 }, 2, 'PODS_NOT_READY passing'],
    ['not updated', {}, { updatedReplicas: 1 }, 2, 'ROLLOUT_UNDER_WAY passing'],
    ['old pods left', {}, { replicas: 3 }, 2, 'PODS_LEFT passing'],
    ['paused half way', { paused: true }, { updatedReplicas: 1 }, 2, 'ROLLOUT_PAUSED in-vain'],
    [
      'past its deadline',
      {},
      {
        availableReplicas: 0,
        conditions: [condition('Progressing', 'False', { reason: 'ProgressDeadlineExceeded' })],
      },
      2,
      'ROLLOUT_STUCK passing',
    ],
  ])('is not ready: %s', (_why, spec, status, generation, code) => {
    const state = look([deployment(spec, status, generation)], { member });
    expect(state.ready).toBe(false);
    expect(codes(state)).toContain(code);
  });
  test('judges the pods of its ReplicaSet, and not those of another', () => {
    const owner = (kind: string, name: string) => [
      { apiVersion: 'apps/v1', kind, name, uid: name, controller: true },
    ];
    const set = objectOf('apps/v1', 'ReplicaSet/db-abc', {
      metadata: { ownerReferences: owner('Deployment', 'db') },
      spec: { replicas: 2, template: TEMPLATE },
    });
    const pull = (name: string, of: string) => ({
      ...troubled(waiting('InvalidImageName', 'bad'), {
        metadata: { name, uid: name, ownerReferences: owner('ReplicaSet', of) },
      }),
    });
    const state = look(
      [
        deployment({}, { availableReplicas: 0 }),
        set,
        pull('db-abc-1', 'db-abc'),
        pull('x-1', 'x-abc'),
      ],
      { member },
    );
    const objects = state.causes
      .filter(({ code }) => code === 'IMAGE_NOT_PULLED')
      .map((one) => one.object);
    expect(objects).toEqual(['shop Pod/db-abc-1']);
  });
  test('names what the API server refuses its ReplicaSet', () => {
    const message =
      'pods "db-1" is forbidden: exceeded quota: q, requested: cpu=1, used: cpu=1, limited: cpu=1';
    const state = look(
      [
        deployment(
          {},
          {
            replicas: 0,
            availableReplicas: 0,
            conditions: [condition('ReplicaFailure', 'True', { message })],
          },
        ),
      ],
      { member },
    );
    expect(codes(state)[0]).toBe('QUOTA_EXCEEDED passing');
    expect(state.causes[0]?.message).toContain('limited: cpu=1');
  });
});

describe('other workloads', () => {
  test('a DaemonSet is ready once all nodes have a ready pod of its template', () => {
    const member = memberOf('DaemonSet/db');
    const of = (status: object) =>
      look(
        [
          objectOf('apps/v1', 'DaemonSet/db', {
            metadata: { generation: 1 },
            spec: { template: TEMPLATE },
            status: { observedGeneration: 1, ...status },
          }),
        ],
        { member },
      );
    const good = {
      desiredNumberScheduled: 2,
      currentNumberScheduled: 2,
      updatedNumberScheduled: 2,
      numberAvailable: 2,
    };
    expect(of(good).ready).toBe(true);
    expect(of({ desiredNumberScheduled: 0 }).ready).toBe(true);
    expect(of({ ...good, numberAvailable: 1 }).ready).toBe(false);
    expect(of({ ...good, updatedNumberScheduled: 1 }).ready).toBe(false);
    expect(
      look([objectOf('apps/v1', 'DaemonSet/db', { spec: { template: TEMPLATE } })], { member })
        .ready,
    ).toBe(false);
  });
  test('a ReplicaSet is ready once its pods are available', () => {
    const member = memberOf('ReplicaSet/db');
    const of = (available: number) =>
      look(
        [
          objectOf('apps/v1', 'ReplicaSet/db', {
            spec: { replicas: 1, template: TEMPLATE },
            status: { observedGeneration: 0, replicas: 1, availableReplicas: available },
          }),
        ],
        { member },
      );
    expect(of(1).ready).toBe(true);
    expect(of(0).ready).toBe(false);
  });
  test('a bare Pod is ready once it says so, and not once it has ended', () => {
    const member = memberOf('Pod/db-0');
    const alone = { ownerReferences: [] };
    expect(look([podOf({ metadata: alone })], { member }).ready).toBe(true);
    const failed = podOf({
      metadata: alone,
      status: {
        phase: 'Failed',
        reason: 'Evicted',
        message: 'The node was low on memory',
        conditions: [],
      },
    });
    expect(look([failed], { member }).ready).toBe(false);
  });
  test('a pod that was evicted is no fault of a workload that has replaced it', () => {
    const evicted = podOf(
      { status: { phase: 'Failed', reason: 'Evicted', conditions: [] } },
      'db-old',
    );
    expect(look([statefulSet(), podOf(), evicted]).causes).toEqual([]);
  });
});

describe('what the API server refuses', () => {
  test.each([
    [
      'pods "db-0" is forbidden: exceeded quota: compute, requested: pods=1, used: pods=5, limited: pods=5',
      'QUOTA_EXCEEDED passing',
    ],
    [
      'pods "db-0" is forbidden: failed quota: compute: must specify limits.cpu for: main',
      'QUOTA_EXCEEDED in-vain',
    ],
    [
      'pods "db-0" is forbidden: violates PodSecurity "restricted:latest": allowPrivilegeEscalation != false',
      'POD_SECURITY in-vain',
    ],
    [
      'Internal error occurred: failed calling webhook "inject.example": connect: connection refused',
      'WEBHOOK_DOWN passing',
    ],
    ['admission webhook "policy.example" denied the request: no', 'ADMISSION_DENIED in-vain'],
    [
      'pods "db-0" is forbidden: error looking up service account shop/db: serviceaccount "db" not found',
      'SERVICE_ACCOUNT_MISSING passing',
    ],
    [
      'pods "db-0" is forbidden: maximum memory usage per Container is 1Gi, but limit is 2Gi',
      'LIMIT_EXCEEDED in-vain',
    ],
    [
      'pods "db-0" is forbidden: no PriorityClass with name gold was found',
      'PRIORITY_CLASS_MISSING in-vain',
    ],
    ['Pod "db-0" is invalid: spec.containers[0].image: Required value', 'POD_REFUSED in-vain'],
  ])('is named from the event of the controller: %s', (message, code) => {
    const set = statefulSet({}, { replicas: 0, ...UNREADY });
    const said = `create Pod db-0 in StatefulSet db failed error: ${message}`;
    const state = look([set, eventOf(set, 'FailedCreate', said)]);
    expect(codes(state)[0]).toBe(code);
    expect(state.causes[0]?.message).toContain(message.slice(-20));
  });
  test('is no cause once the pods are there, or of an earlier object of the name', () => {
    const set = statefulSet();
    expect(look([set, podOf(), eventOf(set, 'FailedCreate', 'exceeded quota')]).causes).toEqual([]);
    const earlier = { ...set, metadata: { ...set.metadata, uid: 'earlier' } };
    const state = look([
      statefulSet({}, { replicas: 0, ...UNREADY }),
      eventOf(earlier, 'FailedCreate', 'exceeded quota'),
    ]);
    expect(codes(state)).toEqual(['PODS_MISSING passing']);
  });
});
