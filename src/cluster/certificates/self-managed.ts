import type { Cluster } from '../api/client.ts';
import { createAuthority, issueCertificate, type Pair } from './authority.ts';
import {
  backdate,
  type Held,
  includesBundle,
  planRotation,
  type RotationPolicy,
  type RotationStep,
  trimBundle,
} from './rotation.ts';
import type { CertificateSource } from './source.ts';

export interface SelfManagedOptions {
  readonly cluster: Cluster;
  readonly namespace: string;
  readonly secret: string;
  /** The MutatingWebhookConfiguration. */
  readonly configuration: string;
  readonly service: string;
  readonly policy: RotationPolicy;
}

const KEYS = { bundle: 'ca.crt', caKey: 'ca.key', certificate: 'tls.crt', key: 'tls.key' } as const;
/** Two replicas meet at most a few times; more is a fault. */
const TRIES = 5;
const LONGEST_WAIT_MS = 60_000;

/**
 * An authority of our own, shared through a Secret. Trust comes first: the API server is told of an
 * authority before its certificates are served, and keeps trusting the one before until it expires.
 * Replicas do not talk to each other: a write that is based on an old reading is refused, and then
 * what the other has written is taken.
 */
export class SelfManagedCertificate implements CertificateSource {
  readonly everyMs: number;
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
    this.everyMs = Math.min(LONGEST_WAIT_MS, Math.round(policy.certificateLifetimeMs / 30));
  }

  async refresh(): Promise<Pair> {
    const held = await this.#agree();
    await this.#trust(held.bundle);
    return held.served;
  }

  /** What the Secret holds once nothing in it is due. */
  async #agree(): Promise<Held> {
    const { cluster, namespace, secret, policy } = this.#options;
    for (let tried = 0; tried < TRIES; tried += 1) {
      const stored = await cluster.readSecret(namespace, secret);
      const held = stored && heldIn(stored.data);
      const step = planRotation(held, this.#names, Date.now(), policy);
      if (held && !step.authority && !step.certificate) return held;
      const renewed = await this.#renew(held, step);
      const written = await cluster.writeSecret(
        namespace,
        secret,
        dataOf(renewed),
        stored?.version,
      );
      if (written) return renewed;
    }
    throw new Error(
      `the Secret ${namespace}/${secret} was written by others ${TRIES} times in a row`,
    );
  }

  async #renew(held: Held | undefined, step: RotationStep): Promise<Held> {
    const { policy } = this.#options;
    const now = Date.now();
    const authority =
      step.authority || held === undefined
        ? await createAuthority(validity(now, policy.caLifetimeMs))
        : { certificate: held.bundle, key: held.caKey };
    const bundle =
      step.authority || held === undefined
        ? authority.certificate + trimBundle(held?.bundle ?? '', now)
        : trimBundle(held.bundle, now);
    const served =
      step.certificate || held === undefined
        ? await issueCertificate(
            authority,
            this.#names,
            validity(now, policy.certificateLifetimeMs),
          )
        : held.served;
    return { bundle, caKey: authority.key, served };
  }

  async #trust(bundle: string): Promise<void> {
    const { cluster, configuration } = this.#options;
    for (let tried = 0; tried < TRIES; tried += 1) {
      const trust = await cluster.readTrust(configuration);
      if (trust === undefined) {
        throw new Error(`there is no MutatingWebhookConfiguration called ${configuration}`);
      }
      // More than ours may be there: another replica may know of an authority that is newer still.
      if (trust.bundles.every((one) => includesBundle(one, bundle))) return;
      if (await cluster.writeTrust(configuration, trust, bundle)) return;
    }
    throw new Error(`${configuration} was written by others ${TRIES} times in a row`);
  }
}

function validity(now: number, lifetimeMs: number): { notBefore: Date; notAfter: Date } {
  return { notBefore: new Date(now - backdate(lifetimeMs)), notAfter: new Date(now + lifetimeMs) };
}

function heldIn(data: Readonly<Record<string, string>>): Held | undefined {
  const [bundle, caKey, certificate, key] = Object.values(KEYS).map((name) => data[name]);
  if (!bundle || !caKey || !certificate || !key) return undefined;
  return { bundle, caKey, served: { certificate, key } };
}

function dataOf({ bundle, caKey, served }: Held): Readonly<Record<string, string>> {
  return {
    [KEYS.bundle]: bundle,
    [KEYS.caKey]: caKey,
    [KEYS.certificate]: served.certificate,
    [KEYS.key]: served.key,
  };
}
