import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { examine } from '../../../src/cluster/doctor/examine.ts';
import { inject } from '../../../src/cluster/inject/inject.ts';
import type { Pod } from '../../../src/cluster/objects/pod.ts';
import { CONFIG, goldenNames, goldenPod } from '../../support/pods.ts';
import { codes, findingsOf, inventory } from './support.ts';

/** Warnings of the webhook, and the findings of the doctor for the same problem. */
const SAME: Readonly<Record<string, string>> = {
  HooksNotAdded: 'HOOKS_OVERWRITTEN',
  HookTimeoutUnreadable: 'HOOK_TIMEOUT_UNREADABLE',
  HookTimeoutsContradict: 'HOOK_TIMEOUTS_CONTRADICT',
  DataNotFound: 'DATA_NOT_FOUND',
  DataEphemeral: 'DATA_EPHEMERAL',
  DataOnHost: 'DATA_ON_HOST',
  TtlTooShort: 'TTL_TOO_SHORT',
  UserUnknown: 'USER_UNKNOWN',
  CopyContradicts: 'COPY_CONTRADICTS_FILE_BACKUP',
  SeveralVolumes: 'COPY_SEVERAL_VOLUMES',
  CopiedTooEarly: 'COPIED_TOO_EARLY',
  StateNotExcluded: 'STATE_IN_FILE_BACKUP',
  AnnotationIgnored: 'ANNOTATION_IGNORED',
};

const named = (pod: Pod): Pod => ({
  kind: 'Pod',
  apiVersion: 'v1',
  ...pod,
  metadata: { name: 'db-0', namespace: 'shop', ...pod.metadata },
});

describe.each(goldenNames)('the pod %s', (name) => {
  const pod = goldenPod(name);
  const result = inject(pod, CONFIG);
  if (result.outcome !== 'injected') throw new Error(JSON.stringify(result));
  const expected = result.notices.flatMap(({ code }) => SAME[code] ?? []).toSorted();
  const secrets = pod.metadata?.annotations?.['quiesce.dev/credentials-secret'];
  const given = secrets
    ? [
        {
          apiVersion: 'v1',
          kind: 'Secret',
          metadata: { name: secrets, namespace: 'shop' },
          data: { password: '' },
        },
      ]
    : [];

  it('with its sidecar gives findings for the webhook’s warnings, and no others', () => {
    expect(codes(findingsOf([named(result.pod), ...given]))).toEqual([...new Set(expected)]);
  });

  it('with only the label gives the same findings before it runs', () => {
    expect(codes(findingsOf([named(pod), ...given]))).toEqual([...new Set(expected)]);
  });

  it('without the label is reported as unprotected', () => {
    const { labels = {}, annotations = {}, ...rest } = pod.metadata ?? {};
    const plain = {
      ...pod,
      metadata: {
        ...rest,
        labels: Object.fromEntries(
          Object.entries(labels).filter(([key]) => key !== 'quiesce.dev/inject'),
        ),
        annotations: Object.fromEntries(
          Object.entries(annotations).filter(([key]) => !key.startsWith('quiesce.dev/')),
        ),
      },
    };
    const { findings, workloads } = examine(inventory([named(plain)]));
    expect(codes(findings)).toEqual(['UNPROTECTED']);
    expect(workloads[0]?.state).toBe('unprotected');
  });
});

describe('objects of any shape', () => {
  const odd = fc.oneof(
    fc.constant(null),
    fc.boolean(),
    fc.integer(),
    fc.string(),
    fc.array(fc.oneof(fc.string(), fc.constant(null), fc.object({ maxDepth: 1 }))),
    fc.object({ maxDepth: 2 }),
  );
  /** A pod with one field replaced. */
  const bent = fc
    .tuple(fc.constantFrom(...goldenNames), fc.integer({ min: 0, max: 10_000 }), odd)
    .map(([name, at, value]) => {
      const first = goldenPod(name);
      const pod = structuredClone(at % 2 === 0 ? injected(first) : first) as unknown;
      const places: [Record<string, unknown>, string][] = [];
      const walk = (one: unknown): void => {
        if (typeof one !== 'object' || one === null) return;
        for (const key of Object.keys(one)) {
          if (key !== 'kind' && key !== 'apiVersion')
            places.push([one as Record<string, unknown>, key]);
          walk((one as Record<string, unknown>)[key]);
        }
      };
      walk(pod);
      const [parent, key] = places[at % places.length] ?? [{}, ''];
      parent[key] = value;
      return pod as object;
    });

  it('never make the doctor throw, if they are workloads', () => {
    fc.assert(
      fc.property(bent, fc.constantFrom('StatefulSet', 'Pod'), (pod, kind) => {
        const object =
          kind === 'Pod'
            ? pod
            : {
                apiVersion: 'apps/v1',
                kind,
                metadata: { name: 'db' },
                spec: { template: pod, volumeClaimTemplates: [pod, null] },
              };
        expect(() => findingsOf([object], { scope: 'cluster' })).not.toThrow();
      }),
      { numRuns: 500 },
    );
  });

  it('never make the doctor throw, if they are parts of the platform', () => {
    const kinds = [
      ['velero.io/v1', 'Schedule'],
      ['velero.io/v1', 'BackupStorageLocation'],
      ['apps/v1', 'Deployment'],
      ['v1', 'Service'],
      ['v1', 'Secret'],
      ['v1', 'Namespace'],
      ['v1', 'PersistentVolumeClaim'],
      ['discovery.k8s.io/v1', 'EndpointSlice'],
      ['snapshot.storage.k8s.io/v1', 'VolumeSnapshotClass'],
      ['admissionregistration.k8s.io/v1', 'MutatingWebhookConfiguration'],
    ] as const;
    const object = fc
      .tuple(
        fc.constantFrom(...kinds),
        fc.dictionary(
          fc.constantFrom(
            'metadata',
            'spec',
            'status',
            'webhooks',
            'data',
            'parameters',
            'driver',
            'endpoints',
          ),
          odd,
        ),
      )
      .map(([[apiVersion, kind], fields]) => ({ ...fields, apiVersion, kind }));
    fc.assert(
      fc.property(fc.array(object, { maxLength: 6 }), (objects) => {
        const pod = named(injected(goldenPod('official-postgres-18')));
        expect(() => findingsOf([pod, ...objects], { scope: 'cluster' })).not.toThrow();
      }),
      { numRuns: 500 },
    );
  });
});

