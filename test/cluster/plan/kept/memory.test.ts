import { describe, expect, it } from 'vitest';
import { deployment, notKeptIn, planObjects, problemsIn, statefulSet } from './support.ts';

const DATA = [{ metadata: { name: 'data' }, spec: {} }];

interface Given {
  readonly image?: string;
  readonly args?: readonly string[];
  readonly env?: readonly object[];
  readonly conf?: string;
  readonly claim?: boolean;
  readonly path?: string;
}

/** What is not kept of a server with a claim, unless it is told to have none. */
function lost({ image = 'redis:7', args, env, conf, claim = true, path = '/data' }: Given) {
  const mounts = [
    ...(claim ? [{ name: 'data', mountPath: path }] : []),
    ...(conf === undefined ? [] : [{ name: 'conf', mountPath: '/etc/redis' }]),
  ];
  const spec = {
    containers: [
      {
        name: 'server',
        image,
        volumeMounts: mounts,
        ...(args !== undefined && { args }),
        ...(env !== undefined && { env }),
      },
    ],
    volumes: conf === undefined ? [] : [{ name: 'conf', configMap: { name: 'conf' } }],
  };
  const map = {
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: { name: 'conf' },
    data: { 'redis.conf': conf },
  };
  const objects = [statefulSet('r', spec, claim ? DATA : []), ...(conf === undefined ? [] : [map])];
  return notKeptIn(planObjects(objects)).map((one) => one.split(' ')[1]);
}

const NOTHING: readonly string[] = [];
const MEMORY = ['(memory)'];
const aof = (value: string) => [{ name: 'REDIS_AOF_ENABLED', value }];

describe('a Redis is in memory only', () => {
  it.each<[string, Given]>([
    ['--save "" in one argument', { args: ['--save', '', '--appendonly', 'no'] }],
    ['--save "" without appendonly', { args: ['redis-server', '--save', ''] }],
    ['the same with Valkey', { image: 'valkey/valkey:8', args: ['valkey-server', '--save', ''] }],
    ['the same with KeyDB', { image: 'eqalpha/keydb', args: ['keydb-server', '--save', ''] }],
    ['a shell’s text', { args: ['sh', '-c', 'exec redis-server --save "" --appendonly no'] }],
    ['single quotes', { args: ['sh', '-c', "redis-server --save '' --maxmemory 1gb"] }],
    [
      'REDIS_ARGS',
      {
        image: 'redis/redis-stack-server',
        env: [{ name: 'REDIS_ARGS', value: '--save "" --appendonly no' }],
      },
    ],
    [
      'a configuration',
      { args: ['redis-server', '/etc/redis/redis.conf'], conf: 'save ""\nappendonly no\n' },
    ],
    ['a configuration with save only', { args: ['/etc/redis/redis.conf'], conf: '  save ""' }],
    [
      'Bitnami’s variables',
      {
        image: 'bitnami/redis',
        env: [...aof('no'), { name: 'REDIS_RDB_POLICY_DISABLED', value: 'yes' }],
      },
    ],
    [
      'an argument against its configuration',
      { args: ['/etc/redis/redis.conf', '--save', ''], conf: 'save 900 1' },
    ],
    ['no volume at all', { claim: false }],
    ['no volume but one for scratch', { path: '/tmp' }],
    ['no volume in spite of appendonly', { claim: false, args: ['--appendonly', 'yes'] }],
  ])('with %s', (_, given) => {
    expect(lost(given)).toEqual(MEMORY);
  });
});

describe('a Redis persists', () => {
  it.each<[string, Given]>([
    ['by default', {}],
    ['with appendonly', { args: ['--save', '', '--appendonly', 'yes'] }],
    ['with points of saving', { args: ['--save', '900', '1'] }],
    ['with them in a shell’s text', { args: ['sh', '-c', 'redis-server --save "60 1000"'] }],
    [
      'by its configuration',
      { args: ['/etc/redis/redis.conf'], conf: '# save ""\nappendonly yes\nsave ""' },
    ],
    ['by Bitnami’s default', { image: 'bitnami/redis' }],
    ['by Bitnami’s variable', { image: 'bitnami/redis', env: aof('yes') }],
    ['as far as can be told: its configuration is not there', { args: ['/etc/other/redis.conf'] }],
  ])('%s', (_, given) => {
    expect(lost(given)).toEqual(NOTHING);
  });
});

