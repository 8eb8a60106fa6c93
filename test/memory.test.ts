import { spawn } from 'node:child_process';
import { readdir, readFile, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, expect, test } from 'vitest';
import { cliPath } from '../src/demo/processes.ts';
import { makeTempDir } from './support/postgres.ts';
import { TestSidecar } from './support/sidecar.ts';

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
  const names = (await readdir(folder)).filter((name) => name.endsWith('.js'));
  expect(names.length).toBeGreaterThan(3);
  for (const name of names) {
    const text = await readFile(join(folder, name), 'utf8');
    expect([name, /[^\0-\xFF]/.exec(text)?.[0]]).toEqual([name, undefined]);
  }
});

test('an idle sidecar takes less than one and a half times the memory of an empty server', async () => {
  const dir = await makeTempDir();
  undo.push(() => rm(dir, { recursive: true, force: true }));
  const sidecar = new TestSidecar(dir, { PGHOST: dir, PGUSER: 'nobody' });
  undo.push(() => sidecar.signal('SIGKILL'));
  await sidecar.start('live');
  const script = "require('node:http').createServer().listen(0)";
  const empty = spawn(process.execPath, ['-e', script], { stdio: 'ignore' });
  undo.push(() => empty.kill('SIGKILL'));
  await sleep(4_000);
  const ratio = (await residentMb(sidecar.pid)) / (await residentMb(empty.pid));
  expect(ratio).toBeLessThan(1.5);
});
