import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, open, readFile, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { runCli } from '../../../src/testbed/processes.ts';
import { readRanges } from '../../../src/engines/mongodb/data-dir/wiredtiger/blocks.ts';
import type { Range } from '../../../src/engines/mongodb/data-dir/wiredtiger/ranges.ts';
import { checkFrame } from '../../../src/engines/mongodb/data-dir/wiredtiger/table.ts';
import { Window } from '../../../src/engines/mongodb/data-dir/wiredtiger/window.ts';
import { largest, overwrite, tablesOf } from '../../support/mongo-damage.ts';
import { createUser, Mongod, mongoEnv, ROOT, startStandalone } from '../../support/mongod.ts';
import { makeTempDir } from '../../support/temp-dir.ts';
import { TestSidecar } from '../../support/sidecar.ts';

const run = promisify(execFile);
const BLOCK = 4_096;
const DOCUMENTS = 4_000;

let dir: string;
let copy: string;
let receipt: object;
const servers: Mongod[] = [];

/** Large, middle and small documents, changed and deleted over many checkpoints and a restart. */
async function fill(server: Mongod, round: number): Promise<void> {
  const db = server.client({ auth: ROOT }).db('a');
  await db.collection('c').createIndex({ pad: 1 });
  const pad = (): string =>
    Math.random()
      .toString(36)
      .repeat(1 + Math.floor(Math.random() * 30));
  for (let part = 0; part < 8; part += 1) {
    const documents = Array.from({ length: DOCUMENTS / 8 }, () => ({
      k: Math.random(),
      pad: pad(),
    }));
    await db.collection('c').insertMany(documents);
    await db.collection('huge').insertOne({ round, part, pad: pad().repeat(3_000) });
    await db.collection('huge').deleteMany({ part: part - 2 });
    await db.collection('c').updateMany({ k: { $lt: 0.1 } }, { $set: { pad: pad() } });
    await db.collection('c').deleteMany({ k: { $gt: 0.9 } });
    await server.admin({ fsync: 1 });
  }
}

beforeAll(async () => {
  dir = await makeTempDir();
  const data = join(dir, 'data');
  let server = await startStandalone(join(data, 'db'));
  servers.push(server);
  await fill(server, 0);
  await server.signal('SIGTERM');
  server = await server.start();
  await fill(server, 1);
  await mkdir(join(dir, 'q'));
  const sidecar = await new TestSidecar(join(dir, 'q'), mongoEnv(server, data)).start();
  expect((await sidecar.api('POST', '/v1/freeze', { id: 'f' })).status).toBe(200);
  copy = join(dir, 'copy');
  await run('cp', ['-aT', '--sparse=always', data, copy]);
  receipt = (await sidecar.api('POST', '/v1/thaw', { id: 'f' })).body as object;
  await sidecar.stop();
  await server.stop();
});

afterAll(async () => {
  for (const server of servers) await server.stop();
  await rm(dir, { recursive: true, force: true });
});

function prepare(path: string) {
  return runCli(['prepare-restore', '--data', path, '-o', 'json'], {});
}

async function another(): Promise<string> {
  const path = join(dir, `copy${Math.random()}`);
  await run('cp', ['-aT', '--sparse=always', copy, path]);
  return path;
}

/** Everything in a table's file that prepare-restore looks at. */
async function lookedAt(db: string, table: Awaited<ReturnType<typeof tablesOf>>[number]) {
  const file = await open(join(db, table.name));
  try {
    const needed = await checkFrame(file, table);
    const last = table.checkpoints?.at(-1);
    const lists = [last?.root, last?.allocated, last?.available, last?.discarded];
    const rules = { allocationSize: table.allocationSize, newest: null };
    expect(await readRanges(new Window(file), last?.allocated ?? null, rules)).toEqual(
      needed?.ranges,
    );
    const first: Range = { offset: 0, size: BLOCK };
    return [first, ...(needed?.ranges ?? []), ...lists.filter((one) => one != null)];
  } finally {
    await file.close();
  }
}

