import { describe, expect, it } from 'vitest';
import {
  AFTER,
  CLUSTER,
  codes,
  layers,
  member,
  object,
  plan,
  running,
  service,
  workload,
} from './support.ts';

const POSTGRES = { image: 'postgres:17' };

describe('the stage of its kind orders what nobody has ordered', () => {
  it('puts infrastructure, databases, poolers and brokers, and applications in layers', () => {
    const found = plan([
      workload('Deployment/web'),
      workload('StatefulSet/queue', { image: 'rabbitmq:3' }),
      workload('Deployment/pool', { image: 'edoburu/pgbouncer:1' }),
      workload('StatefulSet/db', POSTGRES),
      workload('StatefulSet/etcd', { image: 'quay.io/coreos/etcd:v3' }),
    ]);
    expect(layers(found)).toEqual([
      ['StatefulSet/etcd'],
      ['StatefulSet/db'],
      ['Deployment/pool', 'StatefulSet/queue'],
      ['Deployment/web'],
    ]);
    expect(member(found, 'Deployment/web').after).toEqual(['Deployment/pool', 'StatefulSet/queue']);
    expect(member(found, 'StatefulSet/db')).toMatchObject({
      engine: 'postgres',
      stage: 'databases',
      from: 'image',
    });
  });

  it('takes the word of quiesce.dev/stage, and quiesce.dev/engine for a database', () => {
    const found = plan([
      workload('Deployment/bus', { annotations: { 'quiesce.dev/stage': 'messaging' } }),
      workload('Deployment/store', { below: { 'quiesce.dev/engine': 'postgres' } }),
      workload('Deployment/web'),
    ]);
    expect(layers(found)).toEqual([['Deployment/store'], ['Deployment/bus'], ['Deployment/web']]);
    expect(member(found, 'Deployment/bus')).toMatchObject({ stage: 'messaging', from: 'stage' });
    expect(member(found, 'Deployment/store')).toMatchObject({
      engine: 'postgres',
      stage: 'databases',
      from: 'stage',
    });
  });

  it('takes no guess of an earlier injection for the word of a user', () => {
    const written = { 'quiesce.dev/engine': 'postgres' };
    const below = { ...written, 'quiesce.dev/written': JSON.stringify(written) };
    const found = plan([workload('Pod/db', { ...POSTGRES, below, annotations: below })]);
    expect(member(found, 'Pod/db').from).toBe('image');
  });

  it('looks at the main container, and at another only if it keeps data', () => {
    const two = (ref: string, data: boolean) => {
      const mounts = data ? [{ name: 'data', mountPath: '/data' }] : [];
      const containers = [
        { name: 'main', image: 'registry.example/app:1' },
        { name: 'cache', image: 'redis:7', volumeMounts: mounts },
      ];
      const volumes = [{ name: 'data', persistentVolumeClaim: { claimName: 'data' } }];
      return { ...workload(ref), spec: { template: { spec: { containers, volumes } } } };
    };
    const found = plan([two('Deployment/app', false), two('Deployment/store', true)]);
    expect(member(found, 'Deployment/app').stage).toBe('applications');
    expect(member(found, 'Deployment/store').stage).toBe('databases');
  });
});

