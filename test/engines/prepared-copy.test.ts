import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import {
  alreadyPrepared,
  keepPrepared,
  outcomeOf,
  preparedNow,
  readPrepared,
  wasPrepared,
} from '../../src/engines/shared/prepared-copy.ts';

let dataDir: string;
let path: string;

beforeEach(async () => {
  dataDir = await mkdtemp(join(tmpdir(), 'quiesce-prepared-'));
  await mkdir(join(dataDir, '.quiesce'));
  path = join(dataDir, '.quiesce', 'prepared.json');
});
afterEach(() => rm(dataDir, { recursive: true, force: true }));

describe('the record that prepare-restore leaves in a copy', () => {
  it('is read back with everything that an engine has proven', async () => {
    const prepared = { ...preparedNow('f1'), walEnd: '0/3000158' };
    await keepPrepared(dataDir, prepared);
    expect(await readPrepared(dataDir)).toEqual(prepared);
    expect(await wasPrepared(dataDir, 'f1')).toBe(true);
    expect(await wasPrepared(dataDir, 'f2')).toBe(false);
    expect(await readFile(path, 'utf8')).toMatch(/^\{\n.*\n\}\n$/s);
  });

  it.each([
    ['Redis', '{"id":"f1","proven":true}\n'],
    ['MongoDB', '{\n  "id": "f1",\n  "preparedAt": "2026-07-01T00:00:00.000Z"\n}\n'],
    [
      'PostgreSQL',
      '{"id":"f1","preparedAt":"2026-07-01T00:00:00.000Z","systemIdentifier":"7","walFrom":"0/28","walEnd":"0/30","coveredBy":"marker"}',
    ],
  ])('is recognized as the first release wrote it: %s', async (_engine, text) => {
    await writeFile(path, text);
    expect(await wasPrepared(dataDir, 'f1')).toBe(true);
    expect(await readPrepared(dataDir)).toMatchObject(JSON.parse(text) as object);
  });

  it.each(['', '{', 'null', '[]', '{"id":7}'])('is ignored if it is %j', async (text) => {
    await writeFile(path, text);
    expect(await readPrepared(dataDir)).toBeUndefined();
  });

  it('is absent from a copy that was never prepared', async () => {
    expect(await readPrepared(dataDir)).toBeUndefined();
  });

  it('does not make the reader wait if its name belongs to something else', async () => {
    await promisify(execFile)('mkfifo', [path]);
    await expect(readPrepared(dataDir)).rejects.toMatchObject({ code: 'EFTYPE' });
  });
});

it('an outcome lists only what was done', () => {
  const copy = { id: 'f1', engine: 'one', dataDirectory: '/data', dryRun: true };
  const nothing = { placed: [], removed: [], proof: null, notes: [] };
  const message = 'It is whole.';
  expect(outcomeOf(copy, { message })).toEqual({
    outcome: 'prepared',
    ...copy,
    ...nothing,
    message,
  });
  const already = alreadyPrepared(copy);
  expect(already).toMatchObject({ outcome: 'already-prepared', ...copy, ...nothing });
  expect(already.message).toContain('f1 in /data');
});
