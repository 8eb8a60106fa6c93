import { readdir, readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { expect, test } from 'vitest';
import { cliPath } from '../src/testbed/processes.ts';

test('no bundle has a character beyond Latin-1, which would double its memory', async () => {
  const folder = join(dirname(cliPath()), 'commands');
  const names = (await readdir(folder)).filter((name) => name.endsWith('.mjs'));
  expect(names.length).toBeGreaterThan(3);
  for (const name of names) {
    const text = await readFile(join(folder, name), 'utf8');
    expect([name, /[^\0-\xFF]/.exec(text)?.[0]]).toEqual([name, undefined]);
  }
});

test('no bundle has the host name tables or the tracer, which a sidecar does not need', async () => {
  const folder = join(dirname(cliPath()), 'commands');
  for (const name of (await readdir(folder)).filter((file) => file.endsWith('.mjs'))) {
    const text = await readFile(join(folder, name), 'utf8');
    const found = /node_modules\/(?:tr46\/lib|punycode|@opentelemetry)\//.exec(text)?.[0];
    expect([name, found]).toEqual([name, undefined]);
  }
});
