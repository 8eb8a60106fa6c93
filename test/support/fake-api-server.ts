import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { writeFile } from 'node:fs/promises';
import type { KubeObject } from '../../src/cluster/objects/kube-object.ts';

/** Kinds without namespaces. */
const GLOBAL = new Set(['Namespace', 'PersistentVolume', 'StorageClass', 'VolumeSnapshotClass']);

/** An API server that only reads: it serves the objects that it is given, and knows their kinds. */
export class FakeApiServer {
  readonly asked: string[] = [];
  readonly #objects: readonly KubeObject[];
  readonly #forbidden: ReadonlySet<string>;
  readonly #server: Server;

  /** @param forbidden plurals of which every request is answered with 403 */
  constructor(objects: readonly KubeObject[], forbidden: readonly string[] = []) {
    this.#objects = objects;
    this.#forbidden = new Set(forbidden);
    this.#server = createServer((request, response) => {
      const path = (request.url ?? '').split('?')[0] ?? '';
      this.asked.push(path);
      const { status, body } = this.#answer(path);
      response.writeHead(status, { 'content-type': 'application/json' });
      response.end(JSON.stringify(body));
    });
  }

  /** Listens on loopback, and writes a kubeconfig whose context has this namespace. */
  async start(kubeconfig: string, namespace: string): Promise<void> {
    await new Promise<void>((resolve) => this.#server.listen(0, '127.0.0.1', resolve));
    const { port } = this.#server.address() as AddressInfo;
    const config = {
      apiVersion: 'v1',
      kind: 'Config',
      'current-context': 'fake',
      clusters: [
        {
          name: 'fake',
          cluster: { server: `http://127.0.0.1:${port}`, 'insecure-skip-tls-verify': true },
        },
      ],
      users: [{ name: 'fake', user: {} }],
      contexts: [{ name: 'fake', context: { cluster: 'fake', user: 'fake', namespace } }],
    };
    await writeFile(kubeconfig, JSON.stringify(config));
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  #answer(path: string): { status: number; body: unknown } {
    if (path === '/version') return { status: 200, body: {} };
    if (path === '/apis') return { status: 200, body: { groups: this.#groups() } };
    const match =
      /^\/(?:api|apis\/([^/]+))\/([^/]+)(?:\/namespaces\/([^/]+)(?=\/))?(?:\/([^/]+))?(?:\/([^/]+))?$/.exec(
        path,
      );
    if (match === null) return { status: 404, body: {} };
    const [, group, version = '', namespace, plural, name] = match;
    const apiVersion = group === undefined ? version : `${group}/${version}`;
    if (plural === undefined) return { status: 200, body: { resources: this.#kinds(apiVersion) } };
    if (this.#forbidden.has(plural)) {
      return { status: 403, body: { message: `${plural} is forbidden: no right` } };
    }
    const found = this.#objects.filter(
      (one) =>
        one.apiVersion === apiVersion &&
        pluralOf(one) === plural &&
        (namespace === undefined || one.metadata?.namespace === namespace) &&
        (name === undefined || one.metadata?.name === name),
    );
    if (name === undefined) return { status: 200, body: { items: found } };
    return found.length === 0 ? { status: 404, body: {} } : { status: 200, body: found[0] };
  }

  #groups(): readonly object[] {
    const versions = new Set(this.#objects.flatMap(({ apiVersion = '' }) => apiVersion));
    return [...versions]
      .filter((one) => one.includes('/'))
      .map((groupVersion) => {
        const [name = '', version = ''] = groupVersion.split('/');
        return { name, preferredVersion: { groupVersion, version } };
      });
  }

  #kinds(apiVersion: string): readonly object[] {
    const own = this.#objects.filter((one) => one.apiVersion === apiVersion);
    const kinds = new Map(own.map((one) => [one.kind ?? '', one]));
    return [...kinds].map(([kind, one]) => ({
      kind,
      name: pluralOf(one),
      namespaced: !GLOBAL.has(kind),
    }));
  }
}

function pluralOf({ kind = '' }: KubeObject): string {
  const lower = kind.toLowerCase();
  return lower.endsWith('s') ? `${lower}es` : `${lower}s`;
}
