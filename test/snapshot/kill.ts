import { expect } from 'vitest';
import { RUN_LABELS } from '../../src/cluster/run/names.ts';
import { Random } from '../faults/random.ts';
import { heldBy, labels, type Shop, snapshot, start } from './shop.ts';

const TTL_MS = 3_000;
const LEASE = '/apis/coordination.k8s.io/v1/namespaces/shop/leases/quiesce-shop-lease';

interface Kills {
  readonly runs: number;
  readonly seed: number;
  /** Every so many kills the next run waits until the dead one's Lease is over; 0: never. */
  readonly outwaitEvery: number;
}

/**
 * Kills the built command at steps that the seed chooses, and judges from outside. A step is a request to
 * the API server or a stream into a pod: the signal comes before it is answered, or a little later.
 *
 * @returns how many kills were judged
 */
export async function killAtEveryStep(
  shop: Shop,
  { runs, seed, outwaitEvery }: Kills,
): Promise<number> {
  const random = new Random(seed, 0);
  const steps = await countSteps(shop);
  for (let run = 1; run <= runs; run += 1) {
    // Each step in turn, so that a long play reaches all; the seed chooses where it begins.
    const step = 1 + ((run * 7 + seed) % steps);
    const laterMs = random.chance(0.5) ? 0 : random.between(1, 30);
    await killAt(shop, step, laterMs);
    const told = `seed ${seed}, run ${run}: killed at step ${step} of ${steps}, ${laterMs} ms later`;
    await judge(shop, told);
    const outwait = outwaitEvery > 0 && run % outwaitEvery === 0;
    await next(shop, told, outwait);
  }
  return runs;
}

async function countSteps({ api }: Shop): Promise<number> {
  let count = 0;
  api.watch = () => void (count += 1);
  const { code } = await snapshot(api);
  expect(code).toBe(0);
  api.watch = undefined;
  return count;
}

async function killAt({ api }: Shop, step: number, laterMs: number): Promise<void> {
  const { child, ended } = start(api, ['--ttl', `${TTL_MS}ms`]);
  let count = 0;
  api.watch = () => {
    count += 1;
    if (count !== step) return;
    if (laterMs === 0) child.kill('SIGKILL');
    else setTimeout(() => child.kill('SIGKILL'), laterMs);
  };
  await ended;
  api.watch = undefined;
}

async function judge(shop: Shop, told: string): Promise<void> {
  await expect.poll(() => heldBy(shop), { timeout: TTL_MS + 2_000, message: told }).toEqual([0, 0]);
  for (const { metadata } of shop.api.cluster.all('volumesnapshots')) {
    if (metadata?.labels?.[RUN_LABELS.verdict] !== 'proven') continue;
    const run = metadata.labels[RUN_LABELS.run] ?? '';
    if (known.has(run)) continue;
    for (const { coordinator } of [shop.db, shop.cache]) {
      const receipt = coordinator.receipts().find(({ id }) => id === run);
      expect(receipt?.verdict, told).toBe('consistent');
    }
    known.add(run);
  }
}

/** Runs that were found to be proven rightly: a sidecar keeps only its last receipts. */
const known = new Set<string>();

async function next(shop: Shop, told: string, outwait: boolean): Promise<void> {
  const { cluster } = shop.api;
  const left = labels(shop).filter((one) => one === 'pending').length;
  // The dead run's Lease is over in 15 s; mostly it is cut short, as if that time had gone by.
  if (!outwait && cluster.read(LEASE) !== undefined) {
    cluster.change(LEASE, { spec: { holderIdentity: null } });
  }
  const { code, run } = await snapshot(shop.api);
  expect([code, run.verdict], `${told}: ${JSON.stringify(run.problems)}`).toEqual([0, 'proven']);
  expect(labels(shop), told).not.toContain('pending');
  if (left > 0)
    expect(
      run.problems.map(({ code: one }) => one),
      told,
    ).toContain('RUN_INTERRUPTED');
  await judge(shop, told);
}
