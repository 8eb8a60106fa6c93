import { execFile } from 'node:child_process';
import { copyFile, readdir, readFile, rm, stat, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { loadRestore } from '../../../src/engines/index.ts';
import { prepareRestore, type PrepareOutcome } from '../../../src/restore/prepare-restore.ts';
import {
  atomicCopy,
  clone,
  type Copy,
  copyAt,
  freezeBySql,
  overwrite as overwriteIn,
  type Source,
  startSource,
} from '../../support/copies.ts';
import { makeTempDir } from '../../support/temp-dir.ts';

const run = promisify(execFile);

const BLOCK = 8192;
const GIB = 2 ** 30;

async function touch({ volume }: Copy, time: string): Promise<void> {
  await run('find', [volume, '-exec', 'touch', '-h', '-d', time, '{}', '+']);
}

async function prepare(copy: Copy): Promise<PrepareOutcome> {
  const request = { dataDir: copy.volume, dryRun: true, load: loadRestore };
  return await prepareRestore(request, new AbortController().signal);
}

/** The copies share their files, so one that is to change gets a file of its own first. */
async function own(path: string): Promise<string> {
  const before = await readFile(path);
  await rm(path);
  await writeFile(path, before);
  return path;
}

async function cut(path: string, bytes: number): Promise<void> {
  await truncate(await own(path), bytes);
}

async function overwrite(path: string, at: number, bytes: Buffer): Promise<void> {
  await overwriteIn(await own(path), at, bytes);
}

/** Makes blocks of a file zero. */
async function zero(path: string, first: number, count: number): Promise<void> {
  await overwrite(path, first * BLOCK, Buffer.alloc(count * BLOCK));
}

async function flip(path: string, at: number): Promise<void> {
  const byte = (await readFile(path))[at] ?? 0;
  await overwrite(path, at, Buffer.from([byte ^ 0x55]));
}

async function grow(path: string, bytes: number): Promise<void> {
  await cut(path, (await stat(path)).size + bytes);
}

const TABLES = `
  CREATE TABLE seen(a int, pad text) WITH (autovacuum_enabled = off);
  INSERT INTO seen SELECT i, repeat(md5(i::text), 8) FROM generate_series(1, 6000) i;
  VACUUM seen;
  CREATE TABLE indexed(a int PRIMARY KEY, pad text) WITH (autovacuum_enabled = off);
  INSERT INTO indexed SELECT i, repeat(md5(i::text), 8) FROM generate_series(1, 9000) i;
  CREATE INDEX twice ON indexed ((a % 7));
  CREATE TABLE plain(a int, pad text) WITH (autovacuum_enabled = off);
  INSERT INTO plain SELECT i, repeat(md5(i::text), 8) FROM generate_series(1, 9000) i;
  CREATE TABLE late(a int, pad text) WITH (autovacuum_enabled = off);
  INSERT INTO late SELECT i, repeat(md5(i::text), 8) FROM generate_series(1, 6000) i;
  CREATE TABLE shared(a int) WITH (autovacuum_enabled = off);
  INSERT INTO shared SELECT generate_series(1, 10);
  CREATE UNLOGGED TABLE forgotten AS SELECT generate_series(1, 5000) i;
  CREATE TABLE untouched(a int) WITH (autovacuum_enabled = off);
  INSERT INTO untouched SELECT generate_series(1, 3000);
  CREATE SEQUENCE numbers;
  SELECT count(*) FROM seen, (SELECT count(*) FROM indexed) i, (SELECT count(*) FROM plain) p, (SELECT count(*) FROM late) l;
  SELECT pg_create_physical_replication_slot('kept', true);
`;

describe.each([13, 17])('damage inside a copy of PostgreSQL %i', (major) => {
  let dir: string;
  let source: Source;
  let frozen: Copy;
  const paths = new Map<string, string>();
  let clones = 0;

  const fresh = async (): Promise<Copy> => {
    clones += 1;
    const volume = join(dir, `c${clones}`);
    await run('cp', ['-al', frozen.volume, volume]);
    return copyAt(volume);
  };
  const fileOf = (copy: Copy, relation: string): string =>
    join(copy.pgdata, paths.get(relation) ?? '');
  /** The answer to a copy with this damage, and that its times have no part in it. */
  const answer = async (damage: (copy: Copy) => Promise<unknown>): Promise<string> => {
    const copy = await fresh();
    await damage(copy);
    const say = async (): Promise<string> =>
      await prepare(copy).then(
        ({ message, notes }) => `prepared: ${[message, ...notes].join(' ')}`,
        ({ code, message }: { code: string; message: string }) => `${code}: ${message}`,
      );
    await touch(copy, 'now');
    const first = await say();
    await touch(copy, '@0');
    expect(await say(), 'with all times at 0').toBe(first);
    await rm(copy.volume, { recursive: true });
    return first;
  };

  beforeAll(async () => {
    dir = await makeTempDir();
    source = await startSource(major, 1, { max_prepared_transactions: '5', autovacuum: 'off' });
    for (const statement of TABLES.split(';\n')) {
      if (statement.trim() !== '') await source.admin.query(statement);
    }
    const names = [
      'seen',
      'indexed',
      'indexed_pkey',
      'twice',
      'plain',
      'late',
      'numbers',
      'forgotten',
      'untouched',
      'pg_class',
    ];
    for (const name of names) {
      const { rows } = await source.admin.query<{ path: string }>(
        `SELECT pg_relation_filepath('${name}') AS path`,
      );
      paths.set(name, rows[0]?.path ?? '');
    }
    // Two transactions that lock the same row make a multixact.
    const other = await source.connect();
    for (let row = 1; row <= 4; row += 1) {
      for (const client of [source.admin, other]) {
        await client.query('BEGIN');
        await client.query(`SELECT a FROM shared WHERE a = ${row} FOR KEY SHARE`);
      }
      for (const client of [source.admin, other]) await client.query('COMMIT');
    }
    await source.admin.query('BEGIN');
    await source.admin.query('INSERT INTO shared VALUES (100)');
    await source.admin.query(`PREPARE TRANSACTION 'waiting'`);
    await freezeBySql(source, 'inside-1');
    // WAL names the last block of one table only.
    await source.admin.query('UPDATE late SET a = -a WHERE a = 5990');
    await source.admin.query('CREATE TABLE dropped AS SELECT generate_series(1, 5000) i');
    await source.admin.query('DROP TABLE dropped');
    await source.admin.query('SELECT pg_switch_wal()');
    frozen = await atomicCopy(source, join(dir, 'frozen'));
  });

  afterAll(async () => {
    await source.stop();
    await rm(dir, { recursive: true, force: true });
  });

  const refused: [string, RegExp, (copy: Copy) => Promise<unknown>][] = [
    [
      'zeros in a table with a visibility map',
      /its visibility map knows rows in block 60/,
      (copy) => zero(fileOf(copy, 'seen'), 60, 50),
    ],
    [
      'one zero page in it',
      /its visibility map knows rows in block 7\b/,
      (copy) => zero(fileOf(copy, 'seen'), 7, 1),
    ],
    [
      'its last page missing',
      /has \d+ blocks, but its visibility map/,
      async (copy) => cut(fileOf(copy, 'seen'), (await stat(fileOf(copy, 'seen'))).size - BLOCK),
    ],
    [
      'zeros in a table with an index',
      /has zeros there, but an index points at block 100/,
      (copy) => zero(fileOf(copy, 'indexed'), 100, 1),
    ],
    [
      'a table with an index, cut',
      /has 200 blocks, but an index points at block 200/,
      (copy) => cut(fileOf(copy, 'indexed'), 200 * BLOCK),
    ],
    [
      'zeros in a table with neither',
      /its free space map knows rows in \d+ such blocks/,
      (copy) => zero(fileOf(copy, 'plain'), 100, 100),
    ],
    [
      'zeros in an index',
      /has zeros there, but an index points at block 10\b/,
      (copy) => zero(fileOf(copy, 'indexed_pkey'), 10, 4),
    ],
    [
      'zeros in an index with many rows to a key',
      /but an index points at block/,
      (copy) => zero(fileOf(copy, 'twice'), 3, 1),
    ],
    [
      'an index, cut',
      /has 12 blocks, but an index points at block/,
      (copy) => cut(fileOf(copy, 'indexed_pkey'), 12 * BLOCK),
    ],
    [
      'the first page of an index of zeros',
      /block 0, of index indexed_pkey \(\d+\), is zero/,
      (copy) => zero(fileOf(copy, 'indexed_pkey'), 0, 1),
    ],
    [
      'an empty index',
      /the file of index indexed_pkey \(\d+\), is empty/,
      (copy) => cut(fileOf(copy, 'indexed_pkey'), 0),
    ],
    [
      'an empty sequence',
      /sequence numbers \(\d+\), is empty/,
      (copy) => cut(fileOf(copy, 'numbers'), 0),
    ],
    [
      'a table cut within a page',
      /ends within block \d+, of which 8092 of 8192 bytes/,
      async (copy) => cut(fileOf(copy, 'plain'), (await stat(fileOf(copy, 'plain'))).size - 100),
    ],
    [
      'half a page of zeros',
      /does not have the checksum that it says/,
      (copy) => overwrite(fileOf(copy, 'plain'), 40 * BLOCK + 4096, Buffer.alloc(4096)),
    ],
    [
      'a flipped byte in a table',
      /table plain \(\d+\), does not have the checksum/,
      (copy) => flip(fileOf(copy, 'plain'), 50 * BLOCK + 8000),
    ],
    [
      'the header of a page overwritten',
      /has a header that no server accepts|has content, but no page/,
      (copy) => overwrite(fileOf(copy, 'plain'), 50 * BLOCK + 10, Buffer.alloc(8, 0xff)),
    ],
    [
      'a missing table',
      /the file of table untouched \(\d+\), is missing/,
      (copy) => rm(fileOf(copy, 'untouched')),
    ],
    [
      'a missing index',
      /the file of index twice \(\d+\), is missing/,
      (copy) => rm(fileOf(copy, 'twice')),
    ],
    [
      'a missing segment between others',
      /\.1 is missing, but .*\.2 has pages from before/,
      async (copy) => {
        const file = fileOf(copy, 'plain');
        await copyFile(file, `${file}.2`);
        await cut(file, GIB);
      },
    ],
    [
      'a segment before the last that is short',
      /has \d+ bytes, less than a segment of 1073741824, but .*\.1 has pages/,
      (copy) => copyFile(fileOf(copy, 'plain'), `${fileOf(copy, 'plain')}.1`),
    ],
    [
      'a table shorter than WAL needs it',
      /has 100 blocks, but WAL changes block \d+/,
      (copy) => cut(fileOf(copy, 'late'), 100 * BLOCK),
    ],
    [
      'pg_xact of zeros',
      /pg_xact\/0000 begins with zeros/,
      (copy) => zero(join(copy.pgdata, 'pg_xact/0000'), 0, 1),
    ],
    [
      'zeros where pg_xact has later transactions',
      /pg_xact\/0000 does not know that transaction \d+ committed/,
      (copy) => overwrite(join(copy.pgdata, 'pg_xact/0000'), 100, Buffer.alloc(BLOCK - 100)),
    ],
    [
      'pg_xact/0000 cut',
      /pg_xact\/0000 is cut short/,
      (copy) => cut(join(copy.pgdata, 'pg_xact/0000'), 4096),
    ],
    [
      'pg_xact/0000 missing',
      /pg_xact\/0000 is missing/,
      (copy) => rm(join(copy.pgdata, 'pg_xact/0000')),
    ],
    [
      'multixacts cut',
      /pg_multixact\/offsets\/0000 is cut short/,
      (copy) => cut(join(copy.pgdata, 'pg_multixact/offsets/0000'), 100),
    ],
    [
      'multixacts of zeros',
      /pg_multixact\/offsets\/0000 has zeros at its end/,
      (copy) => zero(join(copy.pgdata, 'pg_multixact/offsets/0000'), 0, 1),
    ],
    [
      'members of multixacts of zeros',
      /pg_multixact\/members\/0000 has zeros at its end/,
      (copy) => zero(join(copy.pgdata, 'pg_multixact/members/0000'), 0, 1),
    ],
    [
      'members of multixacts missing',
      /pg_multixact\/members\/0000 is missing/,
      (copy) => rm(join(copy.pgdata, 'pg_multixact/members/0000')),
    ],
    [
      'the global map of files damaged',
      /global\/pg_filenode\.map is damaged/,
      (copy) => flip(join(copy.pgdata, 'global/pg_filenode.map'), 20),
    ],
    [
      'the map of a database cut',
      /pg_filenode\.map is cut short/,
      async (copy) => cut(join(copy.pgdata, await databaseOf(paths), 'pg_filenode.map'), 300),
    ],
    [
      'the PG_VERSION of a database missing',
      /PG_VERSION of database postgres \(\d+\) is missing/,
      async (copy) => rm(join(copy.pgdata, await databaseOf(paths), 'PG_VERSION')),
    ],
    [
      'a catalog emptied',
      /the catalog pg_class of database postgres/,
      (copy) => cut(fileOf(copy, 'pg_class'), 0),
    ],
    [
      'a replication slot damaged',
      /pg_replslot\/kept\/state, a replication slot, is damaged/,
      (copy) => flip(join(copy.pgdata, 'pg_replslot/kept/state'), 40),
    ],
    [
      'a prepared transaction cut',
      /a prepared transaction, is cut short/,
      async (copy) => {
        const [name = ''] = await readdir(join(copy.pgdata, 'pg_twophase'));
        await cut(join(copy.pgdata, 'pg_twophase', name), 60);
      },
    ],
    [
      'replication origins damaged',
      /replorigin_checkpoint is damaged/,
      async (copy) => {
        const path = join(copy.pgdata, 'pg_logical/replorigin_checkpoint');
        await rm(path, { force: true });
        await writeFile(path, Buffer.alloc(40, 7));
      },
    ],
  ];
  it.each(refused)('is refused: %s', async (_name, sentence, damage) => {
    const text = await answer(damage);
    expect(text).toMatch(/^RESTORE_INCOMPLETE: The copy is damaged: /);
    expect(text).toMatch(sentence);
  });

  it.each(['sealed', 'crash-consistent'] as const)(
    'is refused in a page that only WAL before the last checkpoint names: %s',
    async (mode) => {
      await freezeBySql(source, mode, { mode });
      const { rows } = await source.admin.query<{ block: number }>(
        `INSERT INTO late VALUES (7000, 'x') RETURNING (ctid::text::point)[0]::int AS block`,
      );
      await source.admin.query('CHECKPOINT');
      const copy = await atomicCopy(source, join(dir, mode));
      expect(await prepare(copy)).toMatchObject({ outcome: 'prepared' });
      await flip(fileOf(copy, 'late'), (rows[0]?.block ?? 0) * BLOCK + 8000);
      await expect(prepare(copy)).rejects.toThrow(/table late \(\d+\), does not have the checksum/);
    },
  );

  const legal: [string, RegExp, (copy: Copy) => Promise<unknown>][] = [
    ['nothing', /none of (\d+) of \1 pages is ahead of it or damaged\./, async () => undefined],
    [
      'zero pages at the end of a table and of an index, as a crash leaves them',
      /7 pages are zero: a server leaves such pages/,
      async (copy) => {
        await grow(fileOf(copy, 'plain'), 4 * BLOCK);
        await grow(fileOf(copy, 'twice'), 3 * BLOCK);
      },
    ],
    [
      'part of a zero page at the end, as a full disk leaves it',
      /damaged\./,
      (copy) => grow(fileOf(copy, 'plain'), 4096),
    ],
    [
      'an empty segment, as a cut table leaves it',
      /damaged\./,
      (copy) => writeFile(`${fileOf(copy, 'plain')}.1`, ''),
    ],
    ['no visibility map', /damaged\./, (copy) => rm(`${fileOf(copy, 'seen')}_vm`)],
    ['a visibility map of zeros', /damaged\./, (copy) => zero(`${fileOf(copy, 'seen')}_vm`, 0, 1)],
    ['no free space map', /damaged\./, (copy) => rm(`${fileOf(copy, 'plain')}_fsm`)],
    [
      'a damaged unlogged table',
      /damaged\./,
      (copy) => overwrite(fileOf(copy, 'forgotten'), 0, Buffer.alloc(2 * BLOCK, 0x77)),
    ],
    [
      'files that no catalog names',
      /damaged\./,
      (copy) =>
        writeFile(join(copy.pgdata, 'base/1/999999'), Buffer.alloc(BLOCK, 0x11).fill(0, 0, 8)),
    ],
    [
      'a slot that was being dropped',
      /damaged\./,
      (copy) =>
        clone(join(copy.pgdata, 'pg_replslot/kept'), join(copy.pgdata, 'pg_replslot/gone.tmp')),
    ],
  ];
  it.each(legal)('is not seen in %s', async (_name, sentence, change) => {
    const text = await answer(change);
    expect(text).toMatch(/^prepared: /);
    expect(text).toMatch(sentence);
  });
});

/** The folder of the database of the tests. */
async function databaseOf(paths: ReadonlyMap<string, string>): Promise<string> {
  return (paths.get('plain') ?? '').split('/').slice(0, 2).join('/');
}
