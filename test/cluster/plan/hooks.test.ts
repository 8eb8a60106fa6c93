import { expect, it } from 'vitest';
import { annotationsOf } from '../../../src/cluster/objects/kube-object.ts';
import { member, layers, object, plan, running, workload } from './support.ts';

const TEST = { 'helm.sh/hook': 'test' };

it.each([
  ['a Helm test', TEST],
  ['an Argo CD hook', { 'argocd.argoproj.io/hook': 'PostSync' }],
])('a Pod that is %s is no member, in manifests and in a cluster', (_, annotations) => {
  // A test of a database often runs the database's own image: it would be a database with no volume.
  const pod = workload('Pod/db-test', { annotations, image: 'redis:8' });
  const live = { ...pod, metadata: { ...pod.metadata, uid: 'x' }, status: { phase: 'Running' } };
  const db = workload('StatefulSet/db', { image: 'redis:8', templates: ['data'] });
  for (const one of [pod, live]) {
    const found = plan([db, one]);
    expect(layers(found)).toEqual([['StatefulSet/db']]);
    expect(found.notKept).toEqual([]);
  }
});

it('a workload that a hook installs stays: nobody removes it', () => {
  const db = workload('StatefulSet/db', { annotations: { 'helm.sh/hook': 'pre-install' } });
  expect(layers(plan([db]))).toEqual([['StatefulSet/db']]);
});

it('the pods of a workload stay, whatever their template says', () => {
  const found = plan([
    workload('StatefulSet/db', { below: TEST }),
    { ...running('Pod/db-0', 'StatefulSet/db'), metadata: liveMetadata() },
  ]);
  expect(member(found, 'StatefulSet/db').pods).toEqual(['db-0']);
});

function liveMetadata() {
  const pod = running('Pod/db-0', 'StatefulSet/db');
  return { ...pod.metadata, annotations: { ...annotationsOf(pod), ...TEST } };
}

it('what a hook makes is there for others', () => {
  const env = [{ name: 'KEY', valueFrom: { secretKeyRef: { name: 'key', key: 'key' } } }];
  const containers = [{ name: 'api', image: 'acme/api:1', env }];
  const api = { ...workload('Deployment/api'), spec: { template: { spec: { containers } } } };
  const secret = object('v1', 'Secret/key');
  const made = { ...secret, metadata: { ...secret.metadata, annotations: TEST } };
  expect(plan([api, made]).problems).toEqual([]);
});
