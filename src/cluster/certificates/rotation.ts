import { createPrivateKey, X509Certificate } from 'node:crypto';
import type { Pair } from './authority.ts';

export interface RotationPolicy {
  readonly caLifetimeMs: number;
  readonly certificateLifetimeMs: number;
  /** How long a new authority is trusted before anything it has signed is served. */
  readonly settleMs: number;
}

/** What the replicas share. */
export interface Held {
  /** The authorities that are trusted, newest first, in PEM. */
  readonly bundle: string;
  /** The key of the newest. */
  readonly caKey: string;
  readonly served: Pair;
}

export interface RotationStep {
  readonly authority: boolean;
  readonly certificate: boolean;
}

/** Where clocks differ, what is new must not look as if it were not valid yet. */
const MOST_SKEW_MS = 300_000;

/** How far a new certificate is dated back. */
export function backdate(lifetimeMs: number): number {
  return Math.min(MOST_SKEW_MS, Math.round(lifetimeMs / 10));
}

/**
 * What is to be renewed now: each when a third of its life is left, and a certificate, too, once an
 * authority newer than its own has been trusted long enough. At once what is missing, expired, for
 * other names, or does not fit together.
 */
export function planRotation(
  held: Held | undefined,
  names: readonly string[],
  now: number,
  policy: RotationPolicy,
): RotationStep {
  const cas = held === undefined ? [] : readBundle(held.bundle);
  const [newest] = cas;
  if (
    held === undefined ||
    newest === undefined ||
    !fits(newest, held.caKey) ||
    !isValid(newest, now)
  ) {
    return { authority: true, certificate: true };
  }
  const authority = left(newest, now) < policy.caLifetimeMs / 3;
  const served = read(held.served.certificate);
  const usable =
    served !== undefined &&
    isValid(served, now) &&
    fits(served, held.served.key) &&
    names.every((name) => served.checkHost(name) !== undefined) &&
    cas.some((ca) => isValid(ca, now) && served.verify(ca.publicKey));
  // One step at a time: what an authority made now would sign, nobody trusts yet.
  if (!usable) return { authority: false, certificate: true };
  if (authority) return { authority, certificate: false };
  const due =
    left(served, now) < policy.certificateLifetimeMs / 3 || !served.verify(newest.publicKey);
  const age = now - startOf(newest) - backdate(policy.caLifetimeMs);
  return { authority: false, certificate: due && age >= policy.settleMs };
}

/** The bundle without what has expired. */
export function trimBundle(bundle: string, now: number): string {
  return readBundle(bundle)
    .filter((ca) => endOf(ca) > now)
    .map((ca) => ca.toString())
    .join('');
}

/** Every certificate of a PEM text; what cannot be read is left out. */
export function readBundle(pem: string): readonly X509Certificate[] {
  const blocks = pem.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? [];
  return blocks.map(read).filter((ca) => ca !== undefined);
}

function read(pem: string): X509Certificate | undefined {
  try {
    return new X509Certificate(pem);
  } catch {
    return undefined;
  }
}

function fits(certificate: X509Certificate, key: string): boolean {
  try {
    return certificate.checkPrivateKey(createPrivateKey(key));
  } catch {
    return false;
  }
}

function isValid(certificate: X509Certificate, now: number): boolean {
  return startOf(certificate) <= now && now < endOf(certificate);
}

function left(certificate: X509Certificate, now: number): number {
  return endOf(certificate) - now;
}

function startOf(certificate: X509Certificate): number {
  return Date.parse(certificate.validFrom);
}

function endOf(certificate: X509Certificate): number {
  return Date.parse(certificate.validTo);
}

/** Whether whoever trusts `trusted` trusts every authority of `bundle`. */
export function includesBundle(trusted: string, bundle: string): boolean {
  const prints = new Set(readBundle(trusted).map((ca) => ca.fingerprint256));
  return readBundle(bundle).every((ca) => prints.has(ca.fingerprint256));
}

/** When the pair ends to be valid, in milliseconds of the epoch; `undefined`: it is none. */
export function expiryOf(pair: Pair): number | undefined {
  const certificate = read(pair.certificate);
  return certificate && fits(certificate, pair.key) ? endOf(certificate) : undefined;
}