describe('other servers', () => {
  it.each<[string, Given, readonly string[]]>([
    ['memcached', { image: 'memcached', claim: false }, MEMORY],
    ['memcached with a claim', { image: 'memcached' }, MEMORY],
    ['dragonfly', { image: 'dragonflydb/dragonfly' }, MEMORY],
    [
      'dragonfly with snapshots',
      { image: 'dragonflydb/dragonfly', args: ['--snapshot_cron', '*/5 * * * *'] },
      NOTHING,
    ],
    ['sentinel', { image: 'redis', args: ['redis-sentinel', '/x.conf'], claim: false }, NOTHING],
    ['nats', { image: 'nats', claim: false }, NOTHING],
    ['nats with streams', { image: 'nats', args: ['-js'], claim: false }, MEMORY],
    ['postgres without a volume', { image: 'postgres', claim: false }, ['(container)']],
    ['rabbitmq without a volume', { image: 'rabbitmq', claim: false }, ['(container)']],
    ['postgres', { image: 'postgres' }, NOTHING],
    ['a pooler', { image: 'edoburu/pgbouncer', claim: false }, NOTHING],
    ['an application', { image: 'acme/app', claim: false }, NOTHING],
    ['an exporter', { image: 'oliver006/redis_exporter', claim: false }, NOTHING],
  ])('%s', (_, given, volumes) => {
    expect(lost(given)).toEqual(volumes);
  });

  it('beside an application are judged, too, and those in init containers that go on', () => {
    const redis = { name: 'redis', image: 'redis:7' };
    const app = { name: 'app', image: 'acme/app' };
    const beside = planObjects([deployment('a', { containers: [app, redis] })]);
    expect(notKeptIn(beside)).toEqual(['Deployment/a (memory)']);
    const native = planObjects([
      deployment('a', {
        containers: [app],
        initContainers: [{ ...redis, restartPolicy: 'Always' }],
      }),
    ]);
    expect(notKeptIn(native)).toEqual(['Deployment/a (memory)']);
    const waits = planObjects([deployment('a', { containers: [app], initContainers: [redis] })]);
    expect(notKeptIn(waits)).toEqual([]);
  });

  it('with a claim whose mount the manifest leaves out are not said to have none', () => {
    const set = statefulSet('q', { containers: [{ name: 'q', image: 'rabbitmq' }] }, DATA);
    expect(notKeptIn(planObjects([set]))).toEqual([]);
  });

  it('of an unknown image are judged by the engine that the user names', () => {
    const annotations = { 'quiesce.dev/engine': 'redis' };
    const containers = [{ name: 'a', image: 'acme/own-cache' }];
    const plan = planObjects([deployment('a', { containers }, { metadata: { annotations } })]);
    expect(notKeptIn(plan)).toEqual(['Deployment/a (memory)']);
  });

  it('take variables from ConfigMaps', () => {
    const of = (container: object) => {
      const set = statefulSet(
        'r',
        {
          containers: [
            {
              name: 'r',
              image: 'redis/redis-stack-server',
              volumeMounts: [{ name: 'data', mountPath: '/data' }],
              ...container,
            },
          ],
        },
        DATA,
      );
      const map = {
        apiVersion: 'v1',
        kind: 'ConfigMap',
        metadata: { name: 'm' },
        data: { REDIS_ARGS: "--save ''" },
      };
      return notKeptIn(planObjects([set, map]));
    };
    const key = { name: 'm', key: 'REDIS_ARGS' };
    expect(of({ env: [{ name: 'REDIS_ARGS', valueFrom: { configMapKeyRef: key } }] })).toHaveLength(
      1,
    );
    expect(of({ envFrom: [{ configMapRef: { name: 'm' } }] })).toHaveLength(1);
    expect(of({})).toHaveLength(0);
  });
});

describe('what the user declares', () => {
  const redis = (state: string, args: readonly string[] = ['--save', '']) => {
    const containers = [
      {
        name: 'r',
        image: 'redis',
        args,
        volumeMounts: [
          { name: 'data', mountPath: '/data' },
          { name: 'extra', mountPath: '/extra' },
        ],
      },
    ];
    const set = statefulSet('r', { containers, volumes: [{ name: 'extra', emptyDir: {} }] }, DATA);
    return planObjects([
      { ...set, metadata: { name: 'r', annotations: { 'quiesce.dev/state': state } } },
    ]);
  };

  it('is carried, and silences the problem', () => {
    const plan = redis('(memory)=rebuild, extra = discard');
    expect(notKeptIn(plan)).toEqual([
      'StatefulSet/r (memory) = rebuild',
      'StatefulSet/r extra = discard',
    ]);
    expect(problemsIn(plan, /^STATE_/)).toEqual([]);
  });

  it('is an error where it cannot be kept', () => {
    const plan = redis('(memory)=keep, extra=keep, data=keep');
    expect(problemsIn(plan, /^STATE_/)).toEqual([
      'STATE_CANNOT_BE_KEPT StatefulSet/r',
      'STATE_CANNOT_BE_KEPT StatefulSet/r',
    ]);
    expect(
      plan.problems.filter(({ severity }) => severity === 'error').map(({ code }) => code),
    ).toContain('STATE_CANNOT_BE_KEPT');
    expect(notKeptIn(plan)).toEqual([
      'StatefulSet/r (memory) = keep',
      'StatefulSet/r extra = keep',
    ]);
  });

  it('is a problem where it is no volume', () => {
    const plan = redis('(memory)=rebuild, extra=discard, gone=rebuild');
    expect(problemsIn(plan, /^STATE_/)).toEqual(['STATE_UNKNOWN_VOLUME StatefulSet/r']);
  });

  it('says nothing where it is invalid', () => {
    const plan = redis('extra=perhaps', []);
    expect(problemsIn(plan, /^STATE_|ANNOTATION/)).toEqual([
      'ANNOTATION_IGNORED StatefulSet/r',
      'STATE_NOT_KEPT StatefulSet/r',
    ]);
  });

  it('may be on the template, and the workload’s counts', () => {
    const volumeMounts = [{ name: 'v', mountPath: '/v' }];
    const spec = {
      containers: [{ name: 'a', image: 'a', volumeMounts }],
      volumes: [{ name: 'v', emptyDir: {} }],
    };
    const annotations = { 'quiesce.dev/state': 'v=discard' };
    const below = deployment('a', spec, { template: { annotations } });
    expect(notKeptIn(planObjects([below]))).toEqual(['Deployment/a v = discard']);
    const above = { annotations: { 'quiesce.dev/state': 'v=rebuild' } };
    const both = deployment('a', spec, { template: { annotations }, metadata: above });
    expect(notKeptIn(planObjects([both]))).toEqual(['Deployment/a v = rebuild']);
  });
});
