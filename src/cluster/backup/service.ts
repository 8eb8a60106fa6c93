import type { Duplex } from 'node:stream';
import type { ForwardPlace } from '../api/forward.ts';
import type { PodConnection } from '../api/reader.ts';
import { type KubeObject, listAt, textAt } from '../objects/kube-object.ts';

/** A Service, as a URL in the cluster names it. */
export interface ServiceAddress {
  readonly namespace: string;
  readonly name: string;
  readonly port: number;
  /** Its name says that it is one; others may be names of the Internet. */
  readonly sure: boolean;
}

/**
 * The Service that a URL may mean: `minio.velero`, `minio.velero.svc`, `minio.velero.svc.cluster.local`.
 * `undefined`: it means none.
 */
export function serviceIn({ hostname, port, protocol }: URL): ServiceAddress | undefined {
  const [name = '', namespace = '', svc] = hostname.split('.');
  const isName = [name, namespace].every((one) => /^[a-z0-9][-a-z0-9]*$/.test(one));
  const sure = svc === 'svc';
  if (!isName || (!sure && svc !== undefined)) return undefined;
  const known = protocol === 'https:' ? 443 : 80;
  return { namespace, name, sure, port: port === '' ? known : Number(port) };
}

/**
 * Opens a connection to a ready pod of a Service, through the API server.
 *
 * @throws Error which says why there is none
 */
export async function openService(
  connection: PodConnection,
  service: ServiceAddress,
  signal: AbortSignal,
): Promise<Duplex> {
  const { namespace, name, port } = service;
  const root = `/api/v1/namespaces/${namespace}/services/${name}`;
  const ports = listAt(await read(connection, root), 'spec', 'ports') as readonly Port[];
  const wanted = ports.find((one) => one.port === port);
  if (wanted === undefined) throw new Error(`the Service ${name} has no port ${port}`);
  const query = new URLSearchParams({ labelSelector: `kubernetes.io/service-name=${name}` });
  const path = `/apis/discovery.k8s.io/v1/namespaces/${namespace}/endpointslices?${query.toString()}`;
  const slices = listAt(await read(connection, path), 'items') as readonly Slice[];
  const place = placeIn(slices, namespace, wanted.name ?? '');
  if (place === undefined) throw new Error(`the Service ${name} has no pod that is ready`);
  return await connection.open(place, signal);
}

interface Port {
  readonly name?: string;
  readonly port?: number;
}

interface Slice extends KubeObject {
  readonly ports?: readonly Port[];
  readonly endpoints?: readonly {
    readonly conditions?: { readonly ready?: boolean };
    readonly targetRef?: { readonly kind?: string; readonly name?: string };
  }[];
}

function placeIn(
  slices: readonly Slice[],
  namespace: string,
  portName: string,
): ForwardPlace | undefined {
  for (const { ports = [], endpoints = [] } of slices) {
    const port = ports.find((one) => (one.name ?? '') === portName)?.port;
    // An endpoint that says nothing is ready.
    const ready = endpoints.filter(({ conditions }) => conditions?.ready !== false);
    const pod = ready.find(({ targetRef }) => targetRef?.kind === 'Pod')?.targetRef?.name;
    if (port !== undefined && pod !== undefined) return { namespace, pod, port };
  }
  return undefined;
}

async function read(connection: PodConnection, path: string): Promise<KubeObject> {
  const { status, body } = await connection.get(path);
  if (status === 200) return body as KubeObject;
  throw new Error(textAt(body, 'message') ?? `the API answered ${status}`);
}
