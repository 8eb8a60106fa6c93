import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Client } from 'pg';
import { describe, expect, it } from 'vitest';
import { loadRestore } from '../../../src/engines/index.ts';
import { prepareRestore } from '../../../src/restore/prepare-restore.ts';
import {
  atomicCopy,
  type Copy,
  freezeBySql,
  killAll,
  onServer,
  type Source,
  sourceOf,
  startSource,
} from '../../support/copies.ts';
import { makeTempDir } from '../../support/temp-dir.ts';

const TRIALS = Number(process.env['QUIESCE_TEST_TRIALS'] ?? 20);
const CLIENTS = 4;

/** Repeatable, so that a failed trial can be played again. */
function randomOf(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) & 0x7fffffff;
    return Math.floor((state / 0x80000000) * below);
  };
}

const FILL = (table: string, rows: number): string =>
  `INSERT INTO ${table} SELECT i, repeat(md5(i::text), 6) FROM generate_series(1, ${rows}) i`;

/** What a server may do between a checkpoint and a crash; each step is legal, whatever becomes of it. */
const STEPS: readonly ((t: string, n: number) => readonly string[])[] = [
  (t, n) => [`CREATE TABLE IF NOT EXISTS ${t}(a int, pad text)`, FILL(t, 100 + n)],
  (t, n) => [
    `CREATE TABLE IF NOT EXISTS ${t}(a int, pad text)`,
    `CREATE INDEX ON ${t}(a)`,
    FILL(t, n),
  ],
  (t, n) => [`UPDATE ${t} SET pad = pad || 'x' WHERE a % 7 = ${n % 7}`],
  (t, n) => [`DELETE FROM ${t} WHERE a > ${n}`, `VACUUM ${t}`],
  (t) => [`TRUNCATE ${t}`],
  (t) => [`DROP TABLE IF EXISTS ${t}`],
  (t) => [`VACUUM (FREEZE) ${t}`],
  (t) => [`VACUUM FULL ${t}`],
  (t) => [`REINDEX TABLE ${t}`],
  (t, n) => [
    'BEGIN',
    `CREATE TABLE r${t}(a int, pad text)`,
    FILL(`r${t}`, 2 * n),
    `UPDATE r${t} SET a = -a`,
    'ROLLBACK',
  ],
  (t, n) => [
    'BEGIN',
    `CREATE TABLE s${t}(a int, pad text)`,
    FILL(`s${t}`, n),
    `TRUNCATE s${t}`,
    FILL(`s${t}`, n),
    `DROP TABLE s${t}`,
    'COMMIT',
  ],
  (t, n) => [
    `CREATE UNLOGGED TABLE IF NOT EXISTS u${t}(a int, pad text)`,
    FILL(`u${t}`, n),
    `CREATE INDEX ON u${t}(a)`,
  ],
  (_t, n) => [`CREATE TEMP TABLE IF NOT EXISTS temporary(a int, pad text)`, FILL('temporary', n)],
  (t) => [
    'BEGIN',
    `SELECT a FROM ${t} LIMIT 20 FOR KEY SHARE`,
    'SAVEPOINT one',
    `UPDATE ${t} SET a = a + 1 WHERE a < 9`,
    'ROLLBACK TO one',
    `SELECT a FROM ${t} LIMIT 9 FOR UPDATE`,
    'COMMIT',
  ],
  (t) => [
    `CREATE SEQUENCE IF NOT EXISTS q${t}`,
    `SELECT nextval('q${t}') FROM generate_series(1, 70)`,
  ],
  (t) => [`DROP DATABASE IF EXISTS d${t}`, `CREATE DATABASE d${t}`],
  (t) => [`DROP DATABASE IF EXISTS d${t}`],
  () => ['CHECKPOINT'],
  (t) => [`CREATE INDEX CONCURRENTLY ON ${t}((1 / (a - 7)))`],
  (t) => [`CREATE INDEX CONCURRENTLY ON ${t}(pad)`],
  (t, n) => ['BEGIN', FILL(t, n % 50), `PREPARE TRANSACTION '${t}'`, `COMMIT PREPARED '${t}'`],
  (t) => [`SELECT count(*), sum(length(pad)) FROM ${t}`],
  (t) => [`ALTER TABLE ${t} ALTER COLUMN a TYPE bigint`, `CLUSTER ${t} USING ${t}_a_idx`],
  (t, n) => [
    `DO $$ BEGIN FOR i IN 1..${n % 300} LOOP BEGIN INSERT INTO ${t} VALUES (i, 'sub'); EXCEPTION WHEN division_by_zero THEN NULL; END; END LOOP; END $$`,
  ],
  (t) => [`CREATE INDEX ON ${t} USING gin((ARRAY[a, a % 7]))`],
  (t) => [
    'BEGIN',
    `CREATE INDEX ON ${t} USING gist(point(a, a))`,
    `CREATE INDEX ON ${t} USING spgist(pad)`,
    'COMMIT',
  ],
  (t) => [
    'BEGIN',
    `CREATE INDEX ON ${t} USING hash(a)`,
    `CREATE INDEX ON ${t} USING brin(a)`,
    'COMMIT',
  ],
];

