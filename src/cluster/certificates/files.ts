import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Pair } from './authority.ts';
import { expiryOf } from './rotation.ts';
import type { CertificateSource } from './source.ts';

const REFRESH_MS = 10_000;

/** A certificate from a mounted Secret, such as cert-manager's. Read repeatedly: the kubelet replaces it. */
export class MountedCertificate implements CertificateSource {
  readonly refreshMs: number;
  readonly #dir: string;

  constructor(dir: string, refreshMs = REFRESH_MS) {
    this.#dir = dir;
    this.refreshMs = refreshMs;
  }

  async refresh(): Promise<Pair> {
    const [certificate, key] = await Promise.all(
      ['tls.crt', 'tls.key'].map((name) => readFile(join(this.#dir, name), 'utf8')),
    );
    const pair = { certificate: certificate ?? '', key: key ?? '' };
    if (expiryOf(pair) === undefined) {
      throw new Error(`tls.crt and tls.key in ${this.#dir} are not a certificate and its key`);
    }
    return pair;
  }
}
