import { mkdtemp, readdir, readFile, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { reserveDurably } from '../src/lib/durable-files.ts';

let dir: string;
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'quiesce-files-'));
});
afterEach(async () => {
  await rm(dir, { recursive: true, force: true });
});

const path = (): string => join(dir, 'kept.json');

describe('space reserved for a file', () => {
  it('is on the disk before the file has its name', async () => {
    await reserveDurably(path(), 512, { mode: 0o600 });
    const [name = ''] = await readdir(dir);
    expect(name).toMatch(/^\..*\.tmp$/);
    expect((await stat(join(dir, name))).size).toBe(512);
  });

  it('is filled with the text and padded with blanks, and leaves no other file', async () => {
    const room = await reserveDurably(path(), 512, { mode: 0o640 });
    await room.fill('{"id":"a"}\n');
    const text = await readFile(path(), 'utf8');
    expect(text).toMatch(/^\{"id":"a"\} +\n$/);
    expect(JSON.parse(text)).toEqual({ id: 'a' });
    expect(await stat(path())).toMatchObject({ size: 512 });
    expect((await stat(path())).mode & 0o777).toBe(0o640);
    expect(await readdir(dir)).toEqual(['kept.json']);
  });

  it('also takes all of a longer text', async () => {
    const room = await reserveDurably(path(), 16, { mode: 0o600 });
    const long = 'ä'.repeat(5_000);
    await room.fill(long);
    expect(await readFile(path(), 'utf8')).toBe(`${long}\n`);
  });

  it('replaces the file that had the name before', async () => {
    await (await reserveDurably(path(), 64, { mode: 0o600 })).fill('old');
    await (await reserveDurably(path(), 64, { mode: 0o600 })).fill('new');
    expect((await readFile(path(), 'utf8')).trim()).toBe('new');
  });

  it('leaves nothing after it was discarded', async () => {
    const room = await reserveDurably(path(), 512, { mode: 0o600 });
    await room.discard();
    expect(await readdir(dir)).toEqual([]);
  });

  it('cannot be reserved in a missing folder', async () => {
    await rm(dir, { recursive: true });
    await expect(reserveDurably(path(), 512, { mode: 0o600 })).rejects.toThrow('ENOENT');
  });
});
