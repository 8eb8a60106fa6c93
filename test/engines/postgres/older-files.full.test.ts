import { copyFile, readdir, rename, rm, stat, truncate } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { loadRestore } from '../../../src/engines/index.ts';
import { prepareRestore } from '../../../src/restore/prepare-restore.ts';
import {
  atomicCopy,
  type Copy,
  freezeBySql,
  type Source,
  startSource,
} from '../../support/copies.ts';
import { makeTempDir } from '../../support/temp-dir.ts';

const FILL = `SELECT i, md5(i::text), point(i, i) FROM generate_series`;

const BEFORE = [
  'CREATE TABLE t(a int, pad text, place point)',
  `INSERT INTO t ${FILL}(1, 2000) i`,
  'CREATE TABLE wide(a int, pad text)',
  'ALTER TABLE wide ALTER COLUMN pad SET STORAGE EXTERNAL',
  `INSERT INTO wide SELECT i, repeat('x', 5000) FROM generate_series(1, 20) i`,
  'CREATE INDEX of_btree ON t(a)',
  'CREATE INDEX of_hash ON t USING hash(a)',
  'CREATE INDEX of_gin ON t USING gin((ARRAY[a, a % 7]))',
  'CREATE INDEX of_gist ON t USING gist(place)',
  'CREATE INDEX of_spgist ON t USING spgist(pad)',
  'CREATE INDEX of_brin ON t USING brin(a)',
  'CREATE SEQUENCE numbers',
  'CREATE TABLE packed(a int)',
  'INSERT INTO packed SELECT generate_series(1, 10000)',
  'CREATE TABLE quiet(a int)',
  'INSERT INTO quiet SELECT generate_series(1, 10000)',
  'CREATE TABLE locked AS SELECT generate_series(1, 10) a',
  'CREATE TABLE shared(a int)',
];

const DURING = [
  'UPDATE t SET a = -a WHERE a % 3 = 0',
  `INSERT INTO t ${FILL}(2001, 4000) i`,
  `INSERT INTO wide SELECT i, repeat('y', 5000) FROM generate_series(1, 20) i`,
  `SELECT nextval('numbers') FROM generate_series(1, 70)`,
  'VACUUM quiet',
  'VACUUM FULL packed',
  'VACUUM FULL pg_class',
  'CREATE TABLE fresh AS SELECT generate_series(1, 5000) a',
  'BEGIN; INSERT INTO shared VALUES (1)',
  `PREPARE TRANSACTION 'waits'`,
];

const FILES =
  't toast of_btree of_hash of_gin of_gist of_spgist of_brin numbers pg_attribute'.split(' ');

const SETTINGS = {
  autovacuum: 'off',
  max_prepared_transactions: '5',
  max_wal_size: '1GB',
  wal_keep_size: '512MB',
};

/** A file of the copy that was read before the checkpoint, and all others after it. */
describe.each([13, 17])('a copy of PostgreSQL %i with one older file', (major) => {
  let dir: string;
  let source: Source;
  let early: Copy;
  let late: Copy;
  const paths = new Map<string, string>();

  beforeAll(async () => {
    dir = await makeTempDir();
    source = await startSource(major, 1, SETTINGS);
    const run = async (statements: readonly string[]): Promise<void> => {
      for (const sql of statements) await source.admin.query(sql);
    };
    await run(BEFORE);
    await freezeBySql(source, 'older');
    early = await atomicCopy(source, join(dir, 'early'));
    await run(DURING);
    await lockTwice(source);
    await run(['CHECKPOINT', 'INSERT INTO shared VALUES (2)']);
    late = await atomicCopy(source, join(dir, 'late'));
    const { rows } = await source.admin.query<{ name: string; path: string }>(
      `SELECT relname AS name, pg_relation_filepath(oid) AS path FROM pg_class WHERE relkind IN ('r', 'i', 'S')
       UNION ALL SELECT 'toast', pg_relation_filepath(reltoastrelid) FROM pg_class WHERE relname = 'wide'`,
    );
    for (const { name, path } of rows) paths.set(name, path);
  });
  afterAll(async () => {
    await source.stop();
    await rm(dir, { recursive: true, force: true });
  });

  const prepare = async (): Promise<string> => {
    const request = { dataDir: late.volume, dryRun: true, scanMs: 1, load: loadRestore };
    return await prepareRestore(request, new AbortController().signal).then(
      ({ outcome }) => outcome,
      (error: { code: string; message: string }) => `${error.code} ${error.message}`,
    );
  };
  /** Prepares the copy with a file that was changed, and puts the file back. */
  const changed = async (
    name: string,
    change: (file: string) => Promise<void>,
  ): Promise<string> => {
    const file = join(late.pgdata, name);
    await rename(file, `${file}-kept`);
    try {
      await copyFile(`${file}-kept`, file);
      await change(file);
      return await prepare();
    } finally {
      await rename(`${file}-kept`, file);
    }
  };
  const older = async (name: string): Promise<string> =>
    await changed(name, async (file) => copyFile(join(early.pgdata, name), file));
  const BEHIND = /^RESTORE_INCOMPLETE The copy is behind the checkpoint in pg_control/;

  it('is accepted without one', async () => {
    expect(await prepare()).toBe('prepared');
  });

  it.each(FILES)('is refused: %s', async (name) => {
    expect(await older(paths.get(name) ?? '')).toMatch(BEHIND);
  });

  it('is refused without a visibility map, and accepted with a file that was not changed', async () => {
    const gone = async (file: string): Promise<void> => rm(file);
    expect(await changed(`${paths.get('quiet')}_vm`, gone)).toMatch(BEHIND);
    expect(await older(paths.get('pg_database') ?? '')).toBe('prepared');
  });

  it.each(['packed', 'fresh'])(
    'is refused where a file made since the freeze is cut: %s',
    async (name) => {
      const cut = async (file: string): Promise<void> =>
        truncate(file, Math.floor((await stat(file)).size / 2 / 8192) * 8192);
      expect(await changed(paths.get(name) ?? '', cut)).toMatch(BEHIND);
    },
  );

  it.each(['pg_xact/0000', 'pg_multixact/offsets/0000', 'pg_multixact/members/0000'])(
    'is refused: %s',
    async (name) => {
      expect(await older(name)).toMatch(new RegExp(`${BEHIND.source}.*${name}`));
    },
  );

  it('is refused without a prepared transaction', async () => {
    const [name = ''] = await readdir(join(late.pgdata, 'pg_twophase'));
    const outcome = await changed(`pg_twophase/${name}`, async (file) => rm(file));
    expect(outcome).toMatch(new RegExp(`${BEHIND.source}.*prepared transaction`));
  });

  it('is refused with the file of a catalog that was replaced', async () => {
    const { rows } = await source.admin.query<{ oid: number }>(
      `SELECT oid FROM pg_database WHERE datname = 'postgres'`,
    );
    const name = `base/${rows[0]?.oid}/pg_filenode.map`;
    expect(await older(name)).toMatch(new RegExp(`${BEHIND.source}.*${name}`));
  });
});

/** Makes a multixact: two transactions lock the same row. */
async function lockTwice(source: Source): Promise<void> {
  const [one, two] = [await source.connect(), await source.connect()];
  for (const client of [one, two]) {
    await client.query('BEGIN; SELECT a FROM locked WHERE a = 1 FOR SHARE');
  }
  for (const client of [one, two]) {
    await client.query('INSERT INTO shared VALUES (3); COMMIT');
    await client.end();
  }
}
