import { X509Certificate } from 'node:crypto';
import { readFile, stat } from 'node:fs/promises';
import { isIP } from 'node:net';
import type { ConnectionOptions, PeerCertificate } from 'node:tls';
import { QuiesceError } from '../../../errors.ts';
import type { SslSettings } from './settings.ts';

/**
 * Where Linux distributions keep the certificate authorities they trust, for `sslrootcert=system`.
 */
const SYSTEM_ROOTS = [
  '/etc/ssl/certs/ca-certificates.crt',
  '/etc/pki/tls/certs/ca-bundle.crt',
  '/etc/ssl/ca-bundle.pem',
  '/etc/ssl/cert.pem',
];

/**
 * TLS as libpq does it (PostgreSQL 18, section 32.19 "SSL Support"): if there is a root
 * certificate, **every** mode verifies the chain; only `verify-full` verifies the host name.
 *
 * @param host the name to verify: PGHOST; `undefined` where only an address is known.
 * @throws QuiesceError ENGINE_TLS for a file that is missing, unreadable or too open.
 */
export async function tlsOptions(
  ssl: SslSettings,
  host: string | undefined,
): Promise<ConnectionOptions> {
  const ca = await rootCertificates(ssl);
  if (ssl.mode === 'verify-full' && host === undefined) {
    throw new QuiesceError(
      'ENGINE_TLS',
      'PGSSLMODE=verify-full needs PGHOST: there is no host name to verify.',
    );
  }
  return {
    ...(typeof ca === 'string' ? { ca } : {}),
    ...(await clientCertificate(ssl)),
    minVersion: ssl.minVersion,
    maxVersion: ssl.maxVersion,
    rejectUnauthorized: ca !== 'none' || ssl.mode.startsWith('verify'),
    checkServerIdentity: (_name: string, cert: PeerCertificate) =>
      ssl.mode === 'verify-full' ? hostMismatch(host ?? '', cert) : undefined,
  };
}

/** PEM text; `none` where nothing is verified; `undefined` for the authorities built into Node. */
async function rootCertificates(ssl: SslSettings): Promise<string | undefined> {
  if (ssl.rootCert === 'system') {
    const named = process.env['SSL_CERT_FILE'];
    for (const path of named ? [named] : SYSTEM_ROOTS) {
      const text = await readFile(path, 'utf8').catch(() => undefined);
      if (text !== undefined) return text;
    }
    return undefined;
  }
  const text = await readIfThere('PGSSLROOTCERT', ssl.rootCert);
  if (text !== undefined) return text;
  if (!ssl.mode.startsWith('verify')) return 'none';
  throw new QuiesceError(
    'ENGINE_TLS',
    `PGSSLMODE=${ssl.mode} needs a root certificate, and ${ssl.rootCert} does not exist.`,
    {
      hint: 'Set PGSSLROOTCERT to the file of the CA, or to system.',
    },
  );
}

async function clientCertificate(ssl: SslSettings): Promise<{ cert?: string; key?: string }> {
  const cert = ssl.cert === undefined ? undefined : await readIfThere('PGSSLCERT', ssl.cert);
  if (cert === undefined) return {};
  const info = await stat(ssl.key).catch(() => undefined);
  if (!info?.isFile()) {
    throw new QuiesceError(
      'ENGINE_TLS',
      `The client certificate ${ssl.cert} has no private key: ${ssl.key} is not a file.`,
    );
  }
  // libpq's rule: 0600, or 0640 if root owns the file.
  if ((info.mode & (info.uid === 0 ? 0o037 : 0o077)) !== 0) {
    throw new QuiesceError('ENGINE_TLS', `The private key ${ssl.key} is accessible to others.`, {
      hint: 'Set its permissions to 0600, or 0640 if root owns it.',
    });
  }
  const key = await readIfThere('PGSSLKEY', ssl.key);
  if (key === undefined || /ENCRYPTED/.test(key)) {
    throw new QuiesceError(
      'ENGINE_TLS',
      `The private key ${ssl.key} is encrypted, which is not supported.`,
    );
  }
  return { cert, key };
}

async function readIfThere(name: string, path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    if (code === 'ENOENT' || code === 'ENOTDIR') return undefined;
    throw new QuiesceError('ENGINE_TLS', `${name}: ${path} cannot be read (${code}).`, {
      cause: error,
    });
  }
}

/**
 * An error if the certificate is not for this host. Follows libpq's rules, not a browser's: a
 * wildcard is only a whole first label, and the common name counts if no alternative name is of the
 * host's kind.
 */
function hostMismatch(host: string, peer: PeerCertificate): Error | undefined {
  const names = alternativeNames(new X509Certificate(peer.raw).subjectAltName ?? '');
  const kind = isIP(host) === 0 ? 'DNS' : 'IP Address';
  if (names.some((entry) => matches(entry, host))) return undefined;
  if (!names.some((entry) => entry.kind === kind)) {
    const common = [peer.subject?.CN].flat()[0];
    if (common !== undefined && matches({ kind: 'DNS', name: common }, host)) return undefined;
    if (common !== undefined) names.push({ kind: 'CN', name: common });
  }
  const listed = names.map((entry) => entry.name).join(', ') || 'no name';
  const error = new Error(`the server's certificate is for ${listed}, not for ${host}`);
  return Object.assign(error, { code: 'ERR_TLS_CERT_ALTNAME_INVALID' });
}

interface CertificateName {
  readonly kind: string;
  readonly name: string;
}

function alternativeNames(text: string): CertificateName[] {
  // Node quotes a name that contains something that looks like a separator.
  return [...text.matchAll(/(?:^|, )([\w ]+):("(?:[^"\\]|\\.)*"|[^,]*)/g)].map(
    ([, kind = '', raw = '']) => ({
      kind,
      name: raw.startsWith('"') ? (JSON.parse(raw) as string) : raw,
    }),
  );
}

function matches({ kind, name }: CertificateName, host: string): boolean {
  if (kind === 'IP Address') return isIP(host) !== 0 && canonicalIp(name) === canonicalIp(host);
  if (kind !== 'DNS') return false;
  const [pattern, wanted] = [name.toLowerCase(), host.toLowerCase()];
  if (pattern === wanted) return true;
  if (!/^\*\../.test(pattern) || isIP(host) !== 0) return false;
  const dot = wanted.indexOf('.');
  return dot > 0 && wanted.slice(dot) === pattern.slice(1);
}

function canonicalIp(address: string): string {
  if (isIP(address) !== 6) return address;
  return new URL(`http://[${address.replace(/%.*/, '')}]`).hostname;
}
