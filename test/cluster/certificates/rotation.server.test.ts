import { X509Certificate } from 'node:crypto';
import * as fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { expiryOf } from '../../../src/cluster/certificates/rotation.ts';
import { SelfManagedCertificate } from '../../../src/cluster/certificates/self-managed.ts';
import type { Cluster, StoredSecret, StoredTrust } from '../../../src/cluster/api/client.ts';

const HOUR = 3_600_000;
const POLICY = { caLifetimeMs: 300 * HOUR, certificateLifetimeMs: 30 * HOUR, trustDelayMs: 60_000 };

/** A fake in memory: one Secret and one configuration, with the API's optimistic concurrency. */
class FakeCluster implements Cluster {
  secret: StoredSecret | undefined;
  trust: StoredTrust = { version: '1', bundles: ['', ''] };
  writes = 0;
  /** Called once, between a read and the write that is based on it. */
  beforeWrite: (() => Promise<void>) | undefined;

  readSecret(): Promise<StoredSecret | undefined> {
    return Promise.resolve(this.secret);
  }

  async writeSecret(_: string, __: string, data: Record<string, string>, version?: string) {
    const beforeWrite = this.beforeWrite;
    this.beforeWrite = undefined;
    await beforeWrite?.();
    if (this.secret?.version !== version) return false;
    this.writes += 1;
    this.secret = { version: String(Number(version ?? 0) + 1), data };
    return true;
  }

  readTrust(): Promise<StoredTrust> {
    return Promise.resolve(this.trust);
  }

  writeTrust(_: string, trust: StoredTrust, bundle: string): Promise<boolean> {
    if (trust.version !== this.trust.version) return Promise.resolve(false);
    this.trust = { version: `${this.trust.version}+`, bundles: trust.bundles.map(() => bundle) };
    return Promise.resolve(true);
  }

  createEvent(): Promise<void> {
    return Promise.resolve();
  }

  readDemands(): Promise<readonly object[]> {
    return Promise.resolve([]);
  }

  /** Whether an API server would accept this certificate now. */
  trusts(pem: string): boolean {
    const served = new X509Certificate(pem);
    return this.trust.bundles.every((bundle) =>
      (bundle.match(/-----BEGIN[^-]+-----[^-]+-----END[^-]+-----/g) ?? [])
        .map((one) => new X509Certificate(one))
        .some(
          (ca) =>
            served.checkIssued(ca) &&
            served.verify(ca.publicKey) &&
            Date.parse(ca.validTo) > Date.now(),
        ),
    );
  }
}

let store: FakeCluster;
const replica = (): SelfManagedCertificate =>
  new SelfManagedCertificate({
    cluster: store,
    namespace: 'system',
    secret: 'tls',
    configuration: 'quiesce',
    service: 'hook',
    policy: POLICY,
  });

beforeEach(() => {
  store = new FakeCluster();
  vi.useFakeTimers({ toFake: ['Date'], now: Date.UTC(2026, 0, 1) });
});
afterEach(() => {
  vi.useRealTimers();
});

const advance = (ms: number): void => void vi.setSystemTime(Date.now() + ms);

/** Refreshes after each pause. Another replica may still serve a certificate of the previous authority. */
async function rotateOver(pauses: readonly number[]): Promise<void> {
  vi.setSystemTime(Date.UTC(2026, 0, 1));
  store = new FakeCluster();
  const one = replica();
  for (const pause of pauses) {
    const [before = ''] = store.trust.bundles;
    const pair = await one.refresh();
    expect(store.trusts(pair.certificate)).toBe(true);
    expect(expiryOf(pair)).toBeGreaterThan(Date.now());
    if (before !== store.trust.bundles[0] && before !== '') {
      const ca = before.match(/-----BEGIN[^-]+-----[^-]+-----END[^-]+-----/)?.[0] ?? '';
      const { publicKey } = new X509Certificate(ca);
      expect(new X509Certificate(pair.certificate).verify(publicKey)).toBe(true);
    }
    advance(pause);
  }
}

