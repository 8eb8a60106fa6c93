import { appendFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { loadRestore } from '../../../src/engines/index.ts';
import { type PrepareOutcome, prepareRestore } from '../../../src/restore/prepare-restore.ts';
import {
  atomicCopy,
  type Copy,
  freezeBySql,
  onServer,
  type Source,
  startSource,
} from '../../support/copies.ts';
import { replayAll, startStandby } from '../../support/standby-copy.ts';
import { makeTempDir } from '../../support/temp-dir.ts';

interface Removal {
  readonly name: string;
  readonly before: readonly string[];
  /**
   * Each makes WAL that names a page without an image of it, and then removes the page. The server's
   * own recovery after a crash accepts that (xlogutils.c, forget_invalid_pages).
   */
  readonly during: readonly string[];
}

const TABLE = [
  'DROP TABLE IF EXISTS t',
  'CREATE TABLE t AS SELECT i AS a FROM generate_series(1, 20000) i',
];

const removalsOn = (major: number): readonly Removal[] => [
  { name: 'a table is dropped', before: TABLE, during: ['VACUUM t', 'DROP TABLE t'] },
  {
    name: 'a table is emptied, and a checkpoint follows',
    before: TABLE,
    during: ['VACUUM t', 'TRUNCATE t', 'CHECKPOINT'],
  },
  {
    name: 'a table is shortened by vacuum',
    before: TABLE,
    during: ['VACUUM t', 'DELETE FROM t WHERE a > 100', 'VACUUM t'],
  },
  {
    name: 'a hash index is dropped',
    before: [
      'DROP TABLE IF EXISTS h',
      'CREATE TABLE h AS SELECT i % 3 AS a FROM generate_series(1, 5000) i',
      'CREATE INDEX ON h USING hash(a)',
    ],
    during: [`DELETE FROM h WHERE ctid > '(15,0)'`, 'VACUUM h', 'DROP TABLE h'],
  },
  {
    name: 'the template of a new database is dropped',
    before: [
      'DROP DATABASE IF EXISTS one',
      'DROP DATABASE IF EXISTS two',
      'CREATE DATABASE one',
      'CHECKPOINT',
    ],
    during: [
      `CREATE DATABASE two TEMPLATE one ${major >= 15 ? 'STRATEGY file_copy' : ''}`,
      'DROP DATABASE one',
    ],
  },
];

async function prepare({ volume }: Copy): Promise<PrepareOutcome> {
  const request = { dataDir: volume, dryRun: false, scanMs: null, load: loadRestore };
  return await prepareRestore(request, new AbortController().signal);
}

const SETTINGS = { wal_keep_size: '256MB', autovacuum: 'off', max_wal_size: '1GB' };

describe.each([13, 17])('what PostgreSQL %i removes between freeze and snapshot', (major) => {
  let dir: string;
  let primary: Source;
  let standby: Source;

  beforeAll(async () => {
    dir = await makeTempDir();
    // Without checksums, vacuum's records name pages of which WAL has no image.
    primary = await startSource(major, 1, SETTINGS, false);
    await freezeBySql(primary, 'seed');
    const seed = await atomicCopy(primary, join(dir, 'standby'));
    await prepare(seed);
    await rm(join(seed.volume, '.quiesce'), { recursive: true });
    standby = await startStandby(seed, primary);
  });
  afterAll(async () => {
    await standby.stop();
    await primary.stop();
    await rm(dir, { recursive: true, force: true });
  });

  const play = async (statements: readonly string[]): Promise<void> => {
    for (const sql of statements) await primary.admin.query(sql);
  };

  it.each(removalsOn(major))('a sealed copy of a primary starts: $name', async (removal) => {
    await play(removal.before);
    await freezeBySql(primary, 'sealed');
    await play([...removal.during, `DROP TABLE IF EXISTS last`, 'CREATE TABLE last()']);
    const copy = await atomicCopy(primary, join(dir, 'copy'));
    expect(await prepare(copy)).toMatchObject({ outcome: 'prepared', placed: [] });
    await onServer(copy, major, async (client) => client.query('TABLE last'));
  });

  it.each(removalsOn(major))(
    'a sealed copy of a primary starts, with a checkpoint before the removal: $name',
    async ({ before, during }) => {
      await play(before);
      await freezeBySql(primary, 'sealed');
      await play([...during.slice(0, -1), 'CHECKPOINT', ...during.slice(-1)]);
      const copy = await atomicCopy(primary, join(dir, 'copy'));
      expect(await prepare(copy)).toMatchObject({ outcome: 'prepared', placed: [] });
      await onServer(copy, major, async (client) => client.query('SELECT 1'));
    },
  );

  it.each(removalsOn(major))('a sealed copy of a standby starts: $name', async (removal) => {
    await play([...removal.before, 'CHECKPOINT']);
    await replayAll(primary, standby);
    await freezeBySql(standby, 'sealed', { standby: true });
    await play([...removal.during, `DROP TABLE IF EXISTS last`, 'CREATE TABLE last()']);
    await replayAll(primary, standby);
    const copy = await atomicCopy(standby, join(dir, 'copy'));
    expect(await prepare(copy)).toMatchObject({ outcome: 'prepared', placed: ['backup_label'] });
    await rm(join(copy.pgdata, 'standby.signal'));
    await onServer(copy, major, async (client) => client.query('TABLE last'));
  });

  describe('with a recovery from the archive', () => {
    /** Starts a server on a copy that was cut after the rows after `freeze`, of the last of which it has the LSN. */
    const recover = async (target: (lsn: string) => string): Promise<number> => {
      await play(['DROP TABLE IF EXISTS r', 'CREATE TABLE r(a int)']);
      await freezeBySql(primary, 'archive');
      const insert = 'INSERT INTO r SELECT generate_series(1, 1000)';
      await play([insert]);
      const { rows } = await primary.admin.query('SELECT pg_current_wal_lsn()::text AS lsn');
      await play([insert, 'CHECKPOINT']);
      const copy = await atomicCopy(primary, join(dir, 'copy'));
      await prepare(copy);
      await writeFile(join(copy.pgdata, 'recovery.signal'), '');
      await appendFile(
        join(copy.pgdata, 'postgresql.auto.conf'),
        `restore_command = 'false'\n${target(String(rows[0]?.lsn))}`,
      );
      return await onServer(copy, major, async (client) => {
        const { rows } = await client.query<{ rows: number }>(
          'SELECT count(*)::int AS rows FROM r',
        );
        return rows[0]?.rows ?? -1;
      });
    };

    it('a sealed copy has everything up to the snapshot', async () => {
      expect(await recover(() => '')).toBe(2_000);
    });

    it('a sealed copy does not start with a target before the snapshot: its pages are newer', async () => {
      await expect(
        recover((lsn) => `recovery_target_lsn = '${lsn}'\nrecovery_target_action = 'promote'\n`),
      ).rejects.toThrow(/recovery stop point is before consistent recovery point/);
    });
  });
});
