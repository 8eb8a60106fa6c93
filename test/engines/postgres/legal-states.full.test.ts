import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Client } from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { loadRestore } from '../../../src/engines/index.ts';
import { prepareRestore } from '../../../src/restore/prepare-restore.ts';
import {
  atomicCopy,
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

describe.each([13, 17])('every state of PostgreSQL %i under a varied load', (major) => {
  let dir: string;
  let source: Source;

  beforeAll(async () => {
    dir = await makeTempDir();
    source = await startSource(major, 1, {
      max_prepared_transactions: '10',
      shared_buffers: '4MB',
      wal_keep_size: '2GB',
      max_wal_size: '3GB',
      autovacuum_naptime: '1s',
    });
    // A server on a copy needs it to recover them.
    await source.admin.query(`ALTER SYSTEM SET max_prepared_transactions = '10'`);
  });
  afterAll(async () => {
    await source.stop();
    await rm(dir, { recursive: true, force: true });
  });

  it('is accepted, and so are those after crashes', { timeout: 900_000 }, async () => {
    const seed = Math.floor(Math.random() * 1e9);
    const random = randomOf(seed);
    for (let trial = 0; trial < TRIALS; trial += 1) {
      const state = { stop: false };
      const players = Array.from({ length: CLIENTS }, (_, client) =>
        play(source, client, seed + trial * 10 + client, state),
      );
      const volume = join(dir, `trial-${trial}`);
      try {
        await sleep(200 + random(800));
        await freezeBySql(source, `legal-${trial}`);
        await sleep(random(1_500));
        await atomicCopy(source, volume);
      } finally {
        state.stop = true;
        await Promise.all(players);
      }
      const request = { dataDir: volume, dryRun: trial % 5 !== 0, scanMs: null, load: loadRestore };
      const outcome = await prepareRestore(request, new AbortController().signal).catch(
        (error: Error) => error.message,
      );
      expect(outcome, `seed ${seed}, trial ${trial}, ${volume}`).toMatchObject({
        outcome: 'prepared',
      });
      if (trial % 5 === 0) {
        // A server starts on it, which is what the proof is for.
        const copy = { volume, pgdata: join(volume, 'pgdata') };
        await onServer(copy, major, async (client) =>
          client.query('SELECT count(*) FROM pg_class'),
        );
      }
      await rm(volume, { recursive: true, force: true });
      if (trial % 4 === 3) source = await crash(source);
    }
  });
});

/** Ends the server as a failure of power does, and starts it again. */
async function crash(source: Source): Promise<Source> {
  await killAll(source.server);
  await rm(join(source.pgdata, 'postmaster.pid'), { force: true });
  await source.server.start();
  return await sourceOf(source, source.server, join(source.volume, '..'));
}
