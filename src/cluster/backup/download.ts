import { type IncomingMessage, request as requestPlain } from 'node:http';
import { request, type RequestOptions } from 'node:https';
import type { Duplex } from 'node:stream';
import { connect as connectTls, rootCertificates } from 'node:tls';
import { QuiesceError } from '../../errors.ts';
import { type ServiceAddress, serviceIn } from './service.ts';

const REDIRECTS = 3;
/** How long a storage may be silent. */
const SILENT_MS = 30_000;

/** How to reach a storage. */
export interface Ways {
  /** Certificates of the storage, as PEM, in addition to those of the system. */
  readonly ca: string | undefined;
  /** Connects to a Service of the cluster from outside. */
  openService(service: ServiceAddress): Promise<Duplex>;
}

/**
 * Opens what a signed URL leads to. The URL is a credential: errors name its host only. A name that only
 * the cluster knows is reached through the cluster.
 *
 * @throws QuiesceError BACKUP_UNREACHABLE
 */
export async function download(
  url: string,
  ways: Ways,
  signal: AbortSignal,
): Promise<IncomingMessage> {
  let place = placeOf(url);
  for (let hop = 0; ; hop += 1) {
    const answer = await open(place, ways, signal);
    const { statusCode = 0, headers } = answer;
    if (statusCode === 200) return answer;
    answer.destroy();
    if (statusCode < 300 || statusCode >= 400 || !headers.location || hop === REDIRECTS) {
      throw refused(place, statusCode);
    }
    place = placeOf(new URL(headers.location, place).href);
  }
}

function placeOf(url: string): URL {
  const place = URL.canParse(url) ? new URL(url) : undefined;
  if (place?.protocol === 'http:' || place?.protocol === 'https:') return place;
  throw new QuiesceError('BACKUP_UNREACHABLE', 'Velero gave a URL that is none of HTTP.');
}

async function open(place: URL, ways: Ways, signal: AbortSignal): Promise<IncomingMessage> {
  const options: RequestOptions = { signal, ...trusted(ways.ca) };
  try {
    return await send(place, { ...options, timeout: SILENT_MS });
  } catch (error) {
    signal.throwIfAborted();
    const { code = '' } = error as NodeJS.ErrnoException;
    const service = serviceIn(place);
    const inside = UNKNOWN_NAME.has(code) || (service?.sure === true && NO_WAY.has(code));
    if (!inside || service === undefined) throw unreachable(place, error as Error);
    return await openInside(place, service, ways, options);
  }
}

/** What a resolver says of a name that only the cluster has. */
const UNKNOWN_NAME = new Set(['ENOTFOUND', 'EAI_AGAIN']);
/** Some resolvers know an address for every name, or one that only the nodes can reach. */
const NO_WAY = new Set(['ECONNREFUSED', 'ECONNRESET', 'EHOSTUNREACH', 'ENETUNREACH', 'ETIMEDOUT']);

async function openInside(
  place: URL,
  service: ServiceAddress,
  ways: Ways,
  options: RequestOptions,
): Promise<IncomingMessage> {
  const stream = await ways.openService(service).catch((error: unknown) => {
    options.signal?.throwIfAborted();
    throw notInside(place, service, error as Error);
  });
  const secured = (): Duplex =>
    connectTls({ socket: stream, servername: place.hostname, ...trusted(ways.ca) });
  const createConnection = place.protocol === 'https:' ? secured : (): Duplex => stream;
  try {
    const answer = await send(place, { ...options, createConnection });
    return answer.on('close', () => stream.destroy());
  } catch (error) {
    stream.destroy();
    options.signal?.throwIfAborted();
    throw unreachable(place, error as Error);
  }
}

function trusted(ca: string | undefined): { readonly ca?: string[] } {
  return ca === undefined ? {} : { ca: [...rootCertificates, ca] };
}

async function send(place: URL, options: RequestOptions): Promise<IncomingMessage> {
  const start = place.protocol === 'http:' ? requestPlain : request;
  return await new Promise((resolve, reject) => {
    const sent = start(place, options, resolve);
    sent.on('timeout', () => {
      sent.destroy(Object.assign(new Error('it does not answer'), { code: 'ETIMEDOUT' }));
    });
    sent.on('error', reject);
    sent.end();
  });
}

function notInside({ host }: URL, { namespace, name }: ServiceAddress, error: Error): QuiesceError {
  const reason = error.message.replace(/\.$/, '');
  return new QuiesceError(
    'BACKUP_UNREACHABLE',
    `The storage of the backup, ${host}, cannot be reached from here, nor as the Service ${name} in ${namespace} through the API server: ${reason}.`,
    {
      cause: error,
      hint: `Set publicUrl in the config of the BackupStorageLocation, or run the command in the cluster, or with these rights in ${namespace}: get services, list endpointslices, get and create pods/portforward.`,
    },
  );
}

function unreachable({ host }: URL, error: NodeJS.ErrnoException): QuiesceError {
  const { code = error.message } = error;
  const untrusted = /CERT|SELF_SIGNED|UNABLE_TO/.test(code);
  return new QuiesceError(
    'BACKUP_UNREACHABLE',
    `The storage of the backup, ${host}, cannot be reached from here: ${code}.`,
    {
      cause: new Error(code),
      ...(untrusted && {
        hint: 'Set caCert in the BackupStorageLocation, or NODE_EXTRA_CA_CERTS to a file with its certificate authority.',
      }),
    },
  );
}

function refused({ host }: URL, status: number): QuiesceError {
  const message = `The storage of the backup, ${host}, answers ${status} instead of its contents.`;
  const hint =
    status === 404
      ? 'The objects of the backup are gone from the storage, although Velero still lists it: choose another backup.'
      : 'Compare the clocks of the cluster and the storage, and look at the credentials of Velero: velero backup-location get.';
  return new QuiesceError('BACKUP_UNREACHABLE', message, { hint });
}
