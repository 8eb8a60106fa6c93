import { describe, expect, it } from 'vitest';
import { placeOf } from '../../../src/cluster/gates/match.ts';
import {
  readReleased,
  readStages,
  type Stages,
  writeStages,
} from '../../../src/cluster/gates/stages.ts';
import type { Pod } from '../../../src/cluster/objects/pod.ts';

const STAGES: Stages = {
  layers: [
    [
      {
        kind: 'StatefulSet',
        name: 'db',
        selectors: [{ matchLabels: { app: 'db' } }],
        pods: ['db-0', 'db-1'],
        owners: ['StatefulSet/db'],
      },
      {
        kind: 'Cluster',
        name: 'pg',
        selectors: [{ matchLabels: { 'cnpg.io/cluster': 'pg' } }],
        pods: ['pg-1'],
        owners: ['Cluster/pg'],
      },
    ],
    [
      {
        kind: 'Deployment',
        name: 'api',
        selectors: [{ matchExpressions: [{ key: 'app', operator: 'In', values: ['api', 'db'] }] }],
        pods: ['api-6c8-x1'],
        owners: ['Deployment/api'],
      },
    ],
  ],
  jobs: ['migrate'],
  cronJobs: ['nightly'],
  last: 1,
};

const owner = (kind: string, name: string) => [
  { apiVersion: 'v1', kind, name, uid: 'u', controller: true },
];

describe('a pod belongs', () => {
  const cases: readonly (readonly [string, Pod, number | undefined])[] = [
    ['by its name, as Velero creates it, without an owner', { metadata: { name: 'db-1' } }, 0],
    [
      'by its owner, as its StatefulSet makes one that the backup did not have',
      { metadata: { name: 'db-2', ownerReferences: owner('StatefulSet', 'db') } },
      0,
    ],
    [
      'by its labels, and to the earliest layer that they fit',
      { metadata: { name: 'x', labels: { app: 'db' } } },
      0,
    ],
    [
      'to a Deployment, from a ReplicaSet that did not exist',
      {
        metadata: {
          generateName: 'api-77f-',
          labels: { 'pod-template-hash': '77f' },
          ownerReferences: owner('ReplicaSet', 'api-77f'),
        },
      },
      1,
    ],
    [
      'to a custom resource, from its operator',
      { metadata: { name: 'pg-2', ownerReferences: owner('Cluster', 'pg') } },
      0,
    ],
    [
      'to a custom resource, from a Job of its operator',
      {
        metadata: {
          generateName: 'pg-2-join-',
          labels: { 'cnpg.io/cluster': 'pg', 'job-name': 'pg-2-join' },
          ownerReferences: owner('Job', 'pg-2-join'),
        },
      },
      0,
    ],
    [
      'to the last layer, from a Job of the backup',
      { metadata: { generateName: 'migrate-', ownerReferences: owner('Job', 'migrate') } },
      1,
    ],
    [
      'to the last layer, from a Job of the backup that Velero created without its owner',
      { metadata: { name: 'migrate-x', labels: { 'batch.kubernetes.io/job-name': 'migrate' } } },
      1,
    ],
    [
      'to the last layer, from a CronJob of the backup',
      { metadata: { ownerReferences: owner('Job', 'nightly-29012345') } },
      1,
    ],
    [
      'to nobody, from a stranger’s Job',
      { metadata: { ownerReferences: owner('Job', 'their-migrate') } },
      undefined,
    ],
    [
      'to nobody, if it is a stranger',
      {
        metadata: {
          name: 'web-0',
          labels: { app: 'web', 'pod-template-hash': '1' },
          ownerReferences: owner('ReplicaSet', 'web-1'),
        },
      },
      undefined,
    ],
  ];
  it.each(cases)('%s', (_, pod, layer) => {
    expect(placeOf(pod, readStages(writeStages(STAGES)) as Stages)?.layer).toBe(layer);
  });
});

describe('what stands on the namespace', () => {
  it('is no plan if it is not what was written', () => {
    for (const text of [undefined, '', '{', '[]', '{"layers":1}']) {
      expect(readStages(text)).toBeUndefined();
    }
  });

  it('releases only what it names as numbers', () => {
    expect([...readReleased(' 0,2,x,,1.5')]).toEqual([0, 2]);
    expect([...readReleased('')]).toEqual([]);
    expect([...readReleased(undefined)]).toEqual([]);
  });
});