describe('what users state outweighs stages', () => {
  it('a database that depends on an application comes after it, and each lost edge is told', () => {
    const found = plan([
      workload('StatefulSet/db', { ...POSTGRES, annotations: AFTER('api') }),
      workload('Deployment/api'),
      workload('Deployment/web'),
    ]);
    expect(layers(found)).toEqual([['Deployment/api'], ['StatefulSet/db'], ['Deployment/web']]);
    const told = found.problems.filter(({ code }) => code === 'STAGE_GAVE_WAY');
    expect(told).toHaveLength(1);
    expect(told[0]?.object).toBe('shop Deployment/api');
    expect(told[0]?.message).toContain('StatefulSet/db');
    expect(member(found, 'StatefulSet/db')).toMatchObject({
      after: ['Deployment/api'],
      dependsOn: ['Deployment/api'],
      from: 'annotation',
    });
  });

  it('numbers go from low to high among those that have one, negative ones and aliases too', () => {
    const found = plan([
      workload('Deployment/a', { annotations: { 'quiesce.dev/order': '10' } }),
      workload('Deployment/b', { below: { 'backup.dependency.order': '-2' } }),
      workload('Deployment/c', { annotations: { 'quiesce.dev/order': '10' } }),
      workload('Deployment/d'),
    ]);
    expect(layers(found)).toEqual([
      ['Deployment/b', 'Deployment/d'],
      ['Deployment/a', 'Deployment/c'],
    ]);
    expect(member(found, 'Deployment/b')).toMatchObject({ order: -2, from: 'annotation' });
    expect(member(found, 'Deployment/a').after).toEqual(['Deployment/b']);
  });

  it('priority orders one layer: high first, low last', () => {
    const of = (priority: string) => ({ annotations: { 'quiesce.dev/priority': priority } });
    const found = plan([
      workload('Deployment/a', of('low')),
      workload('Deployment/b'),
      workload('Deployment/c', { annotations: { 'backup.recovery.priority': 'high' } }),
      workload('Deployment/d', of('5')),
    ]);
    const order = ['Deployment/d', 'Deployment/c', 'Deployment/b', 'Deployment/a'];
    expect(layers(found)).toEqual([order]);
    expect(member(found, 'Deployment/b').priority).toBe('normal');
  });

  it('is the same for its objects in any order', () => {
    const objects = [
      workload('StatefulSet/db', { ...POSTGRES, annotations: AFTER('api') }),
      workload('Deployment/api'),
      workload('Deployment/web', { annotations: AFTER('api, lost') }),
      workload('StatefulSet/queue', { image: 'rabbitmq:3', templates: ['data'] }),
    ];
    expect(plan(objects.toReversed())).toEqual(plan(objects));
  });

  it('tells the same of several errors, for its objects in any order', () => {
    const objects = ['b', 'a', 'c'].map((name) =>
      workload(`Deployment/${name}`, { annotations: AFTER(name) }),
    );
    for (const given of [objects, objects.toReversed()]) {
      expect(() => plan(given)).toThrow('shop Deployment/a depends on itself');
    }
  });
});

