import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, expect, it, vi } from 'vitest';
import { connectCluster } from '../../../src/cluster/api/client.ts';

const undo: (() => Promise<void> | void)[] = [];

afterEach(async () => {
  for (const one of undo.splice(0)) await one();
});

/** An API server that accepts connections and never answers, like one that its load balancer has lost. */
async function silentServer(): Promise<string> {
  const open = new Set<Socket>();
  const server = createServer((socket) => open.add(socket));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  undo.push(() => {
    for (const socket of open) socket.destroy();
    server.close();
  });
  return `https://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

async function useKubeconfig(config: object): Promise<void> {
  const dir = await mkdtemp(join(tmpdir(), 'q-client-'));
  const file = join(dir, 'kubeconfig');
  await writeFile(file, JSON.stringify({ apiVersion: 'v1', kind: 'Config', ...config }));
  vi.stubEnv('KUBECONFIG', file);
  undo.push(async () => {
    vi.unstubAllEnvs();
    await rm(dir, { recursive: true });
  });
}

it('gives up a call that gets no answer, so that certificates are still renewed', async () => {
  await useKubeconfig({
    'current-context': 'here',
    contexts: [{ name: 'here', context: { cluster: 'here', user: 'nobody' } }],
    clusters: [{ name: 'here', cluster: { server: await silentServer() } }],
    users: [{ name: 'nobody', user: {} }],
  });
  const cluster = connectCluster(200);
  const calls = [
    cluster.readSecret('quiesce-system', 'tls'),
    cluster.writeSecret('quiesce-system', 'tls', {}, '1'),
    cluster.readTrust('quiesce'),
    cluster.writeTrust('quiesce', { version: '1', bundles: [''] }, ''),
    cluster.createEvent({
      namespace: 'shop',
      about: { apiVersion: 'v1', kind: 'Pod', name: 'db-0' },
      type: 'Warning',
      reason: 'InvalidAnnotation',
      message: 'what is wrong',
    }),
  ];
  for (const answer of await Promise.allSettled(calls)) {
    expect(answer).toMatchObject({
      status: 'rejected',
      reason: { message: 'the Kubernetes API did not answer in time' },
    });
  }
});