describe('self-managed certificates', () => {
  it('are created once and shared', async () => {
    const [a, b] = [await replica().refresh(), await replica().refresh()];
    expect(b).toEqual(a);
    expect(store.writes).toBe(1);
    const certificate = new X509Certificate(a.certificate);
    expect(certificate.checkHost('hook.system.svc')).toBe('hook.system.svc');
    expect(certificate.ca).toBe(false);
    expect(store.trusts(a.certificate)).toBe(true);
  });

  it('are the same for two replicas that start at once', async () => {
    const [one, two] = [replica(), replica()];
    let other: unknown;
    store.beforeWrite = async () => {
      other = await two.refresh();
    };
    expect(await one.refresh()).toEqual(other);
    expect(store.writes).toBe(1);
  });

  it('are renewed when a third of their lifetime is left, and not before', async () => {
    const first = await replica().refresh();
    advance(19 * HOUR);
    expect(await replica().refresh()).toEqual(first);
    advance(2 * HOUR);
    const second = await replica().refresh();
    expect(second).not.toEqual(first);
    expect(store.trusts(second.certificate)).toBe(true);
  });

  it('are never served before their new authority is trusted', async () => {
    const pause = fc.integer({ min: 40_000, max: 4 * HOUR });
    const pauses = fc.array(pause, { minLength: 150, maxLength: 150 });
    await fc.assert(fc.asyncProperty(pauses, rotateOver), { numRuns: 8 });
  });

  it('are renewed after their authority if both are due at once', async () => {
    for (let hours = 0; hours < 190; hours += 19) {
      await replica().refresh();
      advance(19 * HOUR);
    }
    const before = (await replica().refresh()).certificate;
    advance(19 * HOUR);
    const [bundle = ''] = store.trust.bundles;
    advance(2 * HOUR);
    expect((await replica().refresh()).certificate).toBe(before);
    expect(store.trust.bundles[0]).not.toBe(bundle);
    advance(2 * POLICY.trustDelayMs);
    const renewed = (await replica().refresh()).certificate;
    expect(renewed).not.toBe(before);
    expect(store.trusts(renewed)).toBe(true);
  });

  it('drop an authority once it has expired', async () => {
    const one = replica();
    for (let hours = 0; hours < 700; hours += 5) {
      await one.refresh();
      advance(5 * HOUR);
    }
    const count = store.secret?.data['ca.crt']?.match(/BEGIN/g)?.length ?? 0;
    expect(count).toBeLessThanOrEqual(2);
  });

  it('are created again if the Secret is broken, foreign, or gone', async () => {
    const first = await replica().refresh();
    const data = store.secret?.data ?? {};
    for (const broken of [
      {},
      { ...data, 'ca.key': 'x' },
      { ...data, 'tls.key': data['ca.key'] ?? '' },
      { ...data, 'tls.crt': 'x' },
    ]) {
      store.secret = { version: '7', data: broken };
      const pair = await replica().refresh();
      expect(expiryOf(pair)).toBeGreaterThan(Date.now());
      expect(store.trusts(pair.certificate)).toBe(true);
    }
    store.secret = undefined;
    const last = await replica().refresh();
    expect(last).not.toEqual(first);
    expect(store.trusts(last.certificate)).toBe(true);
  });

  it('do not remove trust in an authority that another replica has just added', async () => {
    await replica().refresh();
    const old = store.secret;
    advance(201 * HOUR);
    await replica().refresh();
    advance(2 * 60_000);
    const newer = await replica().refresh();
    store.readSecret = () => Promise.resolve(old);
    vi.setSystemTime(Date.UTC(2026, 0, 1));
    await replica().refresh();
    vi.setSystemTime(Date.UTC(2026, 0, 1) + 201 * HOUR + 2 * 60_000);
    expect(store.trusts(newer.certificate)).toBe(true);
  });
});
