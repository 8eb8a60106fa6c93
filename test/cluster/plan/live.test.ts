import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterEach, describe, expect, it } from 'vitest';
import type { KubeObject } from '../../../src/cluster/objects/kube-object.ts';
import type { Plan } from '../../../src/cluster/plan/document.ts';
import { cliPath } from '../../../src/testbed/processes.ts';
import { FakeApiServer } from '../../support/fake-api-server.ts';
import { makeTempDir } from '../../support/temp-dir.ts';
import { AFTER, codes, layers, member, object, running, service, workload } from './support.ts';

const run = promisify(execFile);
const DB = { image: 'postgres:17', templates: ['data'] };
const CNPG = { apiVersion: 'postgresql.cnpg.io/v1', kind: 'Cluster', name: 'login-db' };

let server: FakeApiServer | undefined;

afterEach(async () => {
  await server?.stop();
  server = undefined;
});

interface Ended {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

async function quiescePlan(
  objects: readonly KubeObject[],
  args: readonly string[],
  forbidden: readonly string[] = [],
): Promise<Ended> {
  const kubeconfig = join(await makeTempDir(), 'kubeconfig');
  const namespaces = ['shop', 'mq'].map((name) => ({
    ...object('v1', `Namespace/${name}`),
    metadata: { name },
  }));
  server = new FakeApiServer([...namespaces, ...objects], forbidden);
  await server.start(kubeconfig, 'shop');
  const all = [cliPath(), 'plan', '--kubeconfig', kubeconfig, ...args];
  try {
    return { code: 0, ...(await run(process.execPath, all)) };
  } catch (error) {
    return error as Ended;
  }
}

const read = ({ stdout }: Ended): Plan => JSON.parse(stdout) as Plan;

describe('quiesce plan of a cluster', () => {
  const objects = [
    workload('StatefulSet/db', { ...DB, replicas: 1 }),
    running('Pod/db-0', 'StatefulSet/db', {
      image: DB.image,
      claims: ['data-db-0'],
      sidecar: true,
    }),
    {
      ...object('v1', 'PersistentVolumeClaim/data-db-0', { spec: { storageClassName: 'fast' } }),
      status: { phase: 'Bound' },
    },
    workload('Deployment/api', { annotations: AFTER('login-db-rw, mq/queue') }),
    object('postgresql.cnpg.io/v1', 'Cluster/login-db', { spec: { instances: 1 } }),
    running('Pod/login-db-1', '', { owner: CNPG }),
    service('login-db-rw', { selector: { app: 'gone' } }),
    workload('StatefulSet/queue', { namespace: 'mq', image: 'rabbitmq:3' }),
    {
      ...object('storage.k8s.io/v1', 'StorageClass/fast', { provisioner: 'csi.example.org' }),
      metadata: { name: 'fast' },
    },
  ];

  it('reads the namespace of the context, with its custom resources', async () => {
    const ended = await quiescePlan(objects, ['-o', 'json']);
    expect(ended.stderr).toBe('');
    const found = read(ended);
    expect(layers(found)).toEqual([['Cluster/login-db', 'StatefulSet/db'], ['Deployment/api']]);
    expect(member(found, 'StatefulSet/db').protection).toBe('sidecar');
    expect(member(found, 'Cluster/login-db').pods).toEqual(['login-db-1']);
    expect(found).toMatchObject({ kind: 'Plan', group: 'shop', namespaces: ['shop'] });
    expect(codes(found)).toEqual([
      'CLAIM_WITHOUT_CLASS shop StatefulSet/db',
      'DEPENDS_ON_NO_MEMBER shop Deployment/api',
    ]);
    const document = JSON.stringify(found);
    for (const internal of ['volumeClaims', 'views', 'annotations', 'candidate', 'podLabels']) {
      expect(document, internal).not.toContain(`"${internal}"`);
    }
  });

  it('reads several namespaces, or all', async () => {
    const two = await quiescePlan(objects, ['-n', 'shop', '-n', 'mq', '-o', 'json']);
    expect(member(read(two), 'Deployment/api').dependsOn).toContain('mq/StatefulSet/queue');
    await server?.stop();
    const all = await quiescePlan(objects, ['-A', '-o', 'json', '--fail-on', 'error']);
    expect(read(all)).toMatchObject({ group: 'all', namespaces: ['mq', 'shop'] });
    expect(all.code).toBe(7);
  });

  it('finds the owner of pods whose kind it does not know', async () => {
    const owner = { apiVersion: 'example.org/v1', kind: 'Set', name: 'set' };
    const tiger = { apiVersion: 'example.org/v1', kind: 'Tiger', name: 'stripes', uid: 's' };
    const set = object('example.org/v1', 'Set/set');
    const found = read(
      await quiescePlan(
        [
          running('Pod/stripes-0', '', { owner }),
          { ...set, metadata: { ...set.metadata, ownerReferences: [tiger] } },
          object('example.org/v1', 'Tiger/stripes', {}),
        ],
        ['-o', 'json'],
      ),
    );
    expect(layers(found)).toEqual([['Tiger/stripes']]);
    expect(codes(found)).toEqual(['RESOURCE_NOT_JUDGED shop Tiger/stripes']);
  });

  it('names a name that nobody has, an empty and an unknown namespace, and exits with 2', async () => {
    const wrong = workload('Deployment/web', { annotations: AFTER('dbb') });
    const unknown = await quiescePlan([...objects, wrong], []);
    expect([unknown.code, unknown.stdout]).toEqual([2, '']);
    expect(unknown.stderr).toContain('PLAN_UNKNOWN_NAME');
    await server?.stop();
    const empty = await quiescePlan([workload('Deployment/x', { namespace: 'mq' })], []);
    expect([empty.code, empty.stderr]).toEqual([2, expect.stringContaining('NO_MEMBERS')]);
    await server?.stop();
    const nowhere = await quiescePlan(objects, ['-n', 'nowhere']);
    expect([nowhere.code, nowhere.stderr]).toEqual([2, expect.stringContaining('no namespace')]);
  });

  it('says what it may not read, and does not call a name unknown that may be there', async () => {
    const found = read(await quiescePlan(objects, ['-o', 'json'], ['services', 'storageclasses']));
    expect(codes(found).toSorted()).toEqual([
      'DEPENDS_ON_NO_MEMBER shop Deployment/api',
      'NOT_LOOKED_AT mq services',
      'NOT_LOOKED_AT shop services',
      'NOT_LOOKED_AT storageclasses.storage.k8s.io',
    ]);
  });
});
