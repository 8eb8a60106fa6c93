import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { expect, test } from 'vitest';
import { abortedWithin } from '../../src/lib/deadline.ts';

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void;

/** Resolves when the signal has aborted; by then everything that can be collected was. */
async function aborts(signal: AbortSignal): Promise<boolean> {
  let aborted = false;
  signal.addEventListener('abort', () => (aborted = true));
  for (let round = 0; round < 5; round += 1) {
    await sleep(10);
    collect();
  }
  await sleep(600);
  return aborted;
}

test('a limit comes even if memory is collected before it', async () => {
  const { signal } = new AbortController();
  const nested = abortedWithin(60_000, abortedWithin(300, signal));
  const found = await Promise.all([aborts(abortedWithin(300, signal)), aborts(nested)]);
  expect(found).toEqual([true, true]);
});

test('it aborts with another signal at once, with its reason', () => {
  const one = new AbortController();
  const limited = abortedWithin(60_000, one.signal);
  one.abort(new Error('over'));
  expect(limited.reason).toEqual(new Error('over'));
});

test('no other code joins a limit to signals by itself', async () => {
  const names = (await readdir('src', { recursive: true })).filter((name) => name.endsWith('.ts'));
  const found: string[] = [];
  for (const name of names) {
    const text = await readFile(join('src', name), 'utf8');
    if (/AbortSignal\.any\([^;]*AbortSignal\.timeout/.test(text)) found.push(name);
  }
  expect(found).toEqual([]);
});
