import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { ObjectApi } from '../../../src/cluster/api/objects.ts';
import { leaseName, RunLease } from '../../../src/cluster/run/lease.ts';
import type { QuiesceError } from '../../../src/errors.ts';
import { SimulatedApi } from '../../support/simulated-api.ts';
import { connect } from '../../../src/cluster/api/reader.ts';

const TIMES = { durationMs: 1_000, renewEveryMs: 200, lookEveryMs: 50 };
const PLACE = { namespace: 'shop', group: 'shop' };
const PATH = `/apis/coordination.k8s.io/v1/namespaces/shop/leases/${leaseName('shop')}`;
const never = new AbortController().signal;

async function withApi(work: (api: SimulatedApi, snapshots: ObjectApi) => Promise<void>) {
  const api = await new SimulatedApi().start();
  try {
    await work(api, new ObjectApi(connect({ kubeconfig: api.kubeconfig })));
  } finally {
    await api.stop();
  }
}

const take = (api: ObjectApi, holder: string): Promise<RunLease> =>
  RunLease.take(api, PLACE, holder, never, TIMES);

describe('the Lease of an application', () => {
  it('is taken by one of two runs, and by the next as soon as it is released', async () => {
    await withApi(async (_api, snapshots) => {
      const first = await take(snapshots, 'one');
      const refused = await take(snapshots, 'two').catch((error: unknown) => error);
      expect((refused as QuiesceError).code).toBe('RUN_UNDER_WAY');
      expect((refused as QuiesceError).message).toContain('one');
      await first.confirm();
      await first.release();
      const begun = performance.now();
      const second = await take(snapshots, 'two');
      expect(performance.now() - begun).toBeLessThan(TIMES.durationMs);
      expect(second.previous).toBeUndefined();
      await second.release();
    });
  });

  it('is judged by what changes, not by times: a holder with a clock of another day is alive', async () => {
    await withApi(async (api, snapshots) => {
      const first = await take(snapshots, 'one');
      const shift = setInterval(() => {
        api.cluster.change(PATH, { spec: { renewTime: '1999-01-01T00:00:00.000000Z' } });
      }, 20);
      const refused = await take(snapshots, 'two').catch((error: unknown) => error);
      clearInterval(shift);
      expect((refused as QuiesceError).code).toBe('RUN_UNDER_WAY');
      await first.release();
    });
  });

  it('of a dead run, whose times lie in the future, is taken over after one duration', async () => {
    await withApi(async (api, snapshots) => {
      const spec = {
        holderIdentity: 'dead',
        leaseDurationSeconds: 1,
        renewTime: '2999-01-01T00:00:00.000000Z',
      };
      api.cluster.put(PATH, {
        metadata: { namespace: 'shop', resourceVersion: '1' } as object,
        spec,
      });
      const begun = performance.now();
      const lease = await take(snapshots, 'two');
      expect(performance.now() - begun).toBeGreaterThanOrEqual(TIMES.durationMs - 10);
      expect(lease.previous).toBe('dead');
      await lease.release();
    });
  });

  it('is lost when another run has it, and when it cannot be renewed in time', async () => {
    await withApi(async (api, snapshots) => {
      const first = await take(snapshots, 'one');
      api.cluster.change(PATH, {
        metadata: { resourceVersion: 'x' },
        spec: { holderIdentity: 'two' },
      });
      await expect.poll(() => first.lost.aborted).toBe(true);
      expect(await first.confirm().catch((error: QuiesceError) => error.code)).toBe(
        'RUN_LEASE_LOST',
      );
      await first.release();
      expect(api.cluster.read(PATH)?.['spec']).toMatchObject({ holderIdentity: 'two' });
      api.cluster.change(PATH, { spec: { holderIdentity: null } });
      const third = await take(snapshots, 'three');
      api.broken = (method) => method === 'PATCH';
      await sleep(TIMES.durationMs / 2);
      expect(third.lost.aborted).toBe(false);
      await expect.poll(() => third.lost.aborted).toBe(true);
      await third.release();
    });
  });

  it('is still its own after somebody has labelled the object', async () => {
    await withApi(async (api, snapshots) => {
      const first = await take(snapshots, 'one');
      api.cluster.change(PATH, { metadata: { resourceVersion: 'labelled', labels: { a: 'b' } } });
      await first.confirm();
      expect(first.lost.aborted).toBe(false);
      await first.release();
    });
  });
});
