import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { inject } from '../../../src/cluster/inject/inject.ts';
import { diff } from '../../../src/cluster/objects/json-patch.ts';
import type { Container, Pod } from '../../../src/cluster/objects/pod.ts';
import { applyPatch, CONFIG, goldenNames, goldenPod, postgresPod } from '../../support/pods.ts';

function injected(pod: Pod, config = CONFIG) {
  const result = inject(pod, config);
  if (result.outcome !== 'injected') throw new Error(JSON.stringify(result));
  return result;
}

/** The container as an API server stores it after injection, with its defaults. */
function asStored(container: Container): Container {
  return {
    ...container,
    imagePullPolicy: 'IfNotPresent',
    env: (container.env ?? []).map((entry) =>
      entry.valueFrom?.['fieldRef'] === undefined
        ? entry
        : {
            ...entry,
            valueFrom: {
              fieldRef: { apiVersion: 'v1', ...(entry.valueFrom['fieldRef'] as object) },
            },
          },
    ),
    ...(container.livenessProbe === undefined
      ? {}
      : {
          livenessProbe: {
            ...(container.livenessProbe as object),
            httpGet: { path: '/healthz', port: 'quiesce', scheme: 'HTTP' },
            successThreshold: 1,
          },
        }),
    terminationMessagePath: '/dev/termination-log',
  } as Container;
}

describe('a pod that was injected before', () => {
  it.each(goldenNames)('%s needs no operation, even with the API server’s defaults', (name) => {
    const { pod } = injected(goldenPod(name));
    const stored = {
      ...pod,
      spec: { ...pod.spec, containers: (pod.spec?.containers ?? []).map(asStored) },
    };
    expect(injected(stored).patch).toEqual([]);
  });

  it('keeps what others have added to the sidecar since', () => {
    const { pod } = injected(postgresPod({}));
    const containers = (pod.spec?.containers ?? []).map((one) =>
      one.name === 'quiesce'
        ? {
            ...one,
            env: [{ name: 'CLUSTER_REGION', value: 'eu' }, ...(one.env ?? [])],
            resources: { ...one.resources, limits: { ...one.resources?.limits, cpu: '1' } },
          }
        : one,
    );
    const last = { name: 'istio-proxy', image: 'istio' };
    const changed = { ...pod, spec: { ...pod.spec, containers: [...containers, last] } };
    expect(injected(changed).patch).toEqual([]);
  });

  it('is brought up to date field by field', () => {
    const { pod } = injected(postgresPod({}));
    const newer = {
      ...CONFIG,
      image: 'registry.example/quiesce:2.0.0',
      memoryLimit: '512Mi',
      hookTimeoutMs: 60_000,
    };
    const { patch } = injected(pod, newer);
    expect(patch.map(({ op, path }) => `${op} ${path}`).toSorted()).toEqual([
      'replace /metadata/annotations/post.hook.backup.velero.io~1timeout',
      'replace /metadata/annotations/pre.hook.backup.velero.io~1command',
      'replace /metadata/annotations/pre.hook.backup.velero.io~1timeout',
      'replace /metadata/annotations/quiesce.dev~1written',
      'replace /spec/containers/1/image',
      'replace /spec/containers/1/resources/limits/memory',
    ]);
    expect(injected(applyPatch(pod, patch) as Pod, newer).patch).toEqual([]);
  });

  it('needs no operation for a quantity that is only written differently', () => {
    const { pod } = injected(postgresPod({}), {
      ...CONFIG,
      cpuRequest: '100m',
      memoryLimit: '268435456',
    });
    expect(injected(pod, { ...CONFIG, cpuRequest: '0.1', memoryLimit: '256Mi' }).patch).toEqual([]);
  });

  it('loses stale variables of quiesce', () => {
    const { pod } = injected(postgresPod({ annotations: { 'quiesce.dev/ttl': '1h' } }));
    const { 'quiesce.dev/ttl': _, ...annotations } = pod.metadata?.annotations ?? {};
    const { patch } = injected({ ...pod, metadata: { ...pod.metadata, annotations } });
    expect(patch).toMatchObject([
      { op: 'replace', path: '/metadata/annotations/quiesce.dev~1written' },
      { op: 'remove', path: expect.stringMatching(/^\/spec\/containers\/1\/env\/\d+$/) as string },
    ]);
  });

  it('gets a new guess with a new image, but the user’s own choice stays', () => {
    const { pod } = injected(postgresPod({}));
    const [database, ...others] = pod.spec?.containers ?? [];
    const moved = {
      ...pod,
      spec: {
        ...pod.spec,
        containers: [{ ...database, image: 'mongo:7', ports: [] } as Container, ...others],
      },
    };
    expect(injected(moved).pod.metadata?.annotations?.['quiesce.dev/engine']).toBe('mongodb');
    const annotations = { ...pod.metadata?.annotations, 'quiesce.dev/engine': 'redis' };
    const chosen = { ...moved, metadata: { ...pod.metadata, annotations } };
    expect(injected(chosen).pod.metadata?.annotations?.['quiesce.dev/engine']).toBe('redis');
  });

  it('is injected again even if a user broke the record of its annotations', () => {
    for (const written of ['', 'null', '[]', '{', '"x"', '7']) {
      const pod = postgresPod({ annotations: { 'quiesce.dev/written': written } });
      const once = injected(pod).pod;
      expect(injected(once).patch).toEqual([]);
    }
  });
});

