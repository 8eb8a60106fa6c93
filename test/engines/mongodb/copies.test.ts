import { execFile } from 'node:child_process';
import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { MongoClient } from 'mongodb';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type BlockVolume, makeBlockVolume } from '../../support/block-volume.ts';
import { type Acked, missing, MongoLoad } from '../../support/mongo-load.ts';
import { Mongod, MongoSet, mongoEnv, restoreAlone } from '../../support/mongod.ts';
import { makeTempDir } from '../../support/postgres.ts';
import { TestSidecar } from '../../support/sidecar.ts';

const run = promisify(execFile);
/** QUIESCE_TEST_TRIALS=20 for a long run. */
const TRIALS = Number(process.env['QUIESCE_TEST_TRIALS'] ?? 2);

let dir: string;
let volumes: BlockVolume[];
let set: MongoSet;
let client: MongoClient;
let load: MongoLoad;
let chaos: Promise<void> | undefined;
const stopping = new AbortController();

beforeAll(async () => {
  dir = await makeTempDir();
  volumes = [];
  for (const index of [0, 1]) {
    const server = { postmaster: () => set.member(index).pid };
    volumes.push(await makeBlockVolume(dir, { name: `v${index}`, ...server }));
  }
  // A checkpoint each second, so that files change under a copy that takes no lock.
  set = await MongoSet.start(dir, {
    dbPaths: volumes.map(({ path }) => join(path, 'db')),
    args: ['--syncdelay', '1'],
  });
  client = set.client();
  load = new MongoLoad(client).start();
  await load.progress(100);
  chaos = makeAndDrop();
});

afterAll(async () => {
  stopping.abort();
  await load.stop();
  await chaos;
  await client.close();
  await set.stop();
  for (const volume of volumes) await volume.dispose();
  await rm(dir, { recursive: true, force: true });
});

/** The adversary: tables come and go, and the server's own list of its files with them. */
async function makeAndDrop(): Promise<void> {
  const db = client.db('chaos');
  for (let at = 0; !stopping.signal.aborted; at += 1) {
    try {
      await db
        .collection(`c${at}`)
        .insertMany(Array.from({ length: 20 }, (_one, n) => ({ n, padding: 'y'.repeat(5_000) })));
      await db.collection(`c${at}`).createIndex({ n: 1 });
      if (at > 3) await db.collection(`c${at - 3}`).drop();
    } catch {
      // While it is locked, it waits.
    }
  }
}

async function sidecar(copy: 'snapshot' | 'files', index: number): Promise<TestSidecar> {
  const own = join(dir, `q-${copy}-${index}`);
  await rm(own, { recursive: true, force: true });
  await mkdir(own);
  const env = { ...mongoEnv(set.member(index), volumeOf(index).path), QUIESCE_COPY: copy };
  return await new TestSidecar(own, env).start();
}

function volumeOf(index: number): BlockVolume {
  const volume = volumes[index];
  if (!volume) throw new Error(`there is no volume ${index}`);
  return volume;
}

/** The procedure of the documentation, up to a server that can be asked. */
async function restore(copy: string): Promise<Mongod> {
  return await restoreAlone(new Mongod({ dbPath: join(copy, 'db'), auth: false }));
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

async function copyFiles(index: number, to: string): Promise<void> {
  // Files that vanish meanwhile are no failure of such a tool.
  await run('cp', ['-a', volumeOf(index).path, to]).catch(() => undefined);
}

const subjects = [
  ['primary', 0, 'snapshot'],
  ['primary', 0, 'files'],
  ['secondary', 1, 'snapshot'],
  ['secondary', 1, 'files'],
] as const;

describe.each(subjects)(
  'copies of a %s (member %i) by %s between freeze and thaw',
  (role, index, copy) => {
    test(
      `lack none of the writes acknowledged, ${TRIALS} times of ${TRIALS}`,
      { timeout: 120_000 * TRIALS },
      async () => {
        const beside = await sidecar(copy, index);
        const found: string[] = [];
        for (let trial = 0; trial < TRIALS; trial += 1) {
          await load.progress(200);
          // A secondary promises what was acknowledged before it was asked.
          const before = load.acked();
          const frozen = await beside.api('POST', '/v1/freeze', { id: `t${trial}` });
          expect(frozen.status, JSON.stringify(frozen.body)).toBe(200);
          const acked = role === 'primary' ? load.acked() : before;
          const to = join(dir, `copy-${role}-${copy}-${trial}`);
          const snapshot =
            copy === 'snapshot' ? await volumeOf(index).snapshot(`c${trial}`) : undefined;
          if (!snapshot) await copyFiles(index, to);
          const thawed = await beside.api('POST', '/v1/thaw', { id: `t${trial}` });
          expect(thawed.status, JSON.stringify(thawed.body)).toBe(200);
          const path = snapshot?.path ?? to;
          const prepared = await beside.cli('prepare-restore', '--data', path);
          expect(prepared.code, prepared.stderr).toBe(0);
          found.push(...(await examine(path, acked)));
          await rm(to, { recursive: true, force: true });
        }
        await beside.stop();
        expect(found).toEqual([]);
      },
    );
  },
);

test(
  'copies by files without a freeze are broken by the same load',
  { timeout: 300_000 },
  async () => {
    const found: string[][] = [];
    for (let trial = 0; trial < 6 && found.flat().length === 0; trial += 1) {
      await load.progress(200);
      const acked = load.acked();
      const to = join(dir, `bare-${trial}`);
      await copyFiles(0, to);
      found.push(await examine(to, acked));
      await rm(to, { recursive: true, force: true });
    }
    expect(found.flat()).not.toEqual([]);
  },
);
