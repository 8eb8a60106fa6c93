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

const call = (key: string, digest = 'same') => ({ key, digest });

describe('a retry of the same freeze call', () => {
  it('gets the same receipt, and there is only one hold', async () => {
    const c = rig.coordinator();
    rig.engine.onHold = (signal) => abortable(30, signal);
    const request = { id: 'a', by, call: call('k') };
    const [one, two] = await Promise.all([c.freeze(request), c.freeze(request)]);
    expect(two).toEqual(one);
    expect(await c.freeze(request)).toEqual(one);
    expect(rig.engine.calls).toEqual(['prepare', 'hold']);
    expect(await c.thaw({ id: 'a', by })).toMatchObject({ verdict: 'consistent' });
  });

  it('freezes again where its connection broke, and its first try leaves no expected thaw', async () => {
    const c = rig.coordinator();
    rig.engine.onHold = (signal) => abortable(100, signal);
    const first = new AbortController();
    const one = failure(c.freeze({ by, call: call('k'), gone: first.signal }));
    first.abort();
    const again = await c.freeze({ by, call: call('k') });
    expect(again).toMatchObject({ verdict: 'held' });
    expect(await one).toMatchObject({ code: 'FREEZE_ABORTED' });
    expect(await c.thaw({ by })).toMatchObject({ verdict: 'consistent', id: again.id });
  });

  it('gets the same failure, and freezes nothing', async () => {
    const c = rig.coordinator();
    rig.engine.onPrepare = async () => {
      throw new QuiesceError('COPY_UNSUPPORTED', 'Not for these volumes.');
    };
    const request = { by, call: call('k') };
    expect(await failure(c.freeze(request))).toMatchObject({ code: 'COPY_UNSUPPORTED' });
    rig.engine.onPrepare = async () => undefined;
    expect(await failure(c.freeze(request))).toMatchObject({ code: 'COPY_UNSUPPORTED' });
    expect(rig.engine.calls).toEqual(['prepare']);
  });

  it('gets the same refusal, and counts as one caller with one expected thaw', async () => {
    const c = rig.coordinator();
    await c.freeze({ id: 'a', by });
    const request = { by, call: call('k') };
    for (const _ of [1, 2]) {
      expect(await failure(c.freeze(request))).toMatchObject({ code: 'FREEZE_HELD' });
    }
    expect(receiptOf(await failure(c.thaw({ by }))).reasons).toEqual(['thaw-ambiguous']);
    expect(receiptOf(await failure(c.thaw({ by }))).reasons).toEqual(['thaw-ambiguous']);
    await c.freeze({ by });
    expect(await c.thaw({ by })).toMatchObject({ verdict: 'consistent' });
  });

  it('fails where the freeze has ended in the meantime', async () => {
    const c = rig.coordinator();
    const request = { id: 'a', by, call: call('k') };
    await c.freeze(request);
    await c.thaw({ by });
    const late = await failure(c.freeze(request));
    expect(late).toMatchObject({ code: 'NOT_CONSISTENT', exit: 7 });
    expect(receiptOf(late)).toMatchObject({ id: 'a', verdict: 'consistent' });
    expect(c.phase).toBe('thawed');
  });

  it('freezes again after a restart of the sidecar, and its thaw is not taken for another caller’s', async () => {
    await rig.coordinator().freeze({ by, call: call('k') });
    const next = rig.coordinator();
    await next.load();
    const again = next.freeze({ by, call: call('k') });
    await next.resume();
    expect(await again).toMatchObject({ verdict: 'held' });
    expect(await next.thaw({ by })).toMatchObject({ verdict: 'consistent' });

    await next.freeze({ by, call: call('stopped') });
    await next.shutdown();
    const last = await rig.next();
    expect(await last.freeze({ by, call: call('stopped') })).toMatchObject({ verdict: 'held' });
    expect(await last.thaw({ by })).toMatchObject({ verdict: 'consistent' });
  });
});

