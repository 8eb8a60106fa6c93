import { expect, it } from 'vitest';
import type { ClusterReader } from '../../../src/cluster/api/reader.ts';
import { readCluster } from '../../../src/cluster/inventory/read-cluster.ts';

/** An API server that has one database pod, and records the paths it is asked for. */
class FakeReader implements ClusterReader {
  readonly name = 'fake';
  readonly asked: string[] = [];

  get(path: string): ReturnType<ClusterReader['get']> {
    this.asked.push(path);
    const items = path.startsWith('/api/v1/pods') ? [POD] : [];
    return Promise.resolve({ status: 200, body: { items } });
  }

  run(): never {
    throw new Error('no command is expected');
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

it('reads only the Secrets that secretsOf lists, and none without it', async () => {
  const plain = new FakeReader();
  const inventory = await readCluster(plain, OPTIONS);
  expect(inventory.objects).toHaveLength(1);
  expect(plain.asked.filter((path) => path.includes('/secrets'))).toEqual([]);

  const reader = new FakeReader();
  await readCluster(reader, { ...OPTIONS, secretsOf: () => [{ name: 'login' }] });
  const secrets = reader.asked.filter((path) => path.includes('/secrets'));
  expect(secrets).toEqual(['/api/v1/namespaces/shop/secrets/login']);
});
