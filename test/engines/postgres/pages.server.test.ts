import { mkdir, rm, symlink, utimes, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import {
  findPageAhead,
  type PageScanResult,
} from '../../../src/engines/postgres/data-dir/page-scan.ts';
import { copyAt, startSource } from '../../support/copies.ts';
import { makeTempDir } from '../../support/postgres.ts';

const BLOCK = 8192;
const never = new AbortController().signal;

/** Pages whose headers carry these LSNs, as 64-bit positions. */
function pages(...lsns: number[]): Buffer {
  const bytes = Buffer.alloc(lsns.length * BLOCK, 0x5a);
  lsns.forEach((lsn, index) => {
    bytes.writeUInt32LE(Math.floor(lsn / 2 ** 32), index * BLOCK);
    bytes.writeUInt32LE(lsn % 2 ** 32, index * BLOCK + 4);
  });
  return bytes;
}

describe('the search for a page ahead of WAL', () => {
  const WAL_END = 3 * 2 ** 32 + 1000;
  let dir: string;

  beforeEach(async () => {
    dir = await makeTempDir();
  });
  afterEach(async () => rm(dir, { recursive: true, force: true }));

  const put = async (name: string, content: Buffer): Promise<void> => {
    await mkdir(dirname(join(dir, name)), { recursive: true });
    await writeFile(join(dir, name), content);
  };
  const scan = async (modifiedSince = new Date(0)): Promise<PageScanResult> =>
    await findPageAhead(dir, { walEnd: WAL_END, modifiedSince, blockSize: BLOCK }, never);

  it('finds the furthest page in any database, segment, tablespace and visibility map', async () => {
    await mkdir(join(dir, 'elsewhere/PG_17_202406281'), { recursive: true });
    await mkdir(join(dir, 'pg_tblspc'));
    await symlink(join(dir, 'elsewhere'), join(dir, 'pg_tblspc/16400'));
    const places = [
      'global/1262',
      'base/5/16384',
      'base/5/16384.1',
      'base/5/16384_vm',
      'pg_tblspc/16400/PG_17_202406281/5/20000',
    ];
    for (const [index, place] of places.entries()) {
      await put(place, pages(0, WAL_END, WAL_END + 1 + index));
    }
    expect(await scan()).toEqual({
      worst: { file: places.at(-1), block: 2, lsn: WAL_END + places.length },
      pagesAhead: places.length,
      files: places.length,
      pages: 3 * places.length,
    });
  });

  it('accepts a page at the end of WAL, and a new page without an LSN', async () => {
    await put('base/5/16384', pages(WAL_END, 0, 1));
    expect(await scan()).toMatchObject({ worst: null, pagesAhead: 0, pages: 3 });
  });

  it('skips unlogged and temporary relations, free space maps and other files', async () => {
    const ahead = pages(WAL_END + 8);
    for (const name of ['16390', '16390_init', '16390.1', '16390_vm', 't3_16400', '16384_fsm']) {
      await put(`base/5/${name}`, ahead);
    }
    await put('base/5/pg_filenode.map', ahead);
    await put('base/pgsql_tmp/16384', ahead);
    expect(await scan()).toMatchObject({ worst: null, files: 0 });
  });

  it('skips files that were not modified since, and half a page at the end', async () => {
    await put('base/5/16384', pages(WAL_END + 8));
    await utimes(join(dir, 'base/5/16384'), 1_000, 1_000);
    expect(await scan(new Date(2_000_000))).toMatchObject({ worst: null, files: 0 });
    expect(await scan(new Date(500_000))).toMatchObject({ pagesAhead: 1 });
    await put('base/5/16384', pages(WAL_END + 8).subarray(0, 100));
    expect(await scan()).toMatchObject({ worst: null, pages: 0 });
  });

  it('reads files larger than its buffer to the end', async () => {
    const lsns = Array.from({ length: 700 }, () => 1);
    await put('base/5/16384', pages(...lsns, WAL_END + 8));
    expect(await scan()).toMatchObject({ worst: { block: 700 }, pages: 701 });
  });
});

describe.each([13, 18])('pages of PostgreSQL %i', (major) => {
  it('are never ahead of WAL on a server that was shut down', async () => {
    const source = await startSource(major);
    try {
      await source.admin.query('CREATE UNLOGGED TABLE u AS SELECT generate_series(1, 5000) i');
      await source.admin.query(
        'CREATE TABLE t AS SELECT i, point(i, i) p FROM generate_series(1, 5000) i',
      );
      await source.admin.query('CREATE INDEX ON t USING gist(p); CREATE INDEX ON u USING hash(i)');
      await source.admin.query('VACUUM FREEZE t');
      await source.admin.query('CHECKPOINT');
      const { rows } = await source.admin.query<{ end: string }>(
        `SELECT (pg_current_wal_flush_lsn() - '0/0'::pg_lsn)::text AS end`,
      );
      await source.server.stop('immediate');
      const { pgdata } = copyAt(source.volume);
      const request = {
        walEnd: Number(rows[0]?.end),
        modifiedSince: new Date(0),
        blockSize: BLOCK,
      };
      const found = await findPageAhead(pgdata, request, never);
      expect(found).toMatchObject({ worst: null, pagesAhead: 0 });
      expect(found.pages).toBeGreaterThan(500);
      // With an earlier end of WAL, the newest pages are ahead of it.
      const short = { ...request, walEnd: request.walEnd - 200_000 };
      expect((await findPageAhead(pgdata, short, never)).pagesAhead).toBeGreaterThan(0);
    } finally {
      await source.stop();
    }
  });
});
