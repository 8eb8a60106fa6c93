import { describe, expect, it } from 'vitest';
import { inject } from '../../../src/cluster/inject/inject.ts';
import type { Container, Pod } from '../../../src/cluster/objects/pod.ts';
import { readConfig } from '../../../src/config/config.ts';
import { loadEngine } from '../../../src/engines/index.ts';
import { ENGINE_NAMES } from '../../../src/engines/names.ts';
import { CONFIG, postgresPod } from '../../support/pods.ts';

const REDIS = {
  name: 'redis',
  image: 'redis:7.2',
  volumeMounts: [{ name: 'data', mountPath: '/data' }],
};
const POSTGRES = postgresPod({}).spec?.containers?.[0] as Container;

/** A pod whose owner has written some of the sidecar. */
function podWith(stub: Partial<Container>, database: Container = REDIS, annotations = {}): Pod {
  const sidecar = { name: 'quiesce', image: 'quiesce', args: ['sidecar'], ...stub };
  const pod = postgresPod({ annotations });
  return { ...pod, spec: { ...pod.spec, containers: [database, sidecar] } };
}

function injected(pod: Pod, config = CONFIG): Pod {
  const result = inject(pod, config);
  if (result.outcome !== 'injected') throw new Error(JSON.stringify(result));
  expect(inject(result.pod, config)).toMatchObject({ patch: [] });
  return result.pod;
}

function sidecarOf(pod: Pod): Container {
  const found = pod.spec?.containers?.find(({ name }) => name === 'quiesce');
  if (found === undefined) throw new Error('there is no sidecar');
  return found;
}

const envOf = (pod: Pod): Record<string, string | undefined> =>
  Object.fromEntries((sidecarOf(pod).env ?? []).map(({ name, value }) => [name, value]));

const changed = (pod: Pod, change: (sidecar: Container) => Container): Pod => ({
  ...pod,
  spec: {
    ...pod.spec,
    containers: (pod.spec?.containers ?? []).map((one) =>
      one.name === 'quiesce' ? change(one) : one,
    ),
  },
});