const entry = fc.record({
  name: fc.constantFrom(
    'POSTGRES_PASSWORD',
    'POSTGRES_USER',
    'PGDATA',
    'A',
    'B',
    'PGHOST',
    'PGPORT',
  ),
  value: fc.constantFrom(
    '',
    'x',
    '$(A)',
    '$(B)/y',
    '/var/lib/postgresql/data/pg',
    '$(MISSING)',
    '5433',
  ),
});
const mount = fc.record({
  name: fc.constantFrom('data', 'wal', 'conf', 'tmp'),
  mountPath: fc.constantFrom(
    '/var/lib/postgresql/data',
    '/var/lib/postgresql/',
    '/wal',
    '/tmp',
    '/run/quiesce',
    '/etc/x',
  ),
});
const annotations = fc.dictionary(
  fc.constantFrom(
    'pre.hook.backup.velero.io/command',
    'pre.hook.backup.velero.io/container',
    'pre.hook.backup.velero.io/timeout',
    'post.hook.backup.velero.io/command',
    'post.hook.backup.velero.io/on-error',
    'backup.velero.io/backup-volumes',
    'backup.velero.io/backup-volumes-excludes',
    'kubectl.kubernetes.io/default-container',
    'quiesce.dev/hook-timeout',
    'quiesce.dev/written',
    'weird~key/with~1tilde',
  ),
  fc.constantFrom(
    'quiesce',
    '["quiesce","freeze","--timeout","9s"]',
    '["quiesce", "thaw"]',
    '1m30s',
    '30s',
    'data',
    '{}',
    '',
  ),
);

describe('for any pod', () => {
  const pods = fc
    .record({
      env: fc.array(entry, { maxLength: 6 }),
      volumeMounts: fc.uniqueArray(mount, { selector: ({ mountPath }) => mountPath }),
      annotations: fc.option(annotations, { nil: undefined }),
      restored: fc.boolean(),
      envFrom: fc.boolean(),
      fsGroup: fc.boolean(),
    })
    .map(({ env, volumeMounts, annotations: own, restored, envFrom, fsGroup }) =>
      postgresPod({
        ...(own ? { annotations: own } : {}),
        labels: restored ? { 'velero.io/restore-name': 'r' } : {},
        container: {
          env,
          volumeMounts,
          ...(envFrom ? { envFrom: [{ secretRef: { name: 's' } }] } : {}),
        },
        spec: { securityContext: fsGroup ? { fsGroup: 5 } : {} },
      }),
    );

  it('the patch applies, and a second injection needs no operation', () => {
    fc.assert(
      fc.property(pods, (pod) => {
        const first = inject(pod, CONFIG);
        fc.pre(first.outcome === 'injected');
        const patched = applyPatch(pod, first.patch) as Pod;
        expect(patched).toEqual(first.pod);
        expect(injected(patched).patch).toEqual([]);
      }),
      { numRuns: 500 },
    );
  });

  it('no annotation of the user changes or disappears', () => {
    fc.assert(
      fc.property(pods, (pod) => {
        const result = inject(pod, CONFIG);
        fc.pre(result.outcome === 'injected');
        const after = result.pod.metadata?.annotations ?? {};
        for (const [key, value] of Object.entries(pod.metadata?.annotations ?? {})) {
          if (key !== 'quiesce.dev/written') expect(after[key]).toBe(value);
        }
      }),
      { numRuns: 500 },
    );
  });

  it('a new configuration is applied by one patch, and then needs no operation', () => {
    fc.assert(
      fc.property(pods, fc.integer({ min: 2_000, max: 600_000 }), (pod, hookTimeoutMs) => {
        const first = inject(pod, CONFIG);
        fc.pre(first.outcome === 'injected');
        const config = { ...CONFIG, hookTimeoutMs, image: 'other:1' };
        const second = injected(first.pod, config);
        const patched = applyPatch(first.pod, second.patch) as Pod;
        expect(patched).toEqual(second.pod);
        expect(injected(patched, config).patch).toEqual([]);
      }),
      { numRuns: 300 },
    );
  });
});

describe('diff', () => {
  const leaf = fc.oneof(fc.string(), fc.integer(), fc.boolean(), fc.constant(null));
  const named = fc.uniqueArray(
    fc.record({ name: fc.constantFrom('a', 'b', 'c', 'd/e', '~f'), value: leaf }),
    { selector: ({ name }) => name },
  );
  const key = fc.string().filter((text) => text !== '__proto__');
  const value = fc.dictionary(key, fc.oneof(leaf, named, fc.array(leaf), fc.dictionary(key, leaf)));

  it('turns any value into any other', () => {
    fc.assert(
      fc.property(value, value, (before, after) => {
        expect(applyPatch(before, diff(before, after))).toEqual(after);
      }),
      { numRuns: 1_000 },
    );
  });
});