test('the server needs no block of a table that prepare-restore does not look at', async () => {
  const path = await another();
  const db = join(path, 'db');
  let zeroed = 0;
  for (const table of await tablesOf(db)) {
    const ranges = await lookedAt(db, table);
    for (let at = 0; at < table.size; at += BLOCK) {
      if (ranges.some(({ offset, size }) => at >= offset && at < offset + size)) continue;
      await overwrite(join(db, table.name), at, Buffer.alloc(BLOCK));
      zeroed += 1;
    }
  }
  const metadata = join(db, 'WiredTiger.wt');
  await overwrite(metadata, BLOCK, Buffer.alloc((await stat(metadata)).size - BLOCK));
  expect(zeroed).toBeGreaterThan(100);
  const server = await new Mongod({ dbPath: db }).start();
  servers.push(server);
  const client = server.client({ auth: ROOT });
  for (const [name, of] of [
    ['a', 'c'],
    ['a', 'huge'],
    ['admin', 'system.users'],
  ] as const) {
    const found = await client.db(name).command({ validate: of, full: true });
    expect(found).toMatchObject({ valid: true, errors: [] });
    expect(found['nrecords']).toBeGreaterThan(0);
  }
  await server.stop();
});

test('a changed byte at the very end of the last block is found', async () => {
  const path = await another();
  const db = join(path, 'db');
  for (const table of (await tablesOf(db)).slice(0, 4)) {
    const file = await open(join(db, table.name));
    const needed = await checkFrame(file, table);
    await file.close();
    const last = needed?.ranges.toSorted((a, b) => b.offset - a.offset)[0];
    if (!last) throw new Error(`${table.name} has no blocks`);
    const at = last.offset + last.size - 1;
    const bytes = await readFile(join(db, table.name));
    const was = bytes[at] ?? 0;
    await overwrite(join(db, table.name), at, Buffer.from([was ^ 1]));
    const found = await prepare(path);
    expect(found.code).toBe(7);
    expect(found.stdout).toContain(`${table.name} was damaged`);
    await overwrite(join(db, table.name), at, Buffer.from([was]));
  }
  expect((await prepare(path)).code).toBe(0);
});

test('an older block of the same place and length is found, though its own checksum is right', async () => {
  const path = await another();
  const db = join(path, 'db');
  const table = (await tablesOf(db)).find(({ name }) => name.startsWith('collection-'));
  if (!table) throw new Error('there is no collection');
  const file = await open(join(db, table.name));
  const needed = await checkFrame(file, table);
  await file.close();
  const bytes = await readFile(join(db, table.name));
  const twins = new Map<number, number>();
  for (const { offset, size } of needed?.ranges ?? []) {
    for (let at = offset; at < offset + size; at += bytes.readUInt32LE(at + 28)) {
      const length = bytes.readUInt32LE(at + 28);
      const twin = twins.get(length);
      twins.set(length, at);
      if (twin === undefined || at === needed?.root || twin === needed?.root) continue;
      await overwrite(join(db, table.name), at, bytes.subarray(twin, twin + length));
      const found = await prepare(path);
      expect(found.code).toBe(7);
      expect(found.stdout).toContain(`the block at ${at} is not the one that a page names`);
      return;
    }
  }
  throw new Error('no two blocks have the same length');
});

test('the deep check of a server that dies at a damaged block says so and verifies nothing', async () => {
  const path = await another();
  const db = join(path, 'db');
  const collection = join(db, await largest(db, 'collection-'));
  const third = Math.floor((await stat(collection)).size / 3 / BLOCK) * BLOCK;
  await overwrite(collection, third, Buffer.alloc(third));
  const server = await new Mongod({ dbPath: db }).start();
  servers.push(server);
  const client = server.client({ auth: ROOT });
  await client.db('admin').command({ dropAllRolesFromDatabase: 1 });
  await client.db('admin').command({ dropUser: 'quiesce' });
  await createUser(client, ['mongodb-validate']);
  const own = await mkdtemp(join(dir, 'q'));
  const sidecar = await new TestSidecar(own, mongoEnv(server)).start();
  const found = await sidecar.api('POST', '/v1/verify', { receipt, deep: true });
  expect(found.status, JSON.stringify(found.body)).toBe(409);
  const checks = found.body.checks as { name: string; ok: boolean; message: string }[];
  const validate = checks.find(({ name }) => name === 'validate');
  expect(validate).toMatchObject({ ok: false });
  expect(validate?.message).toMatch(/a\.(?:c|huge).* The server ends itself at a damaged block/);
  expect(server.exited).not.toBeUndefined();
  await sidecar.stop();
});
