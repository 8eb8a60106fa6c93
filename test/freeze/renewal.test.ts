import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { Journal, type JournalEntry } from '../../src/freeze/journal.ts';
import { ReceiptVolume } from '../../src/receipt/volume.ts';
import { CoordinatorRig } from '../support/coordinator-rig.ts';

let rig: CoordinatorRig;
beforeEach(async () => {
  rig = await CoordinatorRig.make();
});
afterEach(() => rig.remove());

/** A journal whose writes take `delayMs`. */
class SlowJournal extends Journal {
  delayMs = 0;

  override async open(entry: JournalEntry): Promise<void> {
    await sleep(this.delayMs);
    await super.open(entry);
  }
}

it('a renewal overtaken by a thaw fails and leaves no entry in the journal', async () => {
  const journal = new SlowJournal(join(rig.root, 'state'));
  const coordinator = rig.coordinator({ journal, volume: new ReceiptVolume(undefined) });
  await coordinator.freeze({ id: 'a', by: 'test' });
  journal.delayMs = 200;
  const renewal = coordinator
    .freeze({ id: 'a', renew: true, by: 'test' })
    .catch((error: unknown) => error);
  await sleep(20);
  expect(await coordinator.thaw({ by: 'test' })).toMatchObject({ verdict: 'consistent' });
  expect(await renewal).toMatchObject({ code: 'FREEZE_ABORTED' });
  await sleep(250);
  expect(existsSync(join(rig.root, 'state/open.json'))).toBe(false);
});
