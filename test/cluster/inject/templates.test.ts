import { describe, expect, it } from 'vitest';
import { parse, stringify } from 'yaml';
import { injectManifest } from '../../../src/cluster/inject/manifest.ts';
import { CONFIG } from '../../support/pods.ts';

const template = (more: object = {}, labels: object = { 'quiesce.dev/inject': 'true' }) => ({
  metadata: { labels },
  spec: {
    containers: [
      { name: 'db', image: 'redis:7', volumeMounts: [{ name: 'data', mountPath: '/data' }] },
    ],
    volumes: [{ name: 'data', persistentVolumeClaim: { claimName: 'd' } }],
    ...more,
  },
});

const object = (apiVersion: string, kind: string, spec: object) =>
  stringify({ apiVersion, kind, metadata: { name: 'x', namespace: 'team' }, spec });

describe('quiesce inject finds pod templates', () => {
  it.each([
    ['apps.openshift.io/v1', 'DeploymentConfig', { template: template() }],
    ['apps.kruise.io/v1beta1', 'StatefulSet', { template: template() }],
    ['apps.kruise.io/v1alpha1', 'CloneSet', { template: template() }],
    ['argoproj.io/v1alpha1', 'Rollout', { template: template() }],
    ['example.dev/v1', 'Thing', { pools: [{ name: 'a', podTemplate: template() }] }],
    [
      'leaderworkerset.x-k8s.io/v1',
      'LeaderWorkerSet',
      { leaderWorkerTemplate: { leaderTemplate: template() } },
    ],
  ])('of %s %s', (apiVersion, kind, spec) => {
    const { text, reports } = injectManifest(object(apiVersion, kind, spec), CONFIG);
    expect(reports).toMatchObject([{ object: `team ${kind}/x`, outcome: 'injected' }]);
    expect(JSON.stringify(parse(text))).toContain('"name":"quiesce-state","emptyDir"');
    expect(injectManifest(text, CONFIG).text).toBe(text);
  });

  it('of every object of a List, in its place', () => {
    const items = ['a', 'b'].map(
      () => parse(object('apps/v1', 'Deployment', { template: template() })) as object,
    );
    const list = stringify({ apiVersion: 'v1', kind: 'List', items });
    const { text, reports } = injectManifest(list, CONFIG);
    expect(reports.map(({ outcome }) => outcome)).toEqual(['injected', 'injected']);
    expect((parse(text) as { items: unknown[] }).items).toHaveLength(2);
  });

  it('but no template of an operator’s resource without the label', () => {
    const spec = { pools: [{ podTemplate: template({}, { app: 'x' }) }] };
    expect(injectManifest(object('example.dev/v1', 'Thing', spec), CONFIG).reports).toEqual([]);
  });

  it.each([
    [
      'batch/v1',
      'CronJob',
      { jobTemplate: { spec: { template: template() } } },
      /run to completion/,
    ],
    ['argoproj.io/v1alpha1', 'Workflow', { templates: [template()] }, /run to completion/],
    [
      'mongodbcommunity.mongodb.com/v1',
      'MongoDBCommunity',
      { statefulSet: { spec: { template: template({ containers: [{ name: 'mongod' }] }) } } },
      /operator/,
    ],
  ])('and says why a labelled %s %s gets no sidecar', (apiVersion, kind, spec, message) => {
    const source = object(apiVersion, kind, spec);
    const { text, reports } = injectManifest(source, CONFIG);
    expect(text).toBe(source);
    expect(reports).toMatchObject([{ outcome: 'skipped' }]);
    expect(reports[0]?.notices[0]?.message).toMatch(message);
  });
});

describe('quiesce inject says of an operator’s resource', () => {
  it.each([
    ['postgresql.cnpg.io/v1', 'Cluster', { instances: 3, storage: { size: '1Gi' } }],
    ['redis.redis.opstreelabs.in/v1beta2', 'RedisReplication', { clusterSize: 3, storage: {} }],
    ['mongodbcommunity.mongodb.com/v1', 'MongoDBCommunity', { members: 3, version: '6.0.5' }],
    [
      'acid.zalan.do/v1',
      'postgresql',
      { numberOfInstances: 2, volume: { size: '1Gi' }, postgresql: { version: '16' } },
    ],
    ['example.dev/v1', 'Anything', { metadata: { labels: { 'quiesce.dev/inject': 'true' } } }],
  ])('%s %s that the webhook injects its pods', (apiVersion, kind, spec) => {
    const { reports } = injectManifest(object(apiVersion, kind, spec), CONFIG);
    expect(reports).toMatchObject([
      { object: `team ${kind}/x`, outcome: 'skipped', notices: [{ code: 'OperatorResource' }] },
    ]);
  });

  it.each([
    ['networking.k8s.io/v1', 'Ingress', { rules: [] }],
    ['cert-manager.io/v1', 'Certificate', { secretName: 'x' }],
    ['monitoring.coreos.com/v1', 'PodMonitor', { selector: {} }],
    ['v1', 'Service', { ports: [] }],
  ])('and nothing of %s %s', (apiVersion, kind, spec) => {
    expect(injectManifest(object(apiVersion, kind, spec), CONFIG).reports).toEqual([]);
  });
});
