import { expect, it } from 'vitest';
import { notKeptIn, planObjects, problemsIn } from './support.ts';

const VOLUMES = [{ name: 'v', emptyDir: {} }];

/** The problems of a resource whose operator takes a part of its pods from the spec. */
function problems(pod: object): readonly string[] {
  const plan = planObjects([
    {
      apiVersion: 'beat.k8s.elastic.co/v1beta1',
      kind: 'Beat',
      metadata: { name: 'b' },
      spec: { deployment: { podTemplate: { spec: { volumes: VOLUMES, ...pod } } } },
    },
  ]);
  expect(notKeptIn(plan)).toEqual(['Beat/b v']);
  return problemsIn(plan, /^STATE_/);
}

const mounts = (mountPath: string) => ({ volumeMounts: [{ name: 'v', mountPath }] });
const main = { name: 'filebeat', ...mounts('/content') };

it.each<[string, object]>([
  ['scratch by its mount', { containers: [{ name: 'filebeat', ...mounts('/tmp') }] }],
  [
    'filled by an init container',
    {
      initContainers: [{ name: 'i', image: 'curl', command: ['curl'], ...mounts('/content') }],
      containers: [main],
    },
  ],
])('a volume in the spec of a resource is no problem if it is %s', (_, pod) => {
  expect(problems(pod)).toEqual([]);
});

it.each<[string, object]>([
  ['a container writes to it', { containers: [main] }],
  ['only the operator mounts it', { containers: [{ name: 'filebeat' }] }],
  ['the spec names no containers', {}],
])('a volume in the spec of a resource is a problem if %s', (_, pod) => {
  expect(problems(pod)).toEqual(['STATE_NOT_KEPT Beat/b']);
});
