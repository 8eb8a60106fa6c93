import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { pino } from 'pino';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { Coordinator } from '../../src/freeze/coordinator.ts';
import { Journal, type JournalEntry } from '../../src/freeze/journal.ts';
import { ReceiptVolume } from '../../src/receipt/volume.ts';
import { deafObserver } from '../support/deaf-observer.ts';
import { ScriptedEngine } from '../support/scripted-engine.ts';

let root: string;
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'quiesce-renewal-'));
});
afterEach(async () => {
  await rm(root, { recursive: true, force: true });
});

/** A disk that takes its time once it is told to. */
class SlowJournal extends Journal {
  delayMs = 0;

  override async open(entry: JournalEntry): Promise<void> {
    await sleep(this.delayMs);
    await super.open(entry);
  }
}

it('a renewal that a thaw overtakes fails, and is not in the journal afterwards', async () => {
  const journal = new SlowJournal(join(root, 'state'));
  const coordinator = new Coordinator({
    engine: new ScriptedEngine(),
    journal,
    volume: new ReceiptVolume(undefined),
    copy: 'snapshot',
    app: undefined,
    logger: pino({ level: 'silent' }),
    now: () => performance.now(),
    volumeFree: async () => undefined,
    claimVolume: async () => undefined,
    observer: deafObserver,
    defaults: { ttlMs: 60_000, timeoutMs: 5_000 },
    ttlMaxMs: 3_600_000,
  });
  await coordinator.freeze({ id: 'a', by: 'test' });
  journal.delayMs = 200;
  const renewal = coordinator
    .freeze({ id: 'a', renew: true, by: 'test' })
    .catch((error: unknown) => error);
  await sleep(20);
  expect(await coordinator.thaw({ by: 'test' })).toMatchObject({ verdict: 'consistent' });
  expect(await renewal).toMatchObject({ code: 'FREEZE_ABORTED' });
  await sleep(250);
  expect(existsSync(join(root, 'state/open.json'))).toBe(false);
});
