import { createPrivateKey, X509Certificate } from 'node:crypto';
import type { Pair } from './authority.ts';

export interface RotationPolicy {
  readonly caLifetimeMs: number;
  readonly certificateLifetimeMs: number;
  /**
   * How long a new authority must be trusted before it replaces the certificate of the previous one.
   * A certificate that cannot be served is replaced without this delay.
   */
  readonly trustDelayMs: number;
}

/** What the replicas share through a Secret. Everything is PEM. */
export interface StoredCertificates {
  /** The trusted authorities, newest first. */
  readonly bundle: string;
  /** The private key of the newest authority. */
  readonly caKey: string;
  readonly served: Pair;
}

/** What to renew now. */
export interface Renewal {
  readonly authority: boolean;
  readonly certificate: boolean;
}

/** Where clocks differ, a new certificate must not appear to be not valid yet. */
const MAX_SKEW_MS = 300_000;

/** How far a new certificate is backdated, in milliseconds. */
export function backdate(lifetimeMs: number): number {
  return Math.min(MAX_SKEW_MS, Math.round(lifetimeMs / 10));
}

/**
 * What to renew now. Authority and certificate are each due when a third of their lifetime is left. The
 * certificate is also due once a newer authority has been trusted for `trustDelayMs`. Due at once: what is
 * missing, expired, for other names, or does not match its key or authority.
 */
export function dueRenewal(
  stored: StoredCertificates | undefined,
  names: readonly string[],
  now: number,
  policy: RotationPolicy,
): Renewal {
  const cas = stored === undefined ? [] : readBundle(stored.bundle);
  const [newest] = cas;
  if (
    stored === undefined ||
    newest === undefined ||
    !matchesKey(newest, stored.caKey) ||
    !isValid(newest, now)
  ) {
    return { authority: true, certificate: true };
  }
  const authority = remainingMs(newest, now) < policy.caLifetimeMs / 3;
  const served = parseCertificate(stored.served.certificate);
  const usable =
    served !== undefined &&
    isValid(served, now) &&
    matchesKey(served, stored.served.key) &&
    names.every((name) => served.checkHost(name) !== undefined) &&
    cas.some((ca) => isValid(ca, now) && served.verify(ca.publicKey));
  // Never both: no API server would trust yet what an authority made now signs.
  if (!usable) return { authority: false, certificate: true };
  if (authority) return { authority, certificate: false };
  const due =
    remainingMs(served, now) < policy.certificateLifetimeMs / 3 || !served.verify(newest.publicKey);
  const age = now - startOf(newest) - backdate(policy.caLifetimeMs);
  return { authority: false, certificate: due && age >= policy.trustDelayMs };
}

/** The bundle without expired authorities. */
export function trimBundle(bundle: string, now: number): string {
  return readBundle(bundle)
    .filter((ca) => endOf(ca) > now)
    .map((ca) => ca.toString())
    .join('');
}

/** Every certificate of a PEM text. Unreadable ones are left out. */
export function readBundle(pem: string): readonly X509Certificate[] {
  const blocks = pem.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? [];
  return blocks.map(parseCertificate).filter((ca) => ca !== undefined);
}

function parseCertificate(pem: string): X509Certificate | undefined {
  try {
    return new X509Certificate(pem);
  } catch {
    return undefined;
  }
}

function matchesKey(certificate: X509Certificate, key: string): boolean {
  try {
    return certificate.checkPrivateKey(createPrivateKey(key));
  } catch {
    return false;
  }
}

function isValid(certificate: X509Certificate, now: number): boolean {
  return startOf(certificate) <= now && now < endOf(certificate);
}

function remainingMs(certificate: X509Certificate, now: number): number {
  return endOf(certificate) - now;
}

function startOf(certificate: X509Certificate): number {
  return Date.parse(certificate.validFrom);
}

function endOf(certificate: X509Certificate): number {
  return Date.parse(certificate.validTo);
}

/** Whether the bundle `trusted` has every authority of `bundle`. */
export function includesBundle(trusted: string, bundle: string): boolean {
  const prints = new Set(readBundle(trusted).map((ca) => ca.fingerprint256));
  return readBundle(bundle).every((ca) => prints.has(ca.fingerprint256));
}

/** When the pair expires, in milliseconds of the epoch; `undefined`: not a certificate and its key. */
export function expiryOf(pair: Pair): number | undefined {
  const certificate = parseCertificate(pair.certificate);
  return certificate && matchesKey(certificate, pair.key) ? endOf(certificate) : undefined;
}
