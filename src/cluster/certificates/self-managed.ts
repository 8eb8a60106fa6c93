import type { Cluster } from '../api/client.ts';
import { createAuthority, issueCertificate, type Pair } from './authority.ts';
import {
  backdate,
  type StoredCertificates,
  includesBundle,
  dueRenewal,
  type RotationPolicy,
  type Renewal,
  trimBundle,
} from './rotation.ts';
import type { CertificateSource } from './source.ts';

export interface SelfManagedOptions {
  readonly cluster: Cluster;
  readonly namespace: string;
  readonly secret: string;
  /** The name of the MutatingWebhookConfiguration. */
  readonly configuration: string;
  readonly service: string;
  readonly policy: RotationPolicy;
}

const KEYS = { bundle: 'ca.crt', caKey: 'ca.key', certificate: 'tls.crt', key: 'tls.key' } as const;
/** Replicas collide a few times at most; more conflicts mean that something else writes. */
const MAX_TRIES = 5;
const MAX_REFRESH_MS = 60_000;

/**
 * A certificate of our own authority, shared by all replicas through a Secret. Trust comes first: the API
 * server gets an authority before any certificate of it is served, and trusts the previous one until that
 * expires. Replicas do not talk to each other. The API server refuses a write based on an outdated read;
 * the replica then takes what the other one wrote.
 */
export class SelfManagedCertificate implements CertificateSource {
  readonly refreshMs: number;
  readonly #options: SelfManagedOptions;
  readonly #names: readonly string[];

  constructor(options: SelfManagedOptions) {
    const { service, namespace, policy } = options;
    this.#options = options;
    this.#names = [
      `${service}.${namespace}.svc`,
      `${service}.${namespace}`,
      `${service}.${namespace}.svc.cluster.local`,
    ];
    this.refreshMs = Math.min(MAX_REFRESH_MS, Math.round(policy.certificateLifetimeMs / 30));
  }

  async refresh(): Promise<Pair> {
    const current = await this.#agree();
    await this.#trust(current.bundle);
    return current.served;
  }

  /** Renews what is due, then returns the content of the Secret. */
  async #agree(): Promise<StoredCertificates> {
    const { cluster, namespace, secret, policy } = this.#options;
    for (let attempt = 0; attempt < MAX_TRIES; attempt += 1) {
      const stored = await cluster.readSecret(namespace, secret);
      const current = stored && storedIn(stored.data);
      const renewal = dueRenewal(current, this.#names, Date.now(), policy);
      if (current && !renewal.authority && !renewal.certificate) return current;
      const renewed = await this.#renew(current, renewal);
      const written = await cluster.writeSecret(
        namespace,
        secret,
        dataOf(renewed),
        stored?.version,
      );
      if (written) return renewed;
    }
    throw new Error(`the Secret ${namespace}/${secret} changed before each of ${MAX_TRIES} writes`);
  }

  async #renew(
    current: StoredCertificates | undefined,
    renewal: Renewal,
  ): Promise<StoredCertificates> {
    const { policy } = this.#options;
    const now = Date.now();
    const authority =
      renewal.authority || current === undefined
        ? await createAuthority(validity(now, policy.caLifetimeMs))
        : { certificate: current.bundle, key: current.caKey };
    const bundle =
      renewal.authority || current === undefined
        ? authority.certificate + trimBundle(current?.bundle ?? '', now)
        : trimBundle(current.bundle, now);
    const served =
      renewal.certificate || current === undefined
        ? await issueCertificate(
            authority,
            this.#names,
            validity(now, policy.certificateLifetimeMs),
          )
        : current.served;
    return { bundle, caKey: authority.key, served };
  }

  async #trust(bundle: string): Promise<void> {
    const { cluster, configuration } = this.#options;
    for (let attempt = 0; attempt < MAX_TRIES; attempt += 1) {
      const currentTrust = await cluster.readTrust(configuration);
      if (currentTrust === undefined) {
        throw new Error(`there is no MutatingWebhookConfiguration named ${configuration}`);
      }
      // The bundles may have more than ours: another replica may have added a newer authority.
      if (currentTrust.bundles.every((one) => includesBundle(one, bundle))) return;
      if (await cluster.writeTrust(configuration, currentTrust, bundle)) return;
    }
    throw new Error(
      `the MutatingWebhookConfiguration ${configuration} changed before each of ${MAX_TRIES} writes`,
    );
  }
}

function validity(now: number, lifetimeMs: number): { notBefore: Date; notAfter: Date } {
  return { notBefore: new Date(now - backdate(lifetimeMs)), notAfter: new Date(now + lifetimeMs) };
}

function storedIn(data: Readonly<Record<string, string>>): StoredCertificates | undefined {
  const [bundle, caKey, certificate, key] = Object.values(KEYS).map((name) => data[name]);
  if (!bundle || !caKey || !certificate || !key) return undefined;
  return { bundle, caKey, served: { certificate, key } };
}

function dataOf({ bundle, caKey, served }: StoredCertificates): Readonly<Record<string, string>> {
  return {
    [KEYS.bundle]: bundle,
    [KEYS.caKey]: caKey,
    [KEYS.certificate]: served.certificate,
    [KEYS.key]: served.key,
  };
}
