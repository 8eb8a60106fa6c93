import { spawn } from 'node:child_process';
import { readdir, readFile, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { afterEach, expect, test } from 'vitest';
import { cliPath } from '../src/demo/processes.ts';
import { makeTempDir } from './support/postgres.ts';
import { TestSidecar } from './support/sidecar.ts';

/** Of an idle sidecar over an empty server: 1.31 where nothing runs beside it, as a test always has. */
const LIMIT = 1.5;

const undo: (() => unknown)[] = [];
afterEach(async () => {
  for (const one of undo.splice(0).toReversed()) await one();
});

async function residentMb(pid: number | undefined): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8');
  return Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1]) / 1_024;
}

test('no bundle holds a letter that would double what it takes in memory', async () => {
  const folder = join(dirname(cliPath()), 'commands');
  const names = (await readdir(folder)).filter((name) => name.endsWith('.mjs'));
  expect(names.length).toBeGreaterThan(3);
  for (const name of names) {
    const text = await readFile(join(folder, name), 'utf8');
    expect([name, /[^\0-\xFF]/.exec(text)?.[0]]).toEqual([name, undefined]);
  }
});

test('an idle sidecar settles at less than one and a half times the memory of an empty server', async () => {
  const dir = await makeTempDir();
  undo.push(() => rm(dir, { recursive: true, force: true }));
  const sidecar = new TestSidecar(dir, { PGHOST: dir, PGUSER: 'nobody' });
  undo.push(() => sidecar.signal('SIGKILL'));
  await sidecar.start('live');
  const script = "require('node:http').createServer().listen(0)";
  const empty = spawn(process.execPath, ['-e', script], { stdio: 'ignore' });
  undo.push(() => empty.kill('SIGKILL'));
  // What starting up has left behind is collected once V8 finds itself idle, some ten seconds later.
  const ratio = async () => (await residentMb(sidecar.pid)) / (await residentMb(empty.pid));
  await expect.poll(ratio, { timeout: 45_000, interval: 1_000 }).toBeLessThan(LIMIT);
});
