import { expect, it } from 'vitest';
import type { ClusterReader } from '../../../src/cluster/api/reader.ts';
import { readCluster } from '../../../src/cluster/inventory/read-cluster.ts';

/** An API server with one database in it, which writes down what it is asked. */
class FakeReader implements ClusterReader {
  readonly name = 'fake';
  readonly asked: string[] = [];

  get(path: string): ReturnType<ClusterReader['get']> {
    this.asked.push(path);
    const items = path.startsWith('/api/v1/pods') ? [POD] : [];
    return Promise.resolve({ status: 200, body: { items } });
  }

  run(): never {
    throw new Error('nothing is run');
  }
}

const POD = {
  metadata: { name: 'db-0', namespace: 'shop' },
  spec: { containers: [{ name: 'postgres', image: 'postgres:17' }] },
};

const OPTIONS = {
  namespaces: undefined,
  veleroNamespace: 'velero',
  now: 0,
  progress: () => undefined,
};

it('reads no Secret for whoever names none, and those alone that are named', async () => {
  const quiet = new FakeReader();
  const inventory = await readCluster(quiet, OPTIONS);
  expect(inventory.objects).toHaveLength(1);
  expect(quiet.asked.filter((path) => path.includes('/secrets'))).toEqual([]);

  const reader = new FakeReader();
  await readCluster(reader, { ...OPTIONS, secretsOf: () => [{ name: 'login' }] });
  const secrets = reader.asked.filter((path) => path.includes('/secrets'));
  expect(secrets).toEqual(['/api/v1/namespaces/shop/secrets/login']);
});
