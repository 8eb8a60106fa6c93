import { execFile } from 'node:child_process';
import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { MongoClient } from 'mongodb';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { REPLAY_OPTIONS } from '../../../src/engines/mongodb/procedure.ts';
import { type BlockVolume, makeBlockVolume } from '../../support/block-volume.ts';
import { type Acked, missing, MongoLoad } from '../../support/mongo-load.ts';
import { Mongod, MongoSet, mongoEnv } from '../../support/mongod.ts';
import { makeTempDir } from '../../support/postgres.ts';
import { TestSidecar } from '../../support/sidecar.ts';

const run = promisify(execFile);
/** QUIESCE_TEST_TRIALS=20 for a long run. */
const TRIALS = Number(process.env['QUIESCE_TEST_TRIALS'] ?? 2);

let dir: string;
let volume: BlockVolume;
let set: MongoSet;
let client: MongoClient;
let load: MongoLoad;
let chaos: Promise<void> | undefined;
let stopping = false;

beforeAll(async () => {
  dir = await makeTempDir();
  volume = await makeBlockVolume(dir, { postmaster: () => set.first.pid });
  // A checkpoint each second, so that files change under a copy that takes no lock.
  set = await MongoSet.start(dir, {
    dbPaths: [join(volume.path, 'db')],
    args: ['--syncdelay', '1'],
  });
  client = set.client();
  load = new MongoLoad(client).start();
  await load.progress(100);
  chaos = makeAndDrop();
});

afterAll(async () => {
  stopping = true;
  await load.stop();
  await chaos;
  await client.close();
  await set.stop();
  await volume.dispose();
  await rm(dir, { recursive: true, force: true });
});

/** The adversary: tables come and go, and the server's own list of its files with them. */
async function makeAndDrop(): Promise<void> {
  const db = client.db('chaos');
  for (let at = 0; !stopping; at += 1) {
    try {
      await db.collection(`c${at}`).insertMany(Array.from({ length: 20 }, (_one, n) => ({ n, padding: 'y'.repeat(5_000) })));
      await db.collection(`c${at}`).createIndex({ n: 1 });
      if (at > 3) await db.collection(`c${at - 3}`).drop();
    } catch {
      // While it is locked, it waits.
    }
  }
}

async function sidecar(copy: 'snapshot' | 'files'): Promise<TestSidecar> {
  const own = join(dir, `q-${copy}`);
  await rm(own, { recursive: true, force: true });
  await mkdir(own);
  const env = { ...mongoEnv(set.first, volume.path), QUIESCE_COPY: copy };
  return await new TestSidecar(own, env).start();
}

/** The procedure of the documentation, up to a server that can be asked. */
async function restore(copy: string): Promise<Mongod> {
  const server = new Mongod({ dbPath: join(copy, 'db'), auth: false });
  await server.start(REPLAY_OPTIONS);
  await server.signal('SIGTERM');
  return await server.start();
}

async function examine(copy: string, acked: Acked): Promise<string[]> {
  let server: Mongod | undefined;
  try {
    server = await restore(copy);
    return await missing(server.client(), acked);
  } catch (error) {
    return [`it does not start: ${(error as Error).message.slice(0, 80)}`];
  } finally {
    await server?.stop();
  }
}

async function copyFiles(to: string): Promise<void> {
  // Files that vanish meanwhile are no failure of such a tool.
  await run('cp', ['-a', volume.path, to]).catch(() => undefined);
}

describe.each(['snapshot', 'files'] as const)('copies by %s between freeze and thaw', (copy) => {
  test(`lack none of the writes acknowledged, ${TRIALS} times of ${TRIALS}`, { timeout: 120_000 * TRIALS }, async () => {
    const beside = await sidecar(copy);
    const found: string[][] = [];
    for (let trial = 0; trial < TRIALS; trial += 1) {
      await load.progress(200);
      const frozen = await beside.api('POST', '/v1/freeze', { id: `t${trial}` });
      expect(frozen.status, JSON.stringify(frozen.body)).toBe(200);
      const acked = load.acked();
      const to = join(dir, `copy-${copy}-${trial}`);
      let path = to;
      if (copy === 'snapshot') path = (await volume.snapshot(`${copy}-${trial}`)).path;
      else await copyFiles(to);
      const thawed = await beside.api('POST', '/v1/thaw', { id: `t${trial}` });
      expect(thawed.status, JSON.stringify(thawed.body)).toBe(200);
      const prepared = await beside.cli('prepare-restore', '--data', path);
      expect(prepared.code, prepared.stderr).toBe(0);
      found.push(await examine(path, acked));
      if (copy === 'files') await rm(to, { recursive: true, force: true });
    }
    await beside.stop();
    expect(found.flat()).toEqual([]);
  });
});

test('copies by files without a freeze are broken by the same load', { timeout: 300_000 }, async () => {
  const found: string[][] = [];
  for (let trial = 0; trial < 6 && found.flat().length === 0; trial += 1) {
    await load.progress(200);
    const acked = load.acked();
    const to = join(dir, `bare-${trial}`);
    await copyFiles(to);
    found.push(await examine(to, acked));
    await rm(to, { recursive: true, force: true });
  }
  expect(found.flat()).not.toEqual([]);
});
