import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { blankReceipt } from '../../src/freeze/receipt-states.ts';
import { Journal } from '../../src/freeze/journal.ts';
import { ReceiptVolume } from '../../src/receipt/volume.ts';
import { RestoreCheck } from '../../src/restore/verify-at-start.ts';
import { ScriptedEngine } from '../support/scripted-engine.ts';

let root: string;
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'quiesce-retry-'));
});
afterEach(async () => {
  await rm(root, { recursive: true, force: true });
});

const receipt = blankReceipt('ended', {
  engine: { name: 'scripted' },
  copy: 'snapshot',
  app: undefined,
});

it('a journal that could not be closed is closed as soon as the disk allows it', async () => {
  const journal = new Journal(root);
  await journal.open({ receipt, engine: null, named: true });
  // A folder in place of the file makes the write fail, as a full disk would.
  await mkdir(join(root, 'receipts.json/in-the-way'), { recursive: true });
  await expect(journal.conclude({ receipt: receipt }, [])).rejects.toThrow();
  expect(existsSync(join(root, 'open.json'))).toBe(true);
  await rm(join(root, 'receipts.json'), { recursive: true });
  await expect
    .poll(() => existsSync(join(root, 'open.json')), { timeout: 5_000, interval: 50 })
    .toBe(false);
  expect(existsSync(join(root, 'receipts.json'))).toBe(true);
});

it('a late retry of closing the journal never removes the entry of the next freeze', async () => {
  const journal = new Journal(root);
  await journal.open({ receipt, engine: null, named: true });
  await mkdir(join(root, 'receipts.json/in-the-way'), { recursive: true });
  await expect(journal.conclude({ receipt: receipt }, [])).rejects.toThrow();
  await rm(join(root, 'receipts.json'), { recursive: true });
  await journal.open({ receipt: { ...receipt, id: 'next' }, engine: null, named: true });
  await new Promise((resolve) => setTimeout(resolve, 1_500));
  expect(await journal.load()).toMatchObject({ receipt: { id: 'next' } });
});

it('a receipt that could not be removed at the end is removed as soon as the volume allows it', async () => {
  const volume = new ReceiptVolume(root);
  await volume.keep({ 'scripted.label': 'label\n' });
  const stuck = join(root, '.quiesce/receipt.json');
  await mkdir(stuck);
  expect(await volume.clear('ended')).toContain('could not be removed');
  await rm(stuck, { recursive: true });
  await writeFile(stuck, JSON.stringify(receipt));
  await expect
    .poll(async () => await readdir(join(root, '.quiesce')), { timeout: 5_000, interval: 50 })
    .toEqual([]);
});

it('the removal that an old freeze could not finish comes before the writes of the next one', async () => {
  const volume = new ReceiptVolume(root);
  await volume.keep({ 'scripted.label': 'old\n' });
  const stuck = join(root, '.quiesce/receipt.json');
  await mkdir(stuck);
  await volume.clear('ended');
  await rm(stuck, { recursive: true });
  await volume.keep({ 'scripted.label': 'new\n' });
  await volume.seal({ ...receipt, id: 'next' });
  await new Promise((resolve) => setTimeout(resolve, 1_500));
  expect(await readdir(join(root, '.quiesce'))).toEqual(['receipt.json', 'scripted.label']);
});

it('the next process removes the temporary file of a write that a kill interrupted', async () => {
  await writeFile(join(root, '.4711-jlgrht5er4r.tmp'), '{"half');
  await writeFile(join(root, 'kept.tmp'), '');
  expect(await new Journal(root).load()).toBe(null);
  expect(await readdir(root)).toEqual(['kept.tmp']);
});

it('the receipt left by an ended freeze is removed at start and not taken for that of a restored copy', async () => {
  const volume = new ReceiptVolume(root);
  await volume.seal(receipt);
  const check = new RestoreCheck({
    engine: new ScriptedEngine(),
    volume,
    stateDir: root,
    logger: pino({ level: 'silent' }),
    check: 'position',
    restoreVerified: () => expect.unreachable('nothing was restored'),
  });
  await check.start(null, ['ended']);
  await check.waitUntilIdle(AbortSignal.timeout(5_000));
  expect(check.view).toBeNull();
  expect(await readdir(join(root, '.quiesce'))).toEqual([]);
  await check.stop();
});
