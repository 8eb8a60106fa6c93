import { execFile } from 'node:child_process';
import { mkdir, rename, rm, stat, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { runCli } from '../../../src/testbed/processes.ts';
import { journalOf, largest, overwrite, tablesOf } from '../../support/mongo-damage.ts';
import { type Mongod, mongoEnv, ROOT, startStandalone } from '../../support/mongod.ts';
import { makeTempDir } from '../../support/temp-dir.ts';
import { TestSidecar } from '../../support/sidecar.ts';

const run = promisify(execFile);

/** Journal files are made in their full length in advance, and are mostly empty. */
const cp = (from: string, to: string) => run('cp', ['-aT', '--sparse=always', from, to]);

let dir: string;
let server: Mongod;
/** By copy method: a copy of each, made between freeze and thaw. */
const pristine: Record<string, string> = {};
/** A copy of an earlier freeze. */
let older: string;
/** The files as they were after the last thaw and further writes. */
let later: string;
let count = 0;

interface Proof {
  readonly digests: number;
  readonly checkpointBytes: { readonly looked: number; readonly total: number };
}

/** Text that cannot be compressed, so that the tables are large. */
const noise = (): string =>
  Array.from({ length: 100 }, () => Math.random().toString(36).slice(2)).join('');

async function write(from: number): Promise<void> {
  const c = server.client({ auth: ROOT }).db('a').collection<{ _id: number }>('c');
  const documents = Array.from({ length: 1_500 }, (_one, n) => ({
    _id: from + n,
    k: Math.random(),
    pad: noise(),
  }));
  await c.insertMany(documents);
  await c.updateMany({ k: { $lt: 0.2 } }, { $set: { pad: noise() } });
}

async function backup(copyMethod: string, to: string): Promise<void> {
  const own = join(dir, `q${(count += 1)}`);
  await mkdir(own);
  const env = { ...mongoEnv(server, join(dir, 'data')), QUIESCE_COPY: copyMethod };
  const sidecar = await new TestSidecar(own, env).start();
  const frozen = await sidecar.api('POST', '/v1/freeze', { id: `f${count}` });
  expect(frozen.body.reasons).not.toContain('not-digested');
  await cp(join(dir, 'data'), to);
  expect((await sidecar.api('POST', '/v1/thaw', { id: `f${count}` })).status).toBe(200);
  await sidecar.stop();
}

beforeAll(async () => {
  dir = await makeTempDir();
  server = await startStandalone(join(dir, 'data/db'));
  await server.client({ auth: ROOT }).db('a').collection('c').createIndex({ k: 1 });
  await write(0);
  older = join(dir, 'older');
  await backup('files', older);
  await write(10_000);
  for (const copyMethod of ['snapshot', 'files']) {
    const path = join(dir, copyMethod);
    await backup(copyMethod, path);
    pristine[copyMethod] = path;
  }
  await write(20_000);
  await server.admin({ fsync: 1 });
  await write(30_000);
  await server.admin({ fsync: 1 });
  later = join(dir, 'later');
  await cp(join(dir, 'data'), later);
  await server.stop();
});

afterAll(async () => {
  await server.stop();
  await rm(dir, { recursive: true, force: true });
});

describe.each(['snapshot', 'files'])('a copy (%s)', (copyMethod) => {
  let copy: string;
  let db: string;
  afterEach(() => rm(copy, { recursive: true, force: true }));

  async function fresh(): Promise<void> {
    copy = join(dir, `copy${(count += 1)}`);
    await cp(pristine[copyMethod] ?? '', copy);
    db = join(copy, 'db');
  }

  function prepare() {
    return runCli(['prepare-restore', '--data', copy, '-o', 'json'], {});
  }

  it('is prepared if nothing is damaged, also with a file of somebody else in it', async () => {
    await fresh();
    await writeFile(join(db, 'notes.txt'), 'x');
    const done = await prepare();
    expect(done.code, done.stdout).toBe(0);
    const { proof } = JSON.parse(done.stdout) as { proof: Proof };
    const { looked, total } = proof.checkpointBytes;
    expect(proof).toMatchObject({ backupFile: true, unknown: 0 });
    expect(looked).toBe(total);
    expect(total).toBeGreaterThan(1_000_000);
    expect(proof.digests).toBeGreaterThanOrEqual(copyMethod === 'files' ? 20 : 4);
  });

  type Damage = (file: string, size: number) => Promise<unknown>;
  const zeroes = (length: number) => Buffer.alloc(length);
  const middle: Damage = (file, size) =>
    overwrite(file, Math.floor(size / 3 / 4_096) * 4_096, zeroes(Math.floor(size / 3)));
  const cut =
    (bytes: number): Damage =>
    (file, size) =>
      truncate(file, size - bytes);
  const stale: Damage = (file) => cp(join(older, 'db', file.slice(db.length)), file);
  const tooLate: Damage = (file) => cp(join(later, 'db', file.slice(db.length)), file);
  const collection = (): Promise<string> => largest(db, 'collection-');
  const index = (): Promise<string> => largest(db, 'index-');
  const named = (name: string) => (): Promise<string> => Promise.resolve(name);

  it.each<[string, () => Promise<string>, Damage]>([
    ['a hole in a collection', collection, middle],
    ['a hole in an index', index, middle],
    ['a collection that lacks its last bytes', collection, cut(3)],
    ['a collection cut in half', collection, (file, size) => truncate(file, Math.floor(size / 2))],
    ['a collection of zeroes', collection, (file, size) => overwrite(file, 0, zeroes(size))],
    ['an empty collection', collection, (file) => truncate(file, 0)],
    ['a collection of an earlier backup', collection, stale],
    ['a collection copied after the thaw', collection, tooLate],
    ['an index copied after the thaw', index, tooLate],
    ['no collection', collection, (file) => rm(file)],
    ['a catalog cut off', named('_mdb_catalog.wt'), cut(4_096)],
    ['a catalog of zeroes', named('_mdb_catalog.wt'), (file, n) => overwrite(file, 0, zeroes(n))],
    [
      'a cut list of the tables',
      named('WiredTiger.backup'),
      (file, n) => truncate(file, Math.floor(n / 2)),
    ],
    ['a list of an earlier backup', named('WiredTiger.backup'), stale],
    [
      'a turtle file cut off',
      named('WiredTiger.turtle'),
      (file, n) => truncate(file, Math.floor(n / 2)),
    ],
    ['a turtle file that lacks a byte', named('WiredTiger.turtle'), cut(1)],
    ['no turtle file', named('WiredTiger.turtle'), (file) => rm(file)],
    ['metadata of zeroes', named('WiredTiger.wt'), (file, n) => overwrite(file, 0, zeroes(n))],
    ['a storage.bson of zeroes', named('storage.bson'), (file, n) => overwrite(file, 0, zeroes(n))],
    ['a hole in the journal', () => journalOf(db), (file) => overwrite(file, 128, zeroes(64))],
    ['a journal cut off', () => journalOf(db), (file) => truncate(file, 200)],
    ['no journal file', () => journalOf(db), (file) => rm(file)],
  ])('is refused with %s', async (_what, file, damage) => {
    await fresh();
    const path = join(db, await file());
    await damage(path, (await stat(path)).size);
    const done = await prepare();
    expect(done.code, done.stdout).toBe(7);
    expect(JSON.parse(done.stdout)).toMatchObject({ error: { code: 'RESTORE_INCOMPLETE' } });
    expect(done.stdout).toContain(path);
  });

  it('is refused with two tables in the place of each other', async () => {
    await fresh();
    const [one, other] = (await tablesOf(db)).filter(({ name }) => name.startsWith('index-'));
    const [a, b] = [join(db, one?.name ?? ''), join(db, other?.name ?? '')];
    await rename(a, `${a}.x`);
    await rename(b, a);
    await rename(`${a}.x`, b);
    expect((await prepare()).code).toBe(7);
  });

  it('is refused if its tables and its journal were copied after the thaw', async () => {
    await fresh();
    for (const { name } of await tablesOf(db)) {
      if (!name.startsWith('WiredTiger')) await cp(join(later, 'db', name), join(db, name));
    }
    await rm(join(db, 'journal'), { recursive: true });
    await cp(join(later, 'db/journal'), join(db, 'journal'));
    expect((await prepare()).code).toBe(7);
  });

  it.each([
    ['missing', (file: string) => rm(file)],
    ['changed', (file: string) => writeFile(file, '{"files":[],"notDigested":[]}')],
  ])('is refused if its digests are %s', async (_what, damage) => {
    await fresh();
    await damage(join(copy, '.quiesce/digests.json'));
    const done = await prepare();
    expect(done.code, done.stdout).toBe(7);
    expect(done.stdout).toContain('digests.json');
  });
});
