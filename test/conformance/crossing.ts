import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { Ledger } from './fixture.ts';
import type { SharedRig, Rig } from './rig.ts';

/** Delays between the request of a thaw and the request that crosses it. */
const APART_MS = [0, 1, 2, 3, 0, 1, 2, 3];

/** Requests that cross a thaw: whichever comes first, each gets a true answer. */
export function describeCrossing<L extends Ledger>(shared: SharedRig<L>): void {
  describe('a request that crosses a thaw', () => {
    let rig: Rig<L>;
    beforeAll(async () => {
      rig = await shared.get();
    });
    beforeEach(async () => {
      await rig.begin();
    });
    const journal = (): string => join(rig.sidecar.env['QUIESCE_STATE_DIR'] ?? '', 'open.json');

    it('a renewal is refused or renews the hold, begins no freeze, and leaves no journal entry', async () => {
      for (const [round, ms] of APART_MS.entries()) {
        const id = `crossed-${round}`;
        await rig.held({ id });
        expect(existsSync(journal())).toBe(true);
        const thaw = rig.thaw(id);
        await sleep(ms);
        const renewal = await rig.freeze({ id, renew: true });
        expect((await thaw).status).toBe(200);
        expect(renewal.body.verdict ?? renewal.body.error.code).toMatch(
          /^(held|NOT_FROZEN|FREEZE_ABORTED)$/,
        );
        expect(await rig.state()).toBe('thawed');
        await rig.alreadyThawed(id, id);
        expect(existsSync(journal())).toBe(false);
      }
    });

    it('a freeze of the same id is refused, or gets a hold of its own', async () => {
      for (const [round, ms] of APART_MS.entries()) {
        const id = `again-${round}`;
        await rig.held({ id });
        const thaw = rig.thaw(id);
        await sleep(ms);
        const again = await rig.freeze({ id });
        const first = await thaw;
        // A freeze that was refused before the thaw may thaw too, and has the same id: they are ambiguous.
        const reasons = first.status === 200 ? first.body.reasons : first.body.receipt.reasons;
        // A consistent receipt may bear reasons of its own, as that of a locked primary does.
        expect(reasons.includes('thaw-ambiguous')).toBe(first.status !== 200);
        const own = await rig.thaw(id);
        const outcome = [again.status, again.body.verdict ?? again.body.error.code, own.status];
        const possible = [
          [200, 'held', 200],
          [409, 'FREEZE_HELD', 409],
        ];
        expect(possible).toContainEqual(outcome);
        expect(existsSync(journal())).toBe(false);
      }
    });
  });
}
