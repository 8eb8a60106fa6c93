import { describe, expect, it } from 'vitest';
import { deployment, planObjects, problemsIn } from './support.ts';

const MISSING = /^(?:SECRET|CONFIGMAP)_MISSING$/;
const container = (more: object) => ({ containers: [{ name: 'a', image: 'acme/app', ...more }] });
const plain = container({});

function missing(spec: object, ...more: readonly object[]): readonly string[] {
  return problemsIn(planObjects([deployment('a', spec), ...more]), MISSING);
}

function object(apiVersion: string, kind: string, name: string, spec: object = {}) {
  return { apiVersion, kind, metadata: { name }, spec };
}

const envOf = (from: string, more: object = {}) =>
  container({ env: [{ name: 'X', valueFrom: { [from]: { name: 'x', key: 'k', ...more } } }] });

describe('a pod names', () => {
  it.each<[string, object, string]>([
    ['a Secret in env', envOf('secretKeyRef'), 'SECRET'],
    ['a ConfigMap in env', envOf('configMapKeyRef'), 'CONFIGMAP'],
    ['a Secret in envFrom', container({ envFrom: [{ secretRef: { name: 'x' } }] }), 'SECRET'],
    [
      'a ConfigMap in envFrom',
      container({ envFrom: [{ configMapRef: { name: 'x' } }] }),
      'CONFIGMAP',
    ],
    [
      'a Secret as a volume',
      { ...plain, volumes: [{ name: 'v', secret: { secretName: 'x' } }] },
      'SECRET',
    ],
    [
      'a ConfigMap as a volume',
      { ...plain, volumes: [{ name: 'v', configMap: { name: 'x' } }] },
      'CONFIGMAP',
    ],
    [
      'a Secret in a projection',
      { ...plain, volumes: [{ name: 'v', projected: { sources: [{ secret: { name: 'x' } }] } }] },
      'SECRET',
    ],
    [
      'a ConfigMap in a projection',
      {
        ...plain,
        volumes: [{ name: 'v', projected: { sources: [{ configMap: { name: 'x' } }] } }],
      },
      'CONFIGMAP',
    ],
    ['a Secret for its images', { ...plain, imagePullSecrets: [{ name: 'x' }] }, 'SECRET'],
    [
      'a Secret in an init container',
      {
        ...plain,
        initContainers: [{ name: 'i', image: 'i', envFrom: [{ secretRef: { name: 'x' } }] }],
      },
      'SECRET',
    ],
    [
      'a Secret of an inline volume',
      { ...plain, volumes: [{ name: 'v', cephfs: { secretRef: { name: 'x' } } }] },
      'SECRET',
    ],
  ])('%s', (_, spec, code) => {
    expect(missing(spec)).toEqual([`${code}_MISSING Deployment/a`]);
    expect(missing(spec, object('v1', 'Secret', 'x'), object('v1', 'ConfigMap', 'x'))).toEqual([]);
  });

  it.each<[string, object]>([
    ['what is optional in env', envOf('secretKeyRef', { optional: true })],
    [
      'what is optional in envFrom',
      container({ envFrom: [{ secretRef: { name: 'x', optional: true } }] }),
    ],
    [
      'what is optional as a volume',
      { ...plain, volumes: [{ name: 'v', secret: { secretName: 'x', optional: true } }] },
    ],
    [
      'the cluster’s own certificate',
      {
        ...plain,
        volumes: [
          { name: 'v', projected: { sources: [{ configMap: { name: 'kube-root-ca.crt' } }] } },
        ],
      },
    ],
    [
      'the token of a service account',
      { ...plain, volumes: [{ name: 'v', secret: { secretName: 'default-token-x2x4c' } }] },
    ],
  ])('%s, which is no problem', (_, spec) => {
    expect(missing(spec)).toEqual([]);
  });

  it.each<[string, object]>([
    [
      'an ExternalSecret',
      object('external-secrets.io/v1', 'ExternalSecret', 'e', { target: { name: 'x' } }),
    ],
    ['a SealedSecret', object('bitnami.com/v1alpha1', 'SealedSecret', 'x')],
    ['a Certificate', object('cert-manager.io/v1', 'Certificate', 'c', { secretName: 'x' })],
  ])('a Secret that %s makes', (_, maker) => {
    expect(missing(envOf('secretKeyRef'), maker)).toEqual([]);
  });

  it('a Secret that an operator makes', () => {
    const spec = container({ envFrom: [{ secretRef: { name: 'login-db-app' } }] });
    const cluster = object('postgresql.cnpg.io/v1', 'Cluster', 'login-db');
    expect(missing(spec)).toHaveLength(1);
    expect(missing(spec, cluster)).toEqual([]);
  });

  it('a Secret of another namespace than its own', () => {
    const elsewhere = {
      ...object('v1', 'Secret', 'x'),
      metadata: { name: 'x', namespace: 'other' },
    };
    expect(missing(envOf('secretKeyRef'), elsewhere)).toHaveLength(1);
  });

  it('two, each told once', () => {
    const env = ['x', 'y', 'x'].map((name, index) => ({
      name: `V${index}`,
      valueFrom: { secretKeyRef: { name, key: 'k' } },
    }));
    expect(missing(container({ env }))).toHaveLength(2);
  });

  it('Secrets that were not read from the cluster, which is no problem', () => {
    const pod = {
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name: 'a', uid: 'u' },
      spec: envOf('secretKeyRef'),
      status: { phase: 'Running' },
    };
    expect(problemsIn(planObjects([pod], 'cluster'), MISSING)).toEqual([]);
    const other = object('v1', 'Secret', 'other');
    expect(problemsIn(planObjects([pod, other], 'cluster'), MISSING)).toHaveLength(1);
  });
});

describe('a broker', () => {
  const broker = (more: object = {}) => ({
    apiVersion: 'apps/v1',
    kind: 'StatefulSet',
    metadata: { name: 'mq' },
    spec: {
      replicas: 1,
      template: {
        metadata: { labels: { app: 'mq' } },
        spec: { containers: [{ name: 'mq', image: 'rabbitmq' }] },
      },
      volumeClaimTemplates: [{ metadata: { name: 'data' }, spec: {} }],
      ...more,
    },
  });
  const after = (name: string) =>
    deployment(name, plain, { metadata: { annotations: { 'quiesce.dev/depends-on': 'mq' } } });
  const moment = (...objects: readonly object[]) => problemsIn(planObjects(objects), /^BROKER_/);

  it('with claims is kept at its own moment, which its dependents are told', () => {
    const plan = planObjects([broker(), after('a'), after('b')]);
    const [problem] = plan.problems.filter(({ code }) => code === 'BROKER_AT_ITS_OWN_MOMENT');
    expect(problem).toMatchObject({ severity: 'info', object: 'default StatefulSet/mq' });
    expect(problem?.message).toContain('a, b');
  });

  it('is no matter alone, or without claims', () => {
    expect(moment(broker())).toEqual([]);
    expect(moment(broker({ volumeClaimTemplates: [] }), after('a'))).toEqual([]);
  });

  it('of an operator is told, too', () => {
    const kafka = object('kafka.strimzi.io/v1', 'Kafka', 'mq', { kafka: { replicas: 3 } });
    expect(moment(kafka, after('a'))).toEqual(['BROKER_AT_ITS_OWN_MOMENT Kafka/mq']);
  });
});
