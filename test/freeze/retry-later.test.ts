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
  root = await mkdtemp(join(tmpdir(), 'quiesce-owed-'));
});
afterEach(async () => {
  await rm(root, { recursive: true, force: true });
});

const receipt = blankReceipt('owed', {
  engine: { name: 'scripted' },
  copy: 'snapshot',
  app: undefined,
});

it('a journal that could not be closed is closed as soon as the disk lets it', async () => {
  const journal = new Journal(root);
  await journal.open({ receipt, engine: null, named: true });
  // A folder in the way of the file stands for a full disk.
  await mkdir(join(root, 'receipts.json/in-the-way'), { recursive: true });
  await expect(journal.conclude({ receipt: receipt }, [])).rejects.toThrow();
  expect(existsSync(join(root, 'open.json'))).toBe(true);
  await rm(join(root, 'receipts.json'), { recursive: true });
  await expect
    .poll(() => existsSync(join(root, 'open.json')), { timeout: 5_000, interval: 50 })
    .toBe(false);
  expect(existsSync(join(root, 'receipts.json'))).toBe(true);
});

it('closing an old journal late never removes the entry of the next freeze', async () => {
  const journal = new Journal(root);
  await journal.open({ receipt, engine: null, named: true });
  await mkdir(join(root, 'receipts.json/in-the-way'), { recursive: true });
  await expect(journal.conclude({ receipt: receipt }, [])).rejects.toThrow();
  await rm(join(root, 'receipts.json'), { recursive: true });
  await journal.open({ receipt: { ...receipt, id: 'next' }, engine: null, named: true });
  await new Promise((resolve) => setTimeout(resolve, 1_500));
  expect(await journal.load()).toMatchObject({ receipt: { id: 'next' } });
});

it('a receipt that could not be removed at the end goes as soon as the volume lets it', async () => {
  const volume = new ReceiptVolume(root);
  await volume.keep({ 'scripted.label': 'label\n' });
  const stuck = join(root, '.quiesce/receipt.json');
  await mkdir(stuck);
  expect(await volume.clear('owed')).toContain('could not be removed');
  await rm(stuck, { recursive: true });
  await writeFile(stuck, JSON.stringify(receipt));
  await expect
    .poll(async () => await readdir(join(root, '.quiesce')), { timeout: 5_000, interval: 50 })
    .toEqual([]);
});

it('what an old freeze still owes the volume is settled before the next one writes', async () => {
  const volume = new ReceiptVolume(root);
  await volume.keep({ 'scripted.label': 'old\n' });
  const stuck = join(root, '.quiesce/receipt.json');
  await mkdir(stuck);
  await volume.clear('owed');
  await rm(stuck, { recursive: true });
  await volume.keep({ 'scripted.label': 'new\n' });
  await volume.seal({ ...receipt, id: 'next' });
  await new Promise((resolve) => setTimeout(resolve, 1_500));
  expect(await readdir(join(root, '.quiesce'))).toEqual(['receipt.json', 'scripted.label']);
});

it('a write that a kill cut short leaves no file behind once the next process has started', async () => {
  await writeFile(join(root, '.4711-jlgrht5er4r.tmp'), '{"half');
  await writeFile(join(root, 'kept.tmp'), '');
  expect(await new Journal(root).load()).toBe(null);
  expect(await readdir(root)).toEqual(['kept.tmp']);
});

it('a receipt that was left behind by an ended freeze is removed at start, not taken for a restored copy', async () => {
  const volume = new ReceiptVolume(root);
  await volume.seal(receipt);
  const check = new RestoreCheck({
    engine: new ScriptedEngine(),
    volume,
    logger: pino({ level: 'silent' }),
    restoreVerified: () => expect.unreachable('nothing was restored'),
  });
  await check.start(null, ['owed']);
  await check.waitUntilIdle(AbortSignal.timeout(5_000));
  expect(check.view).toBeNull();
  expect(await readdir(join(root, '.quiesce'))).toEqual([]);
  await check.stop();
});