async function play(
  source: Source,
  client: number,
  seed: number,
  state: { stop: boolean },
): Promise<void> {
  const random = randomOf(seed);
  const connect = async (): Promise<Client | null> => await source.connect().catch(() => null);
  let session = await connect();
  while (!state.stop) {
    const step = STEPS[random(STEPS.length)] as (typeof STEPS)[number];
    for (const statement of step(`t${client}_${random(3)}`, 50 + random(2_000))) {
      if (session === null) session = await connect();
      const failed = await session?.query(statement).then(
        () => null,
        (error: { code?: string }) => error,
      );
      if (failed === null) continue;
      await session?.query('ROLLBACK').catch(() => (session = null));
      break;
    }
    await sleep(random(10));
  }
}

const SETTINGS = {
  max_prepared_transactions: '10',
  shared_buffers: '4MB',
  wal_keep_size: '1GB',
  max_wal_size: '3GB',
  autovacuum_naptime: '1s',
};

// Without checksums, hints and visibility are in no image of WAL.
describe.each([
  [13, 'with', true],
  [13, 'without', false],
  [17, 'with', true],
  [17, 'without', false],
])('every state of PostgreSQL %i %s checksums under a varied load', (major, _with, checksums) => {
  it('is accepted, and so are those after crashes', { timeout: TRIALS * 60_000 }, async () => {
    const seed = Math.floor(Math.random() * 1e9);
    const random = randomOf(seed);
    const dir = await makeTempDir();
    let source = await startSource(major, 1, SETTINGS, checksums);
    try {
      // A server on a copy needs it to recover them.
      await source.admin.query(`ALTER SYSTEM SET max_prepared_transactions = '10'`);
      for (let trial = 0; trial < TRIALS; trial += 1) {
        const copy = await cutUnderLoad(source, trial, seed, random, join(dir, `trial-${trial}`));
        await expect(
          accept(copy, major, trial % 2 === 0),
          `seed ${seed}, trial ${trial}`,
        ).resolves.toBe('prepared');
        await rm(copy.volume, { recursive: true, force: true });
        if (trial % 4 === 3) source = await crash(source);
      }
    } finally {
      await source.stop();
      await rm(dir, { recursive: true, force: true });
    }
  });
});

async function cutUnderLoad(
  source: Source,
  trial: number,
  seed: number,
  random: (below: number) => number,
  volume: string,
): Promise<Copy> {
  const state = { stop: false };
  const players = Array.from({ length: CLIENTS }, (_, client) =>
    play(source, client, seed + trial * 10 + client, state),
  );
  try {
    await sleep(200 + random(800));
    await freezeBySql(source, `legal-${trial}`);
    await sleep(random(1_500));
    return await atomicCopy(source, volume);
  } finally {
    state.stop = true;
    await Promise.all(players);
  }
}

/** Prepares the copy, and may start a server on it, which is what the proof is for. */
async function accept(copy: Copy, major: number, start: boolean): Promise<string> {
  const request = { dataDir: copy.volume, dryRun: !start, scanMs: null, load: loadRestore };
  const { outcome } = await prepareRestore(request, new AbortController().signal);
  if (start) {
    await onServer(copy, major, async (client) => client.query('SELECT count(*) FROM pg_class'));
  }
  return outcome;
}

/** Ends the server as a failure of power does, and starts it again. */
async function crash(source: Source): Promise<Source> {
  await killAll(source.server);
  await rm(join(source.pgdata, 'postmaster.pid'), { force: true });
  await source.server.start();
  return await sourceOf(source, source.server, join(source.volume, '..'));
}