describe('a name in depends-on', () => {
  const db = workload('StatefulSet/db', POSTGRES);
  const replica = workload('StatefulSet/replica', { ...POSTGRES, labels: { role: 'db' } });
  const api = (names: string) => workload('Deployment/api', { annotations: AFTER(names) });
  const named = (...given: Parameters<typeof plan>) =>
    member(plan(...given), 'Deployment/api').dependsOn;

  it('is a member, in any form that kubectl takes for its kind', () => {
    for (const name of ['db', 'sts/db', 'StatefulSets/db', 'statefulset/db', 'shop/db']) {
      expect(named([db, api(name)]), name).toEqual(['StatefulSet/db']);
    }
  });

  it('is a Service, which stands for all members that it selects', () => {
    const objects = [
      workload('StatefulSet/main', { ...POSTGRES, labels: { role: 'db' } }),
      replica,
      service('sql', { selector: { role: 'db' } }),
    ];
    expect(named([...objects, api('sql')])).toEqual(['StatefulSet/main', 'StatefulSet/replica']);
    expect(named([...objects, api('services/sql')])).toHaveLength(2);
  });

  it('is the member where a Service has its name, too, unless its kind says otherwise', () => {
    const objects = [db, replica, service('db', { selector: { role: 'db' } })];
    expect(named([...objects, api('db')])).toEqual(['StatefulSet/db']);
    expect(named([...objects, api('svc/db')])).toEqual(['StatefulSet/replica']);
  });

  it('is in another namespace if it says so', () => {
    const queue = workload('StatefulSet/queue', { image: 'rabbitmq:3', namespace: 'mq' });
    expect(named([queue, api('mq/queue')])).toEqual(['mq/StatefulSet/queue']);
  });

  it('is a Service that selects one pod of a StatefulSet', () => {
    const selector = { 'statefulset.kubernetes.io/pod-name': 'db-0' };
    expect(named([db, service('first', { selector }), api('first')])).toEqual(['StatefulSet/db']);
  });

  it('is what a known resource will make', () => {
    const cluster = object('postgresql.cnpg.io/v1', 'Cluster/login-db', { spec: { instances: 3 } });
    expect(named([cluster, api('login-db-rw')], CLUSTER)).toEqual(['Cluster/login-db']);
    expect(named([cluster, api('cluster/login-db')], CLUSTER)).toEqual(['Cluster/login-db']);
  });

  it('is a workload that a known resource owns', () => {
    const owner = { apiVersion: 'postgresql.cnpg.io/v1', kind: 'Cluster', name: 'login-db' };
    const pod = running('Pod/login-db-1', 'Cluster/login-db', { ...POSTGRES, owner });
    const rw = service('login-db-rw', { selector: { app: 'login-db' } });
    const cluster = object('postgresql.cnpg.io/v1', 'Cluster/login-db', {});
    const found = plan([cluster, pod, rw, api('login-db-rw')], CLUSTER);
    expect(member(found, 'Deployment/api').dependsOn).toEqual(['Cluster/login-db']);
    expect(member(found, 'Cluster/login-db').pods).toEqual(['login-db-1']);
  });

  it('is outside if its Service has no selector or is an ExternalName: no edge, a note', () => {
    const mail = service('mail', { type: 'ExternalName', externalName: 'smtp.example.org' });
    const old = service('old', { ports: [{ port: 5432 }] });
    const found = plan([mail, old, api('mail, old')], CLUSTER);
    expect(named([mail, old, api('mail, old')], CLUSTER)).toEqual([]);
    expect(found.problems.map(({ code, severity }) => [code, severity])).toEqual([
      ['DEPENDS_ON_OUTSIDE', 'info'],
      ['DEPENDS_ON_OUTSIDE', 'info'],
    ]);
  });

  it('warns if its Service selects nothing', () => {
    const found = plan([service('sql', { selector: { app: 'gone' } }), api('sql')]);
    expect(codes(found)).toEqual(['SERVICE_SELECTS_NOTHING shop Deployment/api']);
  });

  it('that nobody has is a problem with files, and an error in a cluster and with --whole-cluster', () => {
    const found = plan([db, api('db, dbb')]);
    expect(codes(found)).toContain('NAME_NOT_FOUND shop Deployment/api');
    expect(member(found, 'Deployment/api').dependsOn).toEqual(['StatefulSet/db']);
    expect(() => plan([db, api('db, dbb')], CLUSTER)).toThrow(
      expect.objectContaining({
        code: 'PLAN_UNKNOWN_NAME',
        exit: 2,
        message: expect.stringContaining('dbb (shop Deployment/api)') as string,
        hint: expect.stringContaining('Did you mean db?') as string,
      }),
    );
  });

  it('is a problem, no error, where the credentials may not read what could have it', () => {
    const unexamined = [{ resource: 'services', reason: 'forbidden', optional: false }];
    const found = plan([api('sql')], { ...CLUSTER, unexamined });
    expect(codes(found).toSorted()).toEqual([
      'NAME_NOT_FOUND shop Deployment/api',
      'NOT_LOOKED_AT services',
    ]);
  });

  it('of a member that was not chosen makes no edge, and a warning', () => {
    const queue = workload('StatefulSet/queue', { namespace: 'mq' });
    const found = plan([queue, api('mq/queue')], CLUSTER, { namespaces: ['shop'] });
    expect(layers(found)).toEqual([['Deployment/api']]);
    expect(codes(found)).toEqual(['DEPENDS_ON_NO_MEMBER shop Deployment/api']);
  });

  it('of the member itself is an error, also through a Service', () => {
    const objects = [api('api'), db, service('own', { selector: { app: 'api' } })];
    const self = expect.objectContaining({ code: 'PLAN_SELF_DEPENDENCY', exit: 2 }) as Error;
    expect(() => plan(objects)).toThrow(self);
    expect(() => plan([...objects.slice(1), api('svc/own')])).toThrow(self);
    expect(() => plan([...objects.slice(1), api('deploy/api')])).toThrow(self);
  });

  it('keeps its good neighbours if it is malformed', () => {
    const found = plan([db, api('db, UPPER case,')]);
    expect(member(found, 'Deployment/api').dependsOn).toEqual(['StatefulSet/db']);
    expect(codes(found)).toContain('ANNOTATION_IGNORED shop Deployment/api');
  });
});

describe('a cycle', () => {
  it('of dependencies and numbers names all its members and what each step rests on', () => {
    const objects = [
      workload('Deployment/a', { annotations: { ...AFTER('b'), 'quiesce.dev/order': '1' } }),
      workload('Deployment/b', { annotations: { 'quiesce.dev/order': '2' } }),
      workload('Deployment/c', { annotations: AFTER('a') }),
    ];
    expect(() => plan(objects)).toThrow(
      expect.objectContaining({
        code: 'PLAN_CYCLE',
        exit: 2,
        message:
          'The order has a cycle: shop Deployment/a before shop Deployment/b (quiesce.dev/order 1 before 2), shop Deployment/b before shop Deployment/a (quiesce.dev/depends-on of shop Deployment/a).',
      }),
    );
  });
});
