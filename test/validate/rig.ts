import { createServer, type Server } from 'node:net';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { onTestFinished } from 'vitest';
import type { ValidationRun } from '../../src/cluster/validate/document.ts';
import { type Shop, shop, start } from '../snapshot/shop.ts';
import type { SimulatedApi } from '../support/simulated-api.ts';

const SET = (name: string): string => `/apis/apps/v1/namespaces/shop/statefulsets/${name}`;
export const POD = (name: string): string => `/api/v1/namespaces/shop/pods/${name}`;

/** A shop whose controllers report that all is well. */
export async function wholeShop(): Promise<Shop> {
  const made = await shop();
  made.api.cluster.put('/api/v1/namespaces/shop', {});
  for (const name of ['db', 'cache']) settle(made.api, name);
  return made;
}

/** What the controllers and the kubelet report of a member whose pod is ready. */
export function settle({ cluster }: SimulatedApi, name: string): void {
  cluster.change(SET(name), {
    metadata: { generation: 1 },
    status: {
      observedGeneration: 1,
      replicas: 1,
      readyReplicas: 1,
      availableReplicas: 1,
      updatedReplicas: 1,
      currentRevision: 'a',
      updateRevision: 'a',
    },
  });
  cluster.change(POD(`${name}-0`), {
    spec: { nodeName: 'node-1' },
    status: {
      podIP: '127.0.0.1',
      conditions: [
        { type: 'PodScheduled', status: 'True' },
        { type: 'Ready', status: 'True' },
      ],
      containerStatuses: ['db', 'quiesce'].map((one) => ({
        name: one,
        ready: true,
        started: true,
        restartCount: 0,
        state: { running: {} },
      })),
    },
  });
}

export function annotate({ cluster }: SimulatedApi, name: string, annotations: object): void {
  cluster.change(SET(name), { metadata: { annotations } });
}

/** The pod of a member is not ready, and its database's container has this status. */
export function breakPod({ cluster }: SimulatedApi, name: string, container: object): void {
  cluster.change(SET(name), { status: { readyReplicas: 0, availableReplicas: 0 } });
  const quiesce = {
    name: 'quiesce',
    ready: true,
    started: true,
    restartCount: 0,
    state: { running: {} },
  };
  cluster.change(POD(`${name}-0`), {
    metadata: { creationTimestamp: new Date(Date.now() - 600_000).toISOString() },
    status: {
      conditions: [
        { type: 'PodScheduled', status: 'True' },
        { type: 'Ready', status: 'False' },
      ],
      containerStatuses: [{ name: 'db', ready: false, restartCount: 0, ...container }, quiesce],
    },
  });
}

export function serviceOf({ cluster }: SimulatedApi, name: string, ready: boolean): void {
  cluster.put(`/api/v1/namespaces/shop/services/${name}`, {
    spec: { selector: { app: name }, ports: [{ port: 5432 }] },
  });
  cluster.put(`/apis/discovery.k8s.io/v1/namespaces/shop/endpointslices/${name}-1`, {
    metadata: { namespace: 'shop', labels: { 'kubernetes.io/service-name': name } },
    endpoints: [{ conditions: { ready } }],
    ports: [{ port: 5432 }],
  });
}

export async function listening(): Promise<{ readonly port: number; readonly server: Server }> {
  const server = createServer((socket) => socket.end()).listen(0, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(() => void server.close());
  return { port: (server.address() as AddressInfo).port, server };
}

/** The pod of a member says that it listens on this port. */
export function portOf({ cluster }: SimulatedApi, name: string, port: number): void {
  const pod = cluster.read(POD(`${name}-0`)) as unknown as { spec: { containers: object[] } };
  const containers = pod.spec.containers.map((one, index) =>
    index === 0 ? { ...one, ports: [{ name: 'main', containerPort: port }] } : one,
  );
  cluster.change(POD(`${name}-0`), { spec: { containers } });
}

/** The log of each container that is asked for. */
export function logs({ cluster }: SimulatedApi, text: string): void {
  cluster.intercept = (method, path) =>
    method === 'GET' && path.includes('/log?') ? { status: 200, body: undefined, text } : undefined;
}

export async function validated({ api }: Shop, args: readonly string[] = []) {
  const { code, body, stderr } = await start(api, args, 'validate').ended;
  return { code, stderr, run: body as ValidationRun };
}

export const problemCodes = ({ problems }: ValidationRun): readonly string[] =>
  problems.map(({ code, severity }) => `${severity} ${code}`);
