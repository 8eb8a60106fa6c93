import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { rm, writeFile } from 'node:fs/promises';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import { join } from 'node:path';
import type { Duplex } from 'node:stream';
import { text as readAll } from 'node:stream/consumers';
import { type WebSocket, WebSocketServer } from 'ws';
import { stringify } from 'yaml';
import type { ApiAnswer, ChangeMethod } from '../../src/cluster/api/reader.ts';
import type { KubeObject } from '../../src/cluster/objects/kube-object.ts';
import { cleanEnv, cliPath } from '../../src/testbed/processes.ts';
import { SimulatedCluster } from '../cluster/snapshot/simulated-cluster.ts';
import { makeTempDir } from './temp-dir.ts';

/** How streams of a pod reach its sidecar. */
export interface SimulatedPod {
  readonly port: number;
  /** Its control socket, for commands in its container. */
  readonly socket?: string;
}

const STREAM = /^\/api\/v1\/namespaces\/([^/]+)\/pods\/([^/]+)\/(portforward|exec)\?(.*)$/;

/** Where the official images keep their data. */
const PLACES: Readonly<Record<string, string>> = {
  postgres: '/var/lib/postgresql/data',
  mongodb: '/data/db',
};

/**
 * A simulated API server: `SimulatedCluster` over HTTP, with versions of objects, and the streams
 * `pods/portforward` and `pods/exec`. A command in a pod is the built command line on this machine.
 */