function injected(pod: Pod): Pod {
  const result = inject(pod, CONFIG);
  return result.outcome === 'injected' ? result.pod : pod;
}

describe('the owner of a pod', () => {
  const plain = (more: object): object => {
    const { spec } = goldenPod('official-postgres-18');
    return {
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name: 'db-0', namespace: 'shop', uid: '1', ...more },
      spec,
      status: { phase: 'Running' },
    };
  };
  const owned = (kind: string, apiVersion: string): object =>
    plain({ ownerReferences: [{ kind, apiVersion, name: 'db', uid: '2', controller: true }] });

  it('decides where the fix puts the label', () => {
    const [of] = findingsOf([owned('Cluster', 'postgresql.cnpg.io/v1')]);
    expect(of).toMatchObject({ code: 'UNPROTECTED', object: { kind: 'Pod', name: 'db-0' } });
    expect(of?.fix).toContain('through Cluster/db');
    const [alone] = findingsOf([plain({})]);
    expect(alone?.fix).toMatch(/^Put the label .* on the pod,/);
  });

  it('decides whether the pod is a workload of its own', () => {
    for (const kind of ['Job', 'Node']) expect(findingsOf([owned(kind, 'batch/v1')])).toEqual([]);
    const { spec } = goldenPod('official-postgres-18');
    const deployment = {
      apiVersion: 'apps/v1',
      kind: 'Deployment',
      metadata: { name: 'db', namespace: 'shop' },
      spec: { template: { metadata: { labels: { app: 'db' } }, spec } },
    };
    const set = {
      kind: 'ReplicaSet',
      apiVersion: 'apps/v1',
      name: 'db-5f6d',
      uid: '3',
      controller: true,
    };
    const pod = plain({ labels: { 'pod-template-hash': '5f6d' }, ownerReferences: [set] });
    expect(findingsOf([deployment, pod])).toMatchObject([
      { code: 'UNPROTECTED', object: { kind: 'Deployment', name: 'db' }, pods: ['db-0'] },
    ]);
  });
});

describe('a setting in a form that the sidecar refuses', () => {
  it('is reported: NAME_DEFAULT exists only for keys of engines', () => {
    const result = inject(goldenPod('official-postgres-18'), CONFIG);
    if (result.outcome !== 'injected') throw new Error(JSON.stringify(result));
    const { spec } = result.pod;
    const containers = (spec?.containers ?? []).map((one) =>
      one.name === 'quiesce'
        ? { ...one, env: [...(one.env ?? []), { name: 'QUIESCE_COPY_DEFAULT', value: 'files' }] }
        : one,
    );
    const found = findingsOf([named({ ...result.pod, spec: { ...spec, containers } })]);
    expect(found).toContainEqual(
      expect.objectContaining({
        code: 'SIDECAR_CONFIG_INVALID',
        message: 'QUIESCE_COPY_DEFAULT is not a setting of the sidecar.',
      }),
    );
  });
});

describe('annotations of hooks', () => {
  it('are reported if they are where Velero does not look for them', () => {
    const { metadata, spec } = goldenPod('official-postgres-18');
    const annotations = { 'pre.hook.backup.velero.io/command': '["quiesce","freeze"]' };
    const set = {
      apiVersion: 'apps/v1',
      kind: 'StatefulSet',
      metadata: { name: 'db', annotations },
      spec: { template: { metadata: { labels: metadata?.labels }, spec } },
    };
    const [finding] = findingsOf([set]);
    expect(finding).toMatchObject({ code: 'ANNOTATION_MISPLACED', severity: 'warning' });
    expect(finding?.message).toContain('pre.hook.backup.velero.io/command');
  });
});
