import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, rm, symlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { ReceiptVolume } from '../../src/receipt/volume.ts';

let dir: string;
let path: string;
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'quiesce-volume-'));
  path = join(dir, '.quiesce/receipt.json');
  await mkdir(join(dir, '.quiesce'));
});
afterEach(async () => {
  await rm(dir, { recursive: true, force: true });
});

it('a FIFO in place of the receipt delays neither a start nor a thaw', async () => {
  await promisify(execFile)('mkfifo', [path]);
  const volume = new ReceiptVolume(dir);
  expect(await volume.receipt()).toBe('unreadable');
  expect(await volume.withdraw('a')).toBeNull();
  expect(await volume.receipt()).toBeNull();
});

it('a device in place of the receipt is removed, and a folder is reported because it cannot be', async () => {
  const volume = new ReceiptVolume(dir);
  await symlink('/dev/zero', path);
  expect(await volume.receipt()).toBe('unreadable');
  expect(await volume.withdraw('a')).toBeNull();
  await mkdir(path);
  expect(await volume.receipt()).toBe('unreadable');
  expect(await volume.withdraw('a')).toMatch(/receipt\.json could not be removed/);
});
