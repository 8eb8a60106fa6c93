import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { demoCanRun, embeddedMajors } from '../../src/lib/command-line/demo-servers.ts';

let dir: string;
let program: string;
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'quiesce-demo-can-'));
  program = join(dir, 'dist', 'cli.js');
  await mkdir(join(dir, 'dist'));
  await writeFile(program, '');
});
afterEach(() => rm(dir, { recursive: true, force: true }));

it('finds the embedded servers in the node_modules folders above the program', async () => {
  expect(embeddedMajors(program)).toEqual([]);
  expect(demoCanRun(program, '')).toBe(false);
  for (const name of [`pg17-${process.platform}-${process.arch}`, 'pg13-plan9-mips', 'pg']) {
    await mkdir(join(dir, 'node_modules', name), { recursive: true });
  }
  expect(embeddedMajors(program)).toEqual([17]);
  expect(demoCanRun(program, '')).toBe(true);
});

it('finds a Redis or Valkey on PATH', async () => {
  const bin = join(dir, 'bin');
  await mkdir(bin);
  expect(demoCanRun(program, `/nonexistent:${bin}`)).toBe(false);
  await writeFile(join(bin, 'valkey-server'), '');
  expect(demoCanRun(program, `/nonexistent:${bin}`)).toBe(true);
  expect(demoCanRun(join(dir, 'gone.js'), '')).toBe(false);
});
