import 'reflect-metadata';
import { webcrypto } from 'node:crypto';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import {
  BasicConstraintsExtension,
  cryptoProvider,
  type Extension,
  KeyUsageFlags,
  KeyUsagesExtension,
  PemConverter,
  SubjectAlternativeNameExtension,
  type X509Certificate,
  X509CertificateGenerator,
} from '@peculiar/x509';

cryptoProvider.set(webcrypto as never);

const ALGORITHM = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' };
const DAY_MS = 24 * 3_600_000;

interface Issuer {
  readonly certificate: X509Certificate;
  readonly keys: webcrypto.CryptoKeyPair;
}

/**
 * Real certificates in `dir`: two authorities (`ca`, `otherca`), and certificates signed by `ca`: `server`
 * for 127.0.0.1, localhost, *.example.test and `more` names, one for `elsewhere`, `cn` with 127.0.0.1 as common name
 * only, and one for a `client` called quiesce. Keys have mode 0600.
 */
export async function makeCertificates(dir: string, more: readonly string[] = []): Promise<void> {
  await mkdir(dir, { recursive: true });
  const ca = await authority(dir, 'ca');
  await authority(dir, 'otherca');
  const names = (...list: { type: 'dns' | 'ip'; value: string }[]): Extension =>
    new SubjectAlternativeNameExtension(list);
  const local = [
    { type: 'dns', value: 'localhost' },
    { type: 'dns', value: '*.example.test' },
    { type: 'ip', value: '127.0.0.1' },
    ...more.map((value) => ({ type: 'dns', value }) as const),
  ] as const;
  await issue(dir, 'server', 'ignored', ca, names(...local));
  await issue(dir, 'elsewhere', 'elsewhere', ca, names({ type: 'dns', value: 'elsewhere.test' }));
  await issue(dir, 'cn', '127.0.0.1', ca, new BasicConstraintsExtension(false));
  await issue(dir, 'client', 'quiesce', ca, new BasicConstraintsExtension(false));
}

async function authority(dir: string, name: string): Promise<Issuer> {
  const keys = await newKeys();
  const certificate = await X509CertificateGenerator.createSelfSigned({
    ...validity(),
    name: `CN=${name}`,
    keys,
    signingAlgorithm: ALGORITHM,
    extensions: [
      new BasicConstraintsExtension(true, undefined, true),
      new KeyUsagesExtension(KeyUsageFlags.keyCertSign | KeyUsageFlags.cRLSign, true),
    ],
  });
  await save(dir, name, certificate, keys);
  return { certificate, keys };
}

async function issue(
  dir: string,
  name: string,
  commonName: string,
  issuer: Issuer,
  extension: Extension,
): Promise<void> {
  const keys = await newKeys();
  const certificate = await X509CertificateGenerator.create({
    ...validity(),
    subject: `CN=${commonName}`,
    issuer: issuer.certificate.subject,
    publicKey: keys.publicKey,
    signingKey: issuer.keys.privateKey,
    signingAlgorithm: ALGORITHM,
    extensions: [extension],
  });
  await save(dir, name, certificate, keys);
}

function newKeys(): Promise<webcrypto.CryptoKeyPair> {
  return webcrypto.subtle.generateKey(ALGORITHM, true, ['sign', 'verify']);
}

function validity(): { serialNumber: string; notBefore: Date; notAfter: Date } {
  const now = Date.now();
  return {
    serialNumber: webcrypto.randomUUID().replaceAll('-', '').replace(/^./, '1'),
    notBefore: new Date(now - DAY_MS),
    notAfter: new Date(now + DAY_MS),
  };
}

async function save(
  dir: string,
  name: string,
  certificate: X509Certificate,
  keys: webcrypto.CryptoKeyPair,
): Promise<void> {
  const pkcs8 = await webcrypto.subtle.exportKey('pkcs8', keys.privateKey);
  await writeFile(join(dir, `${name}.crt`), `${certificate.toString('pem')}\n`);
  const key = `${PemConverter.encode(pkcs8, PemConverter.PrivateKeyTag)}\n`;
  await writeFile(join(dir, `${name}.key`), key, { mode: 0o600 });
}
