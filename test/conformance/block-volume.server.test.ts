import { execFile } from 'node:child_process';
import { closeSync, fsyncSync, openSync, writeSync } from 'node:fs';
import { mkdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, expect, it } from 'vitest';
import { makeBlockVolume, sweepBlockVolumes } from '../support/block-volume.ts';
import { makeTempDir } from '../support/temp-dir.ts';

const undo: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const step of undo.splice(0).toReversed()) await step();
});

async function folder(): Promise<string> {
  const dir = await makeTempDir();
  undo.push(() => rm(dir, { recursive: true, force: true }));
  return dir;
}

function writeSynced(path: string, text: string): void {
  const file = openSync(path, 'w');
  writeSync(file, text);
  fsyncSync(file);
  closeSync(file);
}

const mounts = (): Promise<string> => readFile('/proc/self/mounts', 'utf8');

it('a copy holds synced data, and of unsynced data what the kind of volume promises', async () => {
  const volume = await makeBlockVolume(await folder());
  undo.push(() => volume.dispose());
  await writeFile(join(volume.path, 'written'), 'in the page cache');
  writeSynced(join(volume.path, 'synced'), 'on the disk');
  const copy = await volume.snapshot('one');
  expect(await readFile(join(copy.path, 'synced'), 'utf8')).toBe('on the disk');
  const written = await readFile(join(copy.path, 'written'), 'utf8').catch(() => '');
  if (volume.kind === 'block') {
    expect(written).toBe('');
    expect(copy).toMatchObject({ stalledMs: 0, how: expect.stringContaining('without the page') });
  } else {
    expect(volume.reason).toBeDefined();
    expect(copy.how).toContain('includes the page cache');
  }
});

it('a copy is of one moment: of writes synced in order it holds the first ones', async () => {
  const volume = await makeBlockVolume(await folder());
  undo.push(() => volume.dispose());
  const script = `
    const { openSync, writeSync, fsyncSync } = require('node:fs');
    const files = ['a', 'b'].map((name) => openSync(process.argv[1] + '/' + name, 'w'));
    for (let n = 1; ; n += 1) for (const file of files) {
      writeSync(file, String(n).padStart(8), 0);
      fsyncSync(file);
    }`;
  const writer = execFile(process.execPath, ['-e', script, volume.path]);
  undo.push(async () => void writer.kill('SIGKILL'));
  // After the first number both files and their names have been synced.
  const written = (): Promise<number> => readFile(join(volume.path, 'b'), 'utf8').then(Number);
  await expect.poll(() => written().catch(() => 0), { timeout: 30_000 }).toBeGreaterThan(1);
  for (const name of ['one', 'two', 'three']) {
    const { path } = await volume.snapshot(name);
    const [a, b] = await Promise.all(
      ['a', 'b'].map(async (file) => Number(await readFile(join(path, file), 'utf8'))),
    );
    expect(b).toBeGreaterThan(0);
    expect([b, Number(b) + 1]).toContain(a);
    await sleep(100);
  }
  writer.kill('SIGKILL');
});

it('nothing stays mounted, neither at the end nor after a killed process', async () => {
  const [one, two] = [await folder(), await folder()];
  const disposed = await makeBlockVolume(one);
  await disposed.snapshot('copy');
  await disposed.dispose();
  await disposed.dispose();
  expect(await mounts()).not.toContain(one);
  await expect(stat(disposed.path)).rejects.toThrow('ENOENT');

  const left = await makeBlockVolume(two, { name: 'left' });
  undo.push(() => left.dispose());
  await left.snapshot('copy');
  await mkdir(join(two, 'left'), { recursive: true });
  await writeFile(join(two, 'left/quiesce-volume.owner'), '4190000 gone');
  await sweepBlockVolumes();
  expect(await mounts()).not.toMatch(new RegExp(`${two}/left/quiesce-block`));
});