describe('what a user wrote on the sidecar', () => {
  it.each([
    ['QUIESCE_REPLICA', 'pause', REDIS],
    ['QUIESCE_FREEZE_TIMEOUT', '50s', REDIS],
    ['QUIESCE_COPY', 'files', REDIS],
    ['QUIESCE_APP', 'mine', REDIS],
    ['REDIS_PORT', '6380', REDIS],
    ['REDIS_TLS', 'true', REDIS],
    ['PGHOST', '/var/run/postgresql', POSTGRES],
    ['PGUSER', 'backup', POSTGRES],
    ['PGSSLMODE', 'require', POSTGRES],
    ['MONGODB_AUTH_SOURCE', 'shop', { ...REDIS, name: 'mongo', image: 'mongo:7' }],
  ])('stays: the variable %s, also when the configuration changes', (name, value, database) => {
    const pod = injected(podWith({ env: [{ name, value }] }, database));
    expect(envOf(pod)[name]).toBe(value);
    const again = injected(pod, { ...CONFIG, image: 'other:2', restoreCheck: 'content' });
    expect(envOf(again)).toMatchObject({ [name]: value, QUIESCE_RESTORE_CHECK: 'content' });
  });

  it('stays: limits and requests, and ours give way where they would contradict', () => {
    const resources = { limits: { cpu: '200m', memory: '32Mi' }, requests: { cpu: '150m' } };
    const pod = injected(podWith({ resources }));
    expect(sidecarOf(pod).resources).toEqual({
      limits: { cpu: '200m', memory: '32Mi' },
      requests: { cpu: '150m', memory: '32Mi' },
    });
    const more = injected(pod, { ...CONFIG, memoryRequest: '16Mi', memoryLimit: '1Gi' });
    expect(sidecarOf(more).resources?.limits?.['memory']).toBe('32Mi');
    const high = injected(podWith({ resources: { requests: { memory: '512Mi' } } }));
    expect(sidecarOf(high).resources?.limits?.['memory']).toBe('512Mi');
  });

  it('stays: the user, and sources of variables', () => {
    const pod = injected(
      podWith({
        securityContext: { runAsUser: 4711 },
        envFrom: [{ secretRef: { name: 'mine' } }],
      }),
    );
    expect(sidecarOf(pod)).toMatchObject({
      securityContext: { runAsUser: 4711, readOnlyRootFilesystem: true },
      envFrom: [{ secretRef: { name: 'mine' } }],
    });
  });

  it('stays if it is written after the injection, too', () => {
    const first = injected(podWith({}));
    const edited = changed(first, (one) => ({
      ...one,
      env: [
        ...(one.env ?? []).map((entry) =>
          entry.name === 'QUIESCE_APP' ? { ...entry, value: 'renamed' } : entry,
        ),
        { name: 'QUIESCE_LOG_LEVEL', value: 'debug' },
      ],
      resources: { ...one.resources, limits: { memory: '300Mi' } },
    }));
    const pod = injected(edited, { ...CONFIG, memoryLimit: '128Mi' });
    expect(envOf(pod)).toMatchObject({ QUIESCE_APP: 'renamed', QUIESCE_LOG_LEVEL: 'debug' });
    expect(sidecarOf(pod).resources?.limits?.['memory']).toBe('300Mi');
  });

  it('decides about hooks and guesses, as an annotation would', () => {
    const env = [{ name: 'QUIESCE_COPY', value: 'volumes' }];
    const { metadata } = injected(podWith({ env }, POSTGRES));
    expect(metadata?.annotations?.['pre.hook.backup.velero.io/command']).toContain('--thaw-last');
    const unknown = { ...REDIS, image: 'registry.example/cache:1' };
    const engine = [{ name: 'QUIESCE_ENGINE', value: 'redis' }];
    expect(envOf(injected(podWith({ env: engine }, unknown)))['QUIESCE_ENGINE']).toBe('redis');
  });

  it('never stands beside a setting of ours that the sidecar refuses together with it', async () => {
    const password = [{ name: 'REDIS_PASSWORD', value: 'p' }];
    const cases = [
      [
        { ...REDIS, env: password },
        { name: 'REDIS_URL', value: 'rediss://u:q@127.0.0.1:7000' },
      ],
      [REDIS, { name: 'REDIS_SOCKET', value: '/run/redis.sock' }],
      [
        { ...REDIS, env: password },
        { name: 'REDIS_PASSWORD', value: 'other' },
      ],
      [POSTGRES, { name: 'PGPASSWORD', value: 'other' }],
      [
        { ...REDIS, name: 'mongo', image: 'mongo:7', env: [] },
        { name: 'MONGODB_URI', value: 'mongodb://u:p@127.0.0.1:27018/?authSource=admin' },
      ],
    ] as const;
    for (const [database, own] of cases) {
      const pod = injected(podWith({ env: [own] }, database));
      const env = Object.fromEntries(
        (sidecarOf(pod).env ?? [])
          .filter(({ valueFrom }) => valueFrom?.['fieldRef'] === undefined)
          .map(({ name, value }) => [name, value ?? 'from a Secret']),
      );
      const read = readConfig({
        env: { ...env, QUIESCE_RESTORE_MARK: ',' },
        engines: ENGINE_NAMES,
        engineIssues: async (engine, settings) =>
          (await loadEngine(engine)).checkSettings(settings),
      });
      await expect(read).resolves.toMatchObject({ settings: { [own.name]: own.value } });
    }
  });

  it('never puts a secret of the pod into an annotation', () => {
    const env = [
      { name: 'POSTGRES_PASSWORD', value: 'swordfish' },
      { name: 'PGDATA', value: '/var/lib/postgresql/data/pgdata' },
    ];
    const pod = injected(podWith({}, { ...POSTGRES, env }));
    expect(envOf(pod)['PGPASSWORD']).toBe('swordfish');
    expect(JSON.stringify(pod.metadata)).not.toContain('swordfish');
  });

  it('is not told from ours in a pod of the first release, which recorded annotations only', () => {
    const pod = injected(postgresPod({ annotations: { 'quiesce.dev/ttl': '1h' } }));
    const { container: _, ...written } = JSON.parse(
      pod.metadata?.annotations?.['quiesce.dev/written'] ?? '',
    ) as Record<string, string>;
    const { 'quiesce.dev/ttl': _ttl, ...rest } = pod.metadata?.annotations ?? {};
    const annotations = { ...rest, 'quiesce.dev/written': JSON.stringify(written) };
    const old = { ...pod, metadata: { ...pod.metadata, annotations } };
    expect(envOf(old)['QUIESCE_TTL']).toBe('3600s');
    expect(envOf(injected(old))).not.toHaveProperty('QUIESCE_TTL');
  });
});

describe('a setting of one pod', () => {
  it.each([
    ['replica', 'pause', 'QUIESCE_REPLICA'],
    ['data-dir', '/data/db', 'QUIESCE_DATA_DIR'],
    ['app', 'The shop', 'QUIESCE_APP'],
    ['log-level', 'debug', 'QUIESCE_LOG_LEVEL'],
  ])('has the annotation %s', (name, value, variable) => {
    const annotations = { [`quiesce.dev/${name}`]: value };
    const database = {
      ...REDIS,
      volumeMounts: [{ name: 'data', mountPath: '/data' }],
    };
    const pod = { ...postgresPod({ annotations }) };
    const result = injected({ ...pod, spec: { ...pod.spec, containers: [database] } });
    expect(envOf(result)[variable]).toBe(value);
  });

  it.each([
    ['replica', 'stop'],
    ['data-dir', 'data'],
    ['app', 'a\u0007b'],
    ['log-level', 'loud'],
  ])('is refused if %s has a value that the sidecar refuses', (name, value) => {
    const pod = postgresPod({ annotations: { [`quiesce.dev/${name}`]: value } });
    expect(inject(pod, CONFIG)).toMatchObject({
      outcome: 'invalid',
      issues: [{ field: `quiesce.dev/${name}` }],
    });
  });

  it('leaves alone what others call an app, or data', () => {
    const annotations = { 'quiesce.dev/app-owner': 'team', 'quiesce.dev/data-class': 'c2' };
    expect(inject(postgresPod({ annotations }), CONFIG)).toMatchObject({
      outcome: 'injected',
      notices: [{ code: 'AnnotationIgnored' }, { code: 'AnnotationIgnored' }],
    });
  });
});