describe('a retry of the same thaw call', () => {
  it('gets the same success, and no other call does', async () => {
    const c = rig.coordinator();
    await c.freeze({ id: 'a', by });
    const thaw = { id: 'a', by, call: call('k') };
    const [one, two, other] = await Promise.allSettled([
      c.thaw(thaw),
      c.thaw(thaw),
      c.thaw({ id: 'a', by, call: call('other') }),
    ]);
    expect(one).toMatchObject({ value: { verdict: 'consistent' } });
    expect(two).toEqual(one);
    expect(other).toMatchObject({ reason: { code: 'ALREADY_THAWED' } });
    expect(await c.thaw(thaw)).toMatchObject({ verdict: 'consistent' });
  });

  it('gets it after a restart too, until ten more freezes have ended', async () => {
    const before = rig.coordinator();
    await before.freeze({ id: 'a', by });
    await before.thaw({ by, call: call('k') });
    const next = await rig.next();
    expect(await next.thaw({ by, call: call('k') })).toMatchObject({ verdict: 'consistent' });
    expect(await failure(next.thaw({ by, call: call('other') }))).toMatchObject({
      code: 'ALREADY_THAWED',
    });
    for (let n = 0; n < 10; n += 1) {
      await next.freeze({ id: `f${n}`, by });
      await next.thaw({ by });
    }
    const last = await rig.next();
    expect(await failure(last.thaw({ id: 'a', by, call: call('k') }))).toMatchObject({
      code: 'NOT_FROZEN',
    });
  });

  it.each([false, true])(
    'is refused while another freeze is open: the key is not unique to a call (restart: %s)',
    async (restart) => {
      let c = rig.coordinator();
      await c.freeze({ by });
      await c.thaw({ by, call: call('nightly') });
      if (restart) c = await rig.next();
      const { id } = await c.freeze({ by });
      const again = await failure(c.thaw({ by, call: call('nightly') }));
      expect(again).toMatchObject({ code: 'IDEMPOTENCY_KEY_REUSED' });
      expect(c.lease()?.id).toBe(id);
      expect(await c.thaw({ by })).toMatchObject({ id, verdict: 'consistent' });
    },
  );

  it('counts for only one of the expected thaws', async () => {
    const c = rig.coordinator();
    for (const id of ['a', 'b']) {
      await c.freeze({ id, by });
      rig.engine.lose();
      await expect.poll(() => c.phase).toBe('thawed');
    }
    const late = { by, call: call('k') };
    for (const _ of [1, 2, 3]) await failure(c.thaw(late));
    await c.freeze({ id: 'c', by });
    expect(receiptOf(await failure(c.thaw({ by }))).reasons).toEqual(['thaw-ambiguous']);
  });

  it('fails as interrupted where the sidecar died during the thaw', async () => {
    const before = rig.coordinator();
    await before.freeze({ id: 'a', by });
    rig.engine.onCheck = () => new Promise(() => undefined);
    void before.thaw({ by, call: call('k') }).catch(() => undefined);
    await sleep(50);
    const next = await rig.next();
    expect(receiptOf(await failure(next.thaw({ by, call: call('k') }))).reasons).toEqual([
      'interrupted',
    ]);
  });
});

describe('a key that comes again with another route or body', () => {
  it('is refused and changes nothing, even after a restart', async () => {
    const c = rig.coordinator();
    await c.freeze({ id: 'a', by, call: call('f') });
    const reused = { code: 'IDEMPOTENCY_KEY_REUSED', status: 422, field: 'Idempotency-Key' };
    expect(await failure(c.freeze({ by, call: call('f', 'other') }))).toMatchObject(reused);
    await c.thaw({ by, call: call('t') });
    expect(await failure(c.thaw({ by, call: call('t', 'other') }))).toMatchObject(reused);
    expect(await failure(c.thaw({ by, call: call('f', 'thaw') }))).toMatchObject(reused);

    const next = await rig.next();
    expect(await failure(next.freeze({ by, call: call('f', 'other') }))).toMatchObject(reused);
    expect(await failure(next.thaw({ by, call: call('t', 'other') }))).toMatchObject(reused);
    expect(await failure(next.freeze({ by, call: call('t', 'freeze') }))).toMatchObject(reused);
    expect(next.phase).toBe('thawed');
  });
});
