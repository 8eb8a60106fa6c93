import { type IncomingMessage, request as requestPlain } from 'node:http';
import { request, type RequestOptions } from 'node:https';
import { rootCertificates } from 'node:tls';
import { QuiesceError } from '../../errors.ts';

const REDIRECTS = 3;
/** How long a storage may be silent. */
const SILENT_MS = 30_000;

/**
 * Opens what a signed URL leads to. The URL is a credential: errors name its host only.
 *
 * @param ca certificates of the storage, as PEM, in addition to those of the system
 * @throws QuiesceError BACKUP_UNREACHABLE
 */
export async function download(
  url: string,
  ca: string | undefined,
  signal: AbortSignal,
): Promise<IncomingMessage> {
  let place = placeOf(url);
  for (let hop = 0; ; hop += 1) {
    const answer = await open(place, ca, signal);
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

async function open(
  place: URL,
  ca: string | undefined,
  signal: AbortSignal,
): Promise<IncomingMessage> {
  const start = place.protocol === 'http:' ? requestPlain : request;
  const options: RequestOptions = {
    signal,
    timeout: SILENT_MS,
    ...(ca !== undefined && { ca: [...rootCertificates, ca] }),
  };
  return await new Promise((resolve, reject) => {
    const sent = start(place, options, resolve);
    sent.on('timeout', () => sent.destroy(new Error('it does not answer')));
    sent.on('error', (error: NodeJS.ErrnoException) => {
      reject(signal.aborted ? (signal.reason as Error) : unreachable(place, error));
    });
    sent.end();
  });
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
