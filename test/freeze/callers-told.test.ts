import { readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { QuiesceError } from '../../src/errors.ts';
import { by, CoordinatorRig, failure, receiptOf } from '../support/coordinator-rig.ts';
import { abortable } from '../support/scripted-engine.ts';

let rig: CoordinatorRig;
beforeEach(async () => {
  rig = await CoordinatorRig.make();
});
afterEach(() => rig.remove());

describe('a freeze that waits for its turn', () => {
  it('starts when the freeze before it has ended: first come, first served', async () => {
    const c = rig.coordinator();
    await c.freeze({ id: 'a', by });
    const order: string[] = [];
    const waiting = ['b', 'c'].map(async (id) => {
      await c.freeze({ id, by, wait: true });
      order.push(id);
      expect((await c.thaw({ id, by })).verdict).toBe('consistent');
    });
    await sleep(30);
    expect(c.lease()?.id).toBe('a');
    expect((await c.thaw({ by })).verdict).toBe('consistent');
    await Promise.all(waiting);
    expect(order).toEqual(['b', 'c']);
  });

  it('may have the id of the open freeze: both succeed, one after the other', async () => {
    const c = rig.coordinator();
    await c.freeze({ id: 'nightly', by });
    const second = c.freeze({ id: 'nightly', by, wait: true });
    expect((await c.thaw({ id: 'nightly', by })).verdict).toBe('consistent');
    await second;
    expect((await c.thaw({ id: 'nightly', by })).verdict).toBe('consistent');
  });

  it('is refused after its timeout, and its thaw is then still expected', async () => {
    const c = rig.coordinator();
    await c.freeze({ id: 'a', by });
    const refused = await failure(c.freeze({ by, wait: true, timeoutMs: 60 }));
    expect(refused).toMatchObject({ code: 'FREEZE_HELD', exit: 4 });
    expect(refused.message).toContain('Waited');
    expect(receiptOf(await failure(c.thaw({ by }))).reasons).toEqual(['thaw-ambiguous']);
  });

  it('has only the rest of its timeout left for the hold', async () => {
    const c = rig.coordinator();
    await c.freeze({ id: 'a', by });
    rig.engine.onHold = (signal) => abortable(60_000, signal);
    const late = failure(c.freeze({ id: 'b', by, wait: true, timeoutMs: 2_000 }));
    await sleep(500);
    await c.thaw({ by });
    const began = performance.now();
    expect(await late).toMatchObject({ code: 'FREEZE_TIMEOUT' });
    expect(performance.now() - began).toBeLessThan(1_950);
  });

  it('leaves the queue when its caller goes away, and the next one gets its turn', async () => {
    const c = rig.coordinator();
    await c.freeze({ id: 'a', by });
    const gone = new AbortController();
    const first = failure(c.freeze({ id: 'b', by, wait: true, gone: gone.signal }));
    const second = c.freeze({ id: 'c', by, wait: true });
    gone.abort();
    expect(await first).toMatchObject({ code: 'FREEZE_ABORTED' });
    await c.thaw({ id: 'a', by });
    expect((await second).id).toBe('c');
    await c.thaw({ id: 'c', by });
  });

  it('freezes immediately where nothing is held, and fails when the sidecar stops', async () => {
    const c = rig.coordinator();
    expect((await c.freeze({ id: 'a', by, wait: true })).verdict).toBe('held');
    const waiting = failure(c.freeze({ id: 'b', by, wait: true }));
    await sleep(10);
    await c.shutdown();
    expect(await waiting).toMatchObject({ code: 'SHUTTING_DOWN' });
  });
});

describe('a thaw with the id of a waiting freeze', () => {
  it.each(['thaw', 'abandon'] as const)('(%s) ends the wait without a freeze', async (how) => {
    const c = rig.coordinator();
    await c.freeze({ id: 'a', by });
    const waiting = failure(c.freeze({ id: 'b', by, wait: true }));
    await sleep(10);
    if (how === 'abandon')
      expect(await c.abandon({ id: 'b', by })).toMatchObject({ released: false });
    else expect(await failure(c.thaw({ id: 'b', by }))).toMatchObject({ code: 'NOT_FROZEN' });
    expect(await waiting).toMatchObject({ code: 'FREEZE_ABORTED' });
    expect((await c.thaw({ id: 'a', by })).verdict).toBe('consistent');
    expect(c.phase).toBe('thawed');
  });
});

describe('a caller that abandons', () => {
  it('releases the open freeze, and the thaw of that freeze reports it', async () => {
    const c = rig.coordinator();
    for (const id of [{}, { id: 'a' }]) {
      await c.freeze({ id: 'a', by });
      const { released, receipt } = await c.abandon({ ...id, by: 'on-call' });
      expect(released).toBe(true);
      expect(receipt).toMatchObject({
        verdict: 'inconsistent',
        reasons: ['abandoned'],
        thawedBy: 'on-call',
      });
      expect(rig.engine.held).toBe(0);
      expect(receiptOf(await failure(c.thaw({ id: 'a', by })))).toEqual(receipt);
    }
  });

  it('releases nothing by another id, and nothing where nothing is held', async () => {
    const c = rig.coordinator();
    expect(await c.abandon({ by })).toEqual({ released: false, receipt: null });
    await c.freeze({ id: 'a', by });
    expect(await c.abandon({ id: 'b', by })).toEqual({ released: false, receipt: null });
    expect(c.phase).toBe('frozen');
    expect((await c.thaw({ by })).verdict).toBe('consistent');
    expect(await c.abandon({ id: 'a', by })).toEqual({ released: false, receipt: null });
  });

  it('leaves the thaw of the abandoned freeze still expected', async () => {
    const c = rig.coordinator();
    await c.freeze({ by });
    await c.abandon({ by });
    await c.freeze({ by });
    expect(receiptOf(await failure(c.thaw({ by }))).reasons).toEqual(['thaw-ambiguous']);
  });

  it('ends a freeze in the making, whose caller gets an error', async () => {
    const c = rig.coordinator();
    rig.engine.onPrepare = (signal) => abortable(60_000, signal);
    const freezing = failure(c.freeze({ id: 'a', by }));
    await expect.poll(() => rig.engine.calls).toContain('prepare');
    expect(await c.abandon({ by })).toMatchObject({ released: true });
    const aborted = await freezing;
    expect(aborted).toMatchObject({ code: 'FREEZE_ABORTED' });
    expect(aborted.message).toContain('abandoned');
  });
});

describe('the expected thaws', () => {
  it.each(['kill', 'stop'])('of refused freezes are still expected after a %s', async (how) => {
    const before = rig.coordinator();
    await before.freeze({ id: 'a', by });
    await failure(before.freeze({ by }));
    if (how === 'stop') await before.shutdown();
    const next = await rig.next();
    expect(receiptOf(await failure(next.thaw({ id: 'a', by }))).reasons).toEqual([
      how === 'stop' ? 'sidecar-stopped' : 'interrupted',
    ]);
    await next.freeze({ id: 'b', by });
    expect(receiptOf(await failure(next.thaw({ by }))).reasons).toEqual(['thaw-ambiguous']);
  });

  it.each(['', '{"kept":', '[{}]'])(
    'include one by any caller where their record cannot be read: %j',
    async (text) => {
      const before = rig.coordinator();
      await before.freeze({ by });
      rig.engine.lose();
      await expect.poll(() => before.phase).toBe('thawed');
      await writeFile(join(rig.root, 'state/receipts.json'), text);
      const next = await rig.next();
      await next.freeze({ id: 'b', by });
      expect(receiptOf(await failure(next.thaw({ by }))).reasons).toEqual(['thaw-ambiguous']);
      expect(await readFile(join(rig.root, 'state/receipts.unreadable.json'), 'utf8')).toBe(text);
    },
  );

  it('are forgotten where the state directory is lost between two sidecars (a known limit)', async () => {
    const before = rig.coordinator();
    await before.freeze({ id: 'a', by });
    await rm(join(rig.root, 'state'), { recursive: true });
    const next = await rig.next();
    expect(await failure(next.thaw({ id: 'a', by }))).toMatchObject({ code: 'NOT_FROZEN' });
  });
});

it('a freeze of a volume that another sidecar uses is refused before it starts', async () => {
  const c = rig.coordinator({
    claimVolume: async () => {
      throw new QuiesceError('VOLUME_IN_USE', 'Another sidecar uses it.');
    },
  });
  expect(await failure(c.freeze({ id: 'a', by }))).toMatchObject({
    code: 'VOLUME_IN_USE',
    exit: 4,
  });
  expect(rig.engine.calls).toEqual([]);
  expect(c.receipts()).toEqual([]);
});
