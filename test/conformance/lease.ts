import { beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Ledger, type Subject } from './fixture.ts';
import { receiptSchema } from '../../src/receipt/receipt.ts';
import { carriesReceipt, type SharedStage, type Stage } from './stage.ts';

/** The freeze as a lease, over the real sidecar. */
export function describeLease<L extends Ledger>(subject: Subject<L>, shared: SharedStage<L>): void {
  describe('a freeze', () => {
    let stage: Stage<L>;
    beforeAll(async () => {
      stage = await shared.get();
    });
    // Thaws that one promise leaves to come are no matter of the next.
    beforeEach(async () => {
      await stage.begin();
    });

    it('holds what its receipt says, and a thaw releases it with the proof that it held', async () => {
      const receipt = await stage.held({ id: 'first' });
      expect(receipt).toMatchObject({
        id: 'first',
        engine: { name: subject.engine },
        mode: subject.mode,
        copy: subject.copy,
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
      await stage.expectSeenInServer();
      expect(stage.marks()).toHaveLength(stage.world.marked.length);
      const final = await stage.consistent('first');
      expect(final.thawedAt).not.toBeNull();
      await stage.expectNothingHeld('proof');
    });

    it('that is renewed by its id has a lease anew, in the server too', async () => {
      const first = await stage.held({ id: 'renewed', ttl: '3s' });
      await sleep(1_500);
      const again = await stage.held({ id: 'renewed', ttl: '20s', renew: true });
      expect(again).toMatchObject({ verdict: 'held', frozenAt: first.frozenAt });
      await sleep(2_000);
      expect(await stage.state()).toBe('frozen');
      await stage.expectWrites(subject.blocksWrites);
      const cli = await stage.sidecar.cli('freeze', '--renew', '--id', 'renewed', '--ttl', '25s');
      expect(cli, cli.stderr).toMatchObject({ code: 0 });
      await stage.consistent('renewed');
      await stage.expectNothingHeld('proof');
      // What is not held is not renewed, and nothing is frozen instead.
      expect(await stage.freeze({ id: 'renewed', renew: true })).toMatchObject({
        status: 409,
        body: { error: { code: 'NOT_FROZEN' } },
      });
      await stage.expectNothingHeld('proof');
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

    it.each([
      ['that bears its id', { id: 'nightly' }, 'nightly'],
      ['without an id', {}, undefined],
    ])('is refused while one %s is held, and neither thaw proves anything', async (_, body, id) => {
      const { id: held } = await stage.held(body);
      const refused = await stage.freeze(body);
      expect(refused).toMatchObject({ status: 409, body: { error: { code: 'FREEZE_HELD' } } });
      // Whose it is nobody can tell: it releases all the same.
      const final = await stage.inconsistent(/thaw-ambiguous/, id);
      expect(final.id).toBe(held);
      await stage.expectNothingHeld();
      await stage.inconsistent(/thaw-ambiguous/, id);
      // Both have thawed: the next one is proven.
      await stage.held({ id: 'after' });
      await stage.consistent();
    });

    it('that waits is held once the one before it has ended, and no sooner', async () => {
      await stage.held({ id: 'first' });
      const late = await stage.sidecar.cli('freeze', '--id', 'late', '--wait', '--timeout', '1s');
      expect(late, late.stderr).toMatchObject({ code: 4 });
      expect(late.stderr).toContain('FREEZE_HELD');
      for (const [before, id] of [
        ['first', 'second'],
        // Several backups may bear one id.
        ['second', 'second'],
      ] as const) {
        const from = stage.sidecar.output.length;
        const waiting = stage.sidecar.cli('freeze', '--id', id, '--wait', '-o', 'json');
        await expect.poll(() => stage.sidecar.output.slice(from)).toContain('freeze waits');
        await sleep(500);
        await stage.consistent(before);
        const frozen = await waiting;
        expect(frozen, frozen.stderr).toMatchObject({ code: 0 });
        const receipt = receiptSchema.parse(JSON.parse(frozen.stdout));
        expect(receipt).toMatchObject({ id, verdict: 'held' });
        await stage.expectWrites(subject.blocksWrites);
      }
      await stage.consistent('second');
      await stage.expectNothingHeld('proof');
    });

    it('that is abandoned is released without a success, and its own thaw is told so', async () => {
      await stage.held({ id: 'given-up' });
      const other = await stage.sidecar.cli('thaw', '--abandon', '--id', 'another', '-o', 'json');
      expect(other, other.stderr).toMatchObject({ code: 0 });
      expect(JSON.parse(other.stdout)).toEqual({ released: false });
      expect(await stage.state()).toBe('frozen');
      const freed = await stage.sidecar.cli('thaw', '--abandon', '-o', 'json');
      expect(freed, freed.stderr).toMatchObject({ code: 0 });
      expect(JSON.parse(freed.stdout)).toMatchObject({
        released: true,
        id: 'given-up',
        verdict: 'inconsistent',
        reasons: expect.arrayContaining(['abandoned']),
      });
      await stage.expectNothingHeld();
      await stage.inconsistent(/abandoned/, 'given-up');
      const again = await stage.sidecar.api('POST', '/v1/thaw', { abandon: true });
      expect(again).toMatchObject({ status: 200, body: { released: false } });
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
        stderr: expect.stringContaining('quiesce freeze --wait'),
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