export class SimulatedApi {
  readonly cluster = new SimulatedCluster();
  /** By `NAMESPACE/POD`. */
  readonly pods = new Map<string, SimulatedPod>();
  kubeconfig = '';
  /** Streams that are refused: `portforward`, `exec`. */
  readonly forbidden = new Set<string>();
  /** Calls with these words fail as if the connection broke. */
  broken: ((method: string, path: string) => boolean) | undefined;
  /** Requests for these paths are never answered. */
  hang: ((path: string) => boolean) | undefined;
  /** Called for each request; a stream is `STREAM`. */
  watch: ((method: string, path: string) => void) | undefined;
  readonly #server: Server = createServer((request, response) => {
    this.#answer(request, response).catch(() => response.destroy());
  });
  readonly #streams = new WebSocketServer({
    noServer: true,
    handleProtocols: (offered) => [...offered][0] ?? false,
  });
  #version = 0;
  #dir = '';

  async start(): Promise<this> {
    this.#server.on('upgrade', (request, socket, head) => this.#upgrade(request, socket, head));
    this.#server.listen(0, '127.0.0.1');
    await once(this.#server, 'listening');
    const url = `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
    this.#dir = await makeTempDir();
    this.kubeconfig = join(this.#dir, 'config');
    const config = {
      apiVersion: 'v1',
      kind: 'Config',
      'current-context': 'c',
      clusters: [{ name: 'c', cluster: { server: url, 'insecure-skip-tls-verify': true } }],
      users: [{ name: 'u', user: {} }],
      contexts: [{ name: 'c', context: { cluster: 'c', user: 'u', namespace: 'shop' } }],
    };
    await writeFile(this.kubeconfig, stringify(config));
    this.cluster.put('/api/v1/namespaces/shop', {});
    return this;
  }

  /** Every connection breaks, and new ones do as well, until `mend`. */
  cut(): void {
    this.broken = () => true;
    for (const one of this.#streams.clients) one.terminate();
    this.#server.closeAllConnections();
  }

  mend(): void {
    this.broken = undefined;
  }

  async stop(): Promise<void> {
    for (const one of this.#streams.clients) one.terminate();
    this.#server.closeAllConnections();
    this.#server.close();
    await rm(this.#dir, { recursive: true, force: true });
  }

  /** A StatefulSet of one pod with a claim and a sidecar. A further pod of it: `ordinal`. */
  member(name: string, reached: SimulatedPod, more: MemberOptions = {}): void {
    const { driver = 'rbd.csi.ceph.com', env = [], ordinal = 0 } = more;
    const namespace = 'shop';
    const labels = { app: name };
    const sidecar = {
      name: 'quiesce',
      image: 'quiesce:1',
      args: ['sidecar'],
      env: [{ name: 'QUIESCE_ENGINE', value: more.engine ?? 'postgres' }, ...env],
    };
    const containers = [
      {
        name: 'db',
        image: `${more.engine ?? 'postgres'}:17`,
        volumeMounts: [{ name: 'data', mountPath: PLACES[more.engine ?? 'postgres'] ?? '/data' }],
      },
      ...(more.sidecar === false ? [] : [sidecar]),
    ];
    const spec = { containers };
    this.cluster.put(`/apis/apps/v1/namespaces/${namespace}/statefulsets/${name}`, {
      metadata: { namespace, annotations: more.annotations ?? {} },
      spec: {
        replicas: ordinal + 1,
        selector: { matchLabels: labels },
        template: { metadata: { labels }, spec },
        volumeClaimTemplates: [{ metadata: { name: 'data' }, spec: {} }],
      },
    });
    const pod = `${name}-${ordinal}`;
    const volumes = [{ name: 'data', persistentVolumeClaim: { claimName: `data-${pod}` } }];
    const owner = { apiVersion: 'apps/v1', kind: 'StatefulSet', name, uid: name, controller: true };
    this.cluster.put(`/api/v1/namespaces/${namespace}/pods/${pod}`, {
      metadata: { namespace, labels: { ...labels, ...more.podLabels }, ownerReferences: [owner] },
      spec: { containers, volumes },
      status: {
        phase: 'Running',
        containerStatuses: containers.map((one) => ({ name: one.name, state: { running: {} } })),
      },
    });
    const metadata = { namespace, labels: { ...more.claimLabels } };
    this.cluster.claim(namespace, `data-${pod}`, driver, { metadata });
    this.pods.set(`${namespace}/${pod}`, reached);
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { method = 'GET', url = '/' } = request;
    const sent = await readAll(request);
    this.watch?.(method, url);
    if (this.hang?.(url) === true) return;
    if (this.broken?.(method, url) === true) {
      response.destroy();
      return;
    }
    const body: unknown = sent === '' ? undefined : JSON.parse(sent);
    const { status, body: answer, text } = await this.#ask(method, url, body);
    if (text !== undefined) {
      response.writeHead(status, { 'content-type': 'text/plain' }).end(text);
      return;
    }
    response.writeHead(status, { 'content-type': 'application/json' });
    response.end(JSON.stringify(answer ?? {}));
  }

  async #ask(method: string, path: string, body: unknown): Promise<ApiAnswer> {
    if (method === 'GET') return await this.cluster.get(path);
    const wanted = (body as KubeObject | undefined)?.metadata as { resourceVersion?: string };
    const stored = this.cluster.read(path)?.metadata as { resourceVersion?: string } | undefined;
    const stale =
      method === 'PATCH' &&
      wanted?.resourceVersion !== undefined &&
      wanted.resourceVersion !== stored?.resourceVersion;
    if (this.#isNowhere(method, path)) return { status: 404, body: { reason: 'NotFound' } };
    if (stale) return { status: 409, body: { message: 'the object has been modified' } };
    const answer = await this.cluster.send(method as ChangeMethod, path, body);
    if (method === 'DELETE' || answer.status >= 300) return answer;
    const made = answer.body as KubeObject;
    const full = method === 'POST' ? `${path}/${made.metadata?.name ?? ''}` : path;
    this.#version += 1;
    this.cluster.change(full, { metadata: { resourceVersion: String(this.#version) } });
    return { status: answer.status, body: structuredClone(this.cluster.read(full) ?? made) };
  }

  /** No Lease can be made in a namespace that does not exist. */
  #isNowhere(method: string, path: string): boolean {
    const [, name] = /\/namespaces\/([^/]+)\/leases$/.exec(path) ?? [];
    if (method !== 'POST' || name === undefined) return false;
    return this.cluster.read(`/api/v1/namespaces/${name}`) === undefined;
  }

  #upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void {
    if (this.broken?.('STREAM', request.url ?? '') === true) {
      socket.destroy();
      return;
    }
    const [, namespace, pod, kind = '', query] = STREAM.exec(request.url ?? '') ?? [];
    const reached = this.pods.get(`${namespace}/${pod}`);
    this.watch?.('STREAM', `${kind} ${pod}`);
    const refused = this.forbidden.has(kind) ? 403 : reached === undefined ? 404 : undefined;
    if (reached === undefined || refused !== undefined) {
      const message = `pods "${pod}" is forbidden: User "dev" cannot create resource "pods/${kind}"`;
      const text = JSON.stringify({ kind: 'Status', message });
      socket.end(
        `HTTP/1.1 ${refused ?? 404} Refused\r\ncontent-type: application/json\r\ncontent-length: ${Buffer.byteLength(text)}\r\nconnection: close\r\n\r\n${text}`,
      );
      return;
    }
    this.#streams.handleUpgrade(request, socket, head, (stream) => {
      if (kind === 'portforward') forward(stream, reached.port);
      else exec(stream, reached, new URLSearchParams(query).getAll('command'));
    });
  }
}

interface MemberOptions {
  readonly engine?: string;
  readonly driver?: string;
  readonly sidecar?: boolean;
  readonly env?: readonly object[];
  readonly annotations?: Readonly<Record<string, string>>;
  readonly ordinal?: number;
  readonly podLabels?: Readonly<Record<string, string>>;
  readonly claimLabels?: Readonly<Record<string, string>>;
}

function frame(channel: number, content: Buffer): Buffer {
  return Buffer.concat([Buffer.from([channel]), content]);
}

function forward(stream: WebSocket, port: number): void {
  const prefix = Buffer.from([8095 & 255, 8095 >> 8]);
  for (const channel of [0, 1]) stream.send(frame(channel, prefix));
  const socket = connect(port, '127.0.0.1');
  socket.on('data', (data) => stream.send(frame(0, data)));
  socket.on('error', (error) => stream.send(frame(1, Buffer.from(error.message))));
  socket.on('close', () => stream.close());
  stream.on('message', (data: Buffer) => {
    if (data[0] === 0) socket.write(data.subarray(1));
  });
  stream.on('close', () => socket.destroy());
  stream.on('error', () => undefined);
}

function exec(stream: WebSocket, { socket = '' }: SimulatedPod, command: readonly string[]): void {
  const child = spawn(process.execPath, [cliPath(), ...command.slice(1)], {
    env: cleanEnv({ QUIESCE_SOCKET: socket }),
  });
  child.stdout.on('data', (data: Buffer) => stream.send(frame(1, data)));
  child.stderr.on('data', (data: Buffer) => stream.send(frame(2, data)));
  child.on('close', (code) => {
    const causes = [{ reason: 'ExitCode', message: String(code) }];
    const failed = { status: 'Failure', reason: 'NonZeroExitCode', details: { causes } };
    const status = code === 0 ? { status: 'Success' } : failed;
    stream.send(frame(3, Buffer.from(JSON.stringify(status))));
    stream.close();
  });
  stream.on('error', () => undefined);
}
