import { beforeAll, describe, expect, it } from 'vitest';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Ledger, Subject } from './fixture.ts';
import { carriesReceipt, type SharedStage, type Stage } from './stage.ts';

/** The freeze as a lease, over the real sidecar. */
export function describeLease<L extends Ledger>(subject: Subject<L>, shared: SharedStage<L>): void {
  describe('a freeze', () => {
    let stage: Stage<L>;
    beforeAll(async () => {
      stage = await shared.get();
      await stage.begin();
    });

    it('holds what its receipt says, and a thaw releases it with the proof that it held', async () => {
      const receipt = await stage.held({ id: 'first' });
      expect(receipt).toMatchObject({
        id: 'first',
        engine: { name: subject.engine },
        copy: 'snapshot',
        verdict: 'held',
        writesBlocked: subject.blocksWrites,
        evidence: { onVolume: true },
      });
      for (const known of [receipt.mode, receipt.engine.version, receipt.engine.role]) {
        expect(known).toBeTruthy();
      }
      expect(Object.keys(receipt.engine.identity)).not.toEqual([]);
      expect(Object.keys(receipt.position ?? {})).not.toEqual([]);
      await stage.expectWrites(receipt.writesBlocked);
      const final = await stage.consistent('first');
      expect(final.thawedAt).not.toBeNull();
      await stage.expectNothingHeld();
    });

    it('that is repeated with its id renews the lease, in the server too', async () => {
      await stage.held({ id: 'renewed', ttl: '3s' });
      await sleep(1_500);
      const again = await stage.held({ id: 'renewed', ttl: '20s' });
      expect(again.verdict).toBe('held');
      await sleep(2_000);
      expect(await stage.state()).toBe('frozen');
      await stage.expectWrites(subject.blocksWrites);
      await stage.consistent('renewed');
      await stage.expectNothingHeld();
    });

    it('is refused while another is held, and says whose, and how to end it', async () => {
      await stage.held({ id: 'mine' });
      for (const body of [{ id: 'other' }, {}]) {
        const refused = await stage.freeze(body);
        expect(refused).toMatchObject({ status: 409, body: { error: { code: 'FREEZE_HELD' } } });
        expect(JSON.stringify(refused.body.error)).toContain('mine');
      }
      expect(await stage.sidecar.cli('freeze', '--id', 'other')).toMatchObject({ code: 4 });
      expect(await stage.thaw('other')).toMatchObject({
        status: 409,
        body: { error: { code: 'NOT_FROZEN' } },
      });
      expect(await stage.state()).toBe('frozen');
      await stage.consistent('mine');
    });

    it('that is not thawed ends by itself with its lease, and its thaw fails', async () => {
      await stage.held({ id: 'late', ttl: '2s' });
      await stage.expectThawed();
      await stage.expectNothingHeld();
      await stage.inconsistent(/lease-expired/, 'late');
      const again = await stage.sidecar.cli('thaw', '--id', 'late');
      expect(again).toMatchObject({ code: 7, stderr: expect.stringContaining('NOT_CONSISTENT') });
      expect(again.stdout).toContain('lease-expired');
      expect(await stage.sidecar.metrics()).toMatch(/stateful_backup_auto_thaw_total\{[^}]*\} 1/);
    });

    it('that ended by itself leaves a late thaw, which is given no success of the next one', async () => {
      await stage.held({ id: 'overdue', ttl: '5s' });
      await stage.expectThawed();
      await stage.held({ id: 'next' });
      const final = await stage.inconsistent(/thaw-ambiguous/);
      expect(final.id).toBe('next');
      await stage.expectNothingHeld();
      expect(await stage.sidecar.cli('thaw')).toMatchObject({
        code: 7,
        stdout: expect.stringContaining('thaw-ambiguous'),
        stderr: expect.stringContaining('quiesce thaw --id next'),
      });
      // Both of the thaws that could come have come.
      await stage.held({ id: 'proven' });
      await stage.consistent();
    });

    it('leaves its receipt in copies cut while it is held, and in no others', async () => {
      const before = await stage.world.volume.snapshot('before');
      await stage.held({ id: 'cut' });
      const inside = await stage.world.volume.snapshot('inside');
      await stage.consistent('cut');
      const after = await stage.world.volume.snapshot('after');
      expect([before, inside, after].map(({ path }) => carriesReceipt(path))).toEqual([
        false,
        true,
        false,
      ]);
      expect(await stage.onVolume()).toEqual([]);
    });
  });
}
