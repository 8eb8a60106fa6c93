import { rm, stat, truncate } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Client } from 'pg';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { loadRestore } from '../../../src/engines/index.ts';
import { prepareRestore, type PrepareOutcome } from '../../../src/restore/prepare-restore.ts';
import {
  atomicCopy,
  freezeBySql,
  onServer,
  type Source,
  startSource,
} from '../../support/copies.ts';
import { makeTempDir } from '../../support/temp-dir.ts';

const MIB = 1 << 20;

/** WAL stays in memory for as long as a server may keep it there. */
const LAZY = {
  autovacuum: 'off',
  wal_writer_delay: '10s',
  wal_writer_flush_after: '1GB',
  wal_buffers: '64MB',
  max_parallel_maintenance_workers: '0',
};

describe.each([13, 17])('pages that PostgreSQL %i writes past its buffers', (major) => {
  let dir: string;
  let source: Source;

  beforeEach(async () => {
    dir = await makeTempDir();
    source = await startSource(major, 16, LAZY);
  });
  afterEach(async () => {
    await source.stop();
    await rm(dir, { recursive: true, force: true });
  });

  /** Copies as soon as a statement has made a file this much larger, and judges the copy. */
  const copyAmid = async (
    client: Client,
    statement: string,
    relation: string,
    growth: number,
  ): Promise<PrepareOutcome> => {
    const { rows } = await source.admin.query<{ path: string }>(
      `SELECT pg_relation_filepath('${relation}') AS path`,
    );
    const path = join(source.pgdata, rows[0]?.path ?? '');
    const { size } = await stat(path);
    const running = client.query(statement).catch(() => undefined);
    while ((await stat(path)).size < size + growth) await sleep(1);
    const volume = join(dir, 'copy');
    await atomicCopy(source, volume);
    await source.admin.query('SELECT pg_terminate_backend($1)', [
      (client as Client & { processID: number }).processID,
    ]);
    await running;
    const request = { dataDir: volume, dryRun: true, scanMs: null, load: loadRestore };
    return await prepareRestore(request, new AbortController().signal);
  };

  it('are accepted in an index that is built concurrently since before the freeze', async () => {
    await source.admin.query(
      'CREATE TABLE rows AS SELECT i, md5(i::text) pad FROM generate_series(1, 300000) i',
    );
    const older = await source.connect();
    await older.query('BEGIN; LOCK TABLE rows IN ROW EXCLUSIVE MODE');
    const builder = await source.connect();
    // Its row is committed; the build waits for the older transaction.
    const building = builder
      .query('CREATE INDEX CONCURRENTLY built ON rows(pad, i)')
      .catch(() => undefined);
    await expect
      .poll(async () => (await source.admin.query(`SELECT to_regclass('built') AS it`)).rows[0])
      .not.toEqual({ it: null });
    await freezeBySql(source, 'building');
    const outcome = await copyAmid(older, 'COMMIT', 'built', MIB);
    await building;
    expect(outcome).toMatchObject({ outcome: 'prepared' });
  });

  it('may be missing in catalogs that were rewritten after the freeze', async () => {
    await freezeBySql(source, 'rewritten');
    for (const catalog of ['pg_class', 'pg_database']) {
      await source.admin.query(`VACUUM FULL ${catalog}`);
    }
    const copy = await atomicCopy(source, join(dir, 'copy'));
    // 17 leaves the new files to the next checkpoint, so a copy of a block device has empty ones.
    const { rows } = await source.admin.query<{ path: string }>(
      `SELECT pg_relation_filepath(name) AS path FROM unnest('{pg_class,pg_database}'::text[]) name`,
    );
    for (const { path } of rows) await truncate(join(copy.pgdata, path), 0);
    const request = { dataDir: copy.volume, dryRun: false, load: loadRestore };
    const outcome = await prepareRestore(request, new AbortController().signal);
    expect(outcome).toMatchObject({ outcome: 'prepared' });
    await onServer(copy, major, async (client) => {
      const found = await client.query('SELECT count(*)::int > 300 AS all FROM pg_class');
      expect(found.rows).toEqual([{ all: true }]);
    });
  });

  it('are accepted in a hash index that reserves more buckets', async () => {
    await source.admin.query('CREATE TABLE rows(a int); CREATE INDEX hashed ON rows USING hash(a)');
    await source.admin.query('INSERT INTO rows SELECT generate_series(1, 20000)');
    await freezeBySql(source, 'growing');
    const client = await source.connect();
    const statement = 'INSERT INTO rows SELECT generate_series(1, 600000)';
    const outcome = await copyAmid(client, statement, 'hashed', MIB / 4);
    expect(outcome).toMatchObject({ outcome: 'prepared' });
  });
});
