import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { holdUntilNamed } from '../../src/restore/hold.ts';
import { makeTempDir } from '../support/temp-dir.ts';

let dir: string;
let file: string;

beforeEach(async () => {
  dir = await makeTempDir();
  file = join(dir, 'release');
});
afterEach(async () => await rm(dir, { recursive: true, force: true }));

async function ends(holding: Promise<void>, withinMs: number): Promise<boolean> {
  return await Promise.race([holding.then(() => true), sleep(withinMs).then(() => false)]);
}

it('a held pod waits until the file names the restore that made it', async () => {
  const stop = new AbortController();
  const holding = holdUntilNamed(file, ',r2', stop.signal);
  expect(await ends(holding, 700)).toBe(false);
  await writeFile(file, '');
  expect(await ends(holding, 700)).toBe(false);
  // What an earlier restore has left in the pod's annotations.
  await writeFile(file, 'r1');
  expect(await ends(holding, 700)).toBe(false);
  await writeFile(file, 'r2\n');
  expect(await ends(holding, 5_000)).toBe(true);
});

it('a held pod that is deleted does not wait any longer', async () => {
  const stop = new AbortController();
  const holding = holdUntilNamed(file, 'r2', stop.signal);
  stop.abort(new Error('SIGTERM'));
  await expect(holding).rejects.toThrow('SIGTERM');
});
