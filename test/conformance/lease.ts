import { beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Ledger, type Subject } from './fixture.ts';
import { receiptSchema } from '../../src/receipt/receipt.ts';
import { carriesReceipt, type SharedRig, type Rig } from './rig.ts';

/** The lease of a freeze, through the real sidecar. */
export function describeLease<L extends Ledger>(subject: Subject<L>, shared: SharedRig<L>): void {
  describe('a freeze', () => {
    let rig: Rig<L>;
    beforeAll(async () => {
      rig = await shared.get();
    });
    // Thaws that one test leaves outstanding must not affect the next.
    beforeEach(async () => {
      await rig.begin();
    });

    it('holds what its receipt says, and the thaw releases it and proves that it held', async () => {
      const receipt = await rig.held({ id: 'first' });
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
      await rig.expectWrites(receipt.writesBlocked);
      await rig.expectSeenInServer();
      expect(rig.marks()).toHaveLength(rig.world.marked.length);
      const final = await rig.consistent('first');
      expect(final.thawedAt).not.toBeNull();
      await rig.expectNothingHeld('proof');
    });

    it('that is renewed by its id has a new lease, in the server too', async () => {
      const first = await rig.held({ id: 'renewed', ttl: '3s' });
      await sleep(1_500);
      const again = await rig.held({ id: 'renewed', ttl: '20s', renew: true });
      expect(again).toMatchObject({ verdict: 'held', frozenAt: first.frozenAt });
      await sleep(2_000);
      expect(await rig.state()).toBe('frozen');
      await rig.expectWrites(subject.blocksWrites);
      const cli = await rig.sidecar.cli('freeze', '--renew', '--id', 'renewed', '--ttl', '25s');
      expect(cli, cli.stderr).toMatchObject({ code: 0 });
      await rig.consistent('renewed');
      await rig.expectNothingHeld('proof');
      // Without a hold a renewal fails, and nothing is frozen instead.
      expect(await rig.freeze({ id: 'renewed', renew: true })).toMatchObject({
        status: 409,
        body: { error: { code: 'NOT_FROZEN' } },
      });
      await rig.expectNothingHeld('proof');
    });

    it('is refused while another is held, and the error says which one and how to end it', async () => {
      await rig.held({ id: 'mine' });
      for (const body of [{ id: 'other' }, {}]) {
        const refused = await rig.freeze(body);
        expect(refused).toMatchObject({ status: 409, body: { error: { code: 'FREEZE_HELD' } } });
        expect(JSON.stringify(refused.body.error)).toContain('mine');
      }
      expect(await rig.sidecar.cli('freeze', '--id', 'other')).toMatchObject({ code: 4 });
      expect(await rig.thaw('other')).toMatchObject({
        status: 409,
        body: { error: { code: 'NOT_FROZEN' } },
      });
      expect(await rig.state()).toBe('frozen');
      await rig.consistent('mine');
    });

    it.each([
      ['that bears its id', { id: 'nightly' }, 'nightly'],
      ['without an id', {}, undefined],
    ])('is refused while one %s is held, and neither thaw proves anything', async (_, body, id) => {
      const { id: held } = await rig.held(body);
      const refused = await rig.freeze(body);
      expect(refused).toMatchObject({ status: 409, body: { error: { code: 'FREEZE_HELD' } } });
      // This thaw may belong to either freeze: it releases all the same.
      const final = await rig.inconsistent(/thaw-ambiguous/, id);
      expect(final.id).toBe(held);
      await rig.expectNothingHeld();
      await rig.inconsistent(/thaw-ambiguous/, id);
      // Both have thawed, so the next one is proven.
      await rig.held({ id: 'after' });
      await rig.consistent();
    });

    it('that waits is held only once the one before it has ended', async () => {
      await rig.held({ id: 'first' });
      const late = await rig.sidecar.cli('freeze', '--id', 'late', '--wait', '--timeout', '1s');
      expect(late, late.stderr).toMatchObject({ code: 4 });
      expect(late.stderr).toContain('FREEZE_HELD');
      for (const [before, id] of [
        ['first', 'second'],
        // Several backups may have the same id.
        ['second', 'second'],
      ] as const) {
        const from = rig.sidecar.output.length;
        const waiting = rig.sidecar.cli('freeze', '--id', id, '--wait', '-o', 'json');
        await expect.poll(() => rig.sidecar.output.slice(from)).toContain('freeze waits');
        await sleep(500);
        await rig.consistent(before);
        const frozen = await waiting;
        expect(frozen, frozen.stderr).toMatchObject({ code: 0 });
        const receipt = receiptSchema.parse(JSON.parse(frozen.stdout));
        expect(receipt).toMatchObject({ id, verdict: 'held' });
        await rig.expectWrites(subject.blocksWrites);
      }
      await rig.consistent('second');
      await rig.expectNothingHeld('proof');
    });

    it('that is abandoned is released without a success, and its own thaw says so', async () => {
      await rig.held({ id: 'given-up' });
      const other = await rig.sidecar.cli('thaw', '--abandon', '--id', 'another', '-o', 'json');
      expect(other, other.stderr).toMatchObject({ code: 0 });
      expect(JSON.parse(other.stdout)).toEqual({ released: false });
      expect(await rig.state()).toBe('frozen');
      const freed = await rig.sidecar.cli('thaw', '--abandon', '-o', 'json');
      expect(freed, freed.stderr).toMatchObject({ code: 0 });
      expect(JSON.parse(freed.stdout)).toMatchObject({
        released: true,
        id: 'given-up',
        verdict: 'inconsistent',
        reasons: expect.arrayContaining(['abandoned']),
      });
      await rig.expectNothingHeld();
      await rig.inconsistent(/abandoned/, 'given-up');
      const again = await rig.sidecar.api('POST', '/v1/thaw', { abandon: true });
      expect(again).toMatchObject({ status: 200, body: { released: false } });
    });

    it('that is not thawed ends with its lease, and its thaw fails', async () => {
      await rig.held({ id: 'late', ttl: '2s' });
      await rig.expectThawed();
      await rig.expectNothingHeld();
      await rig.inconsistent(/lease-expired/, 'late');
      const again = await rig.sidecar.cli('thaw', '--id', 'late');
      expect(again).toMatchObject({ code: 7, stderr: expect.stringContaining('NOT_CONSISTENT') });
      expect(again.stdout).toContain('lease-expired');
      expect(await rig.sidecar.metrics()).toMatch(/stateful_backup_auto_thaw_total\{[^}]*\} 1/);
    });

    it('that expired leaves a late thaw, which never gets the success of the next freeze', async () => {
      // The thaw below must come within as long again, after a freeze that may copy files.
      await rig.held({ id: 'overdue', ttl: subject.copy === 'files' ? '15s' : '5s' });
      await rig.expectThawed(30_000);
      await rig.held({ id: 'next' });
      const final = await rig.inconsistent(/thaw-ambiguous/);
      expect(final.id).toBe('next');
      await rig.expectNothingHeld();
      expect(await rig.sidecar.cli('thaw')).toMatchObject({
        code: 7,
        stdout: expect.stringContaining('thaw-ambiguous'),
        stderr: expect.stringContaining('quiesce freeze --wait'),
      });
      // Both outstanding thaws have arrived.
      await rig.held({ id: 'proven' });
      await rig.consistent();
    });

    it('leaves its receipt in copies cut while it is held, and in no others', async () => {
      const before = await rig.world.volume.snapshot('before');
      await rig.held({ id: 'cut' });
      const inside = await rig.world.volume.snapshot('inside');
      await rig.consistent('cut');
      const after = await rig.world.volume.snapshot('after');
      expect([before, inside, after].map(({ path }) => carriesReceipt(path))).toEqual([
        false,
        true,
        false,
      ]);
      expect(await rig.onVolume()).toEqual([]);
    });
  });
}
