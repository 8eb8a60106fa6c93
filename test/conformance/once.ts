import { beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { setTimeout as sleep } from 'node:timers/promises';
import { receiptSchema } from '../../src/receipt/receipt.ts';
import type { Ledger } from './fixture.ts';
import type { SharedRig, Rig } from './rig.ts';

/** Delays between the request of a thaw and the fault before its answer. */
const INTO_THE_THAW_MS = [0, 3, 8, 20, 50, 120, 300];

/** A success is reported only once, even if a process dies in between. */
export function describeOnce<L extends Ledger>(shared: SharedRig<L>): void {
  describe('a success', () => {
    let rig: Rig<L>;
    beforeAll(async () => {
      rig = await shared.get();
    });
    beforeEach(async () => {
      await rig.begin();
    });

    it.each([
      ['by its id', 'once'],
      ['without an id', undefined],
    ])('is reported once to thaws %s, even after a kill -9', async (_, id) => {
      await rig.held({ id: 'once' });
      const first = await rig.consistent(id);
      expect(await rig.alreadyThawed('once', id)).toEqual(first);
      await rig.sidecar.signal('SIGKILL');
      await rig.sidecar.start();
      expect(await rig.alreadyThawed('once', id)).toEqual(first);
      const given = id === undefined ? [] : ['--id', id];
      const cli = await rig.sidecar.cli('thaw', ...given);
      expect(cli).toMatchObject({ code: 7, stderr: expect.stringContaining('ALREADY_THAWED') });
      expect(cli.stderr).toContain(first.thawedAt);
      expect(cli.stderr).toContain(first.thawedBy);
    });

    it.each([
      ['by its id', 'beside'],
      ['without an id', undefined],
    ])('is reported to only one of several concurrent thaws %s', async (_, id) => {
      await rig.held({ id: 'beside' });
      const answers = await Promise.all([1, 2, 3].map(() => rig.thaw(id)));
      expect(answers.filter(({ status }) => status === 200)).toHaveLength(1);
      for (const { status, body } of answers) {
        if (status !== 200) expect(body.error.code).toBe('ALREADY_THAWED');
      }
      await rig.expectNothingHeld('proof');
    });

    it('is repeated to a retry of the same call, even after a kill -9', async () => {
      await rig.held({ id: 'retried' });
      const call = ['thaw', '--id', 'retried', '--idempotency-key', 'the-call', '-o', 'json'];
      const first = await rig.sidecar.cli(...call);
      expect(first, first.stderr).toMatchObject({ code: 0 });
      await rig.sidecar.signal('SIGKILL');
      await rig.sidecar.start();
      const again = await rig.sidecar.cli(...call);
      expect(again, again.stderr).toMatchObject({ code: 0 });
      expect(JSON.parse(again.stdout)).toEqual(JSON.parse(first.stdout));
      const another = await rig.sidecar.cli('thaw', '--id', 'retried');
      expect(another).toMatchObject({ code: 7 });
    });

    it('is never reported for a hold that a kill -9 during its thaw has broken', async () => {
      for (const ms of INTO_THE_THAW_MS) {
        const id = `killed-after-${ms}`;
        await rig.held({ id });
        const from = rig.sidecar.output.length;
        const thaw = rig.sidecar.cli('thaw', '--id', id, '-o', 'json');
        await expect
          .poll(() => rig.sidecar.output.slice(from), { interval: 1 })
          .toContain('thaw requested');
        await sleep(ms);
        await rig.sidecar.signal('SIGKILL');
        await rig.sidecar.start();
        const thawed = await thaw;
        // The command line retried by itself, and got a verdict.
        const receipt = verdictIn(thawed.stdout);
        expect(receipt, thawed.stdout + thawed.stderr).toMatchObject({ id });
        const { body } = await rig.sidecar.api('GET', `/v1/receipts/${id}`);
        expect(receiptSchema.parse(body)).toEqual(receipt);
        expect(thawed.code).toBe(receipt.verdict === 'consistent' ? 0 : 7);
        if (receipt.verdict === 'consistent') await rig.alreadyThawed(id, id);
        else await rig.inconsistent(/interrupted/, id);
        await rig.expectNothingHeld();
      }
    });
  });
}

function verdictIn(stdout: string): ReturnType<typeof receiptSchema.parse> {
  const body = JSON.parse(stdout) as { kind?: string; receipt?: unknown };
  return receiptSchema.parse(body.kind === 'Receipt' ? body : body.receipt);
}
