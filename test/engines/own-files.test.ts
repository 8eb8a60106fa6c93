import { symlink, writeFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:net';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { OwnFiles } from '../../src/engines/engine.ts';
import { ownFiles as ofMongodb } from '../../src/engines/mongodb/data-dir/own-files.ts';
import { ownFiles as ofPostgres } from '../../src/engines/postgres/data-dir/own-files.ts';
import { ownFiles as ofRedis } from '../../src/engines/redis/data-dir/own-files.ts';
import { Walk } from '../../src/engines/shared/seal/walk.ts';
import { tool } from '../../src/testbed/os.ts';
import { makeFiles, makeVolumeFolder } from '../support/seal.ts';

let outer: string;
let dir: string;
const undo: (() => unknown)[] = [];
beforeEach(async () => {
  const volume = await makeVolumeFolder();
  ({ outer, dir } = volume);
  undo.push(() => volume.remove());
});
afterEach(async () => {
  for (const step of undo.splice(0).toReversed()) await step();
});

const make = (files: readonly string[]): Promise<void> => makeFiles(dir, files);

/** The names that a look would sync. */
async function placesOf(ownFiles: OwnFiles): Promise<string[]> {
  const names: string[] = [];
  for await (const { name } of new Walk({ root: dir, ownFiles, acrossVolumes: false }).places()) {
    names.push(name);
  }
  return names.toSorted();
}

describe('which files are synced', () => {
  it('PostgreSQL: everything outside of base, global, pg_wal, pg_xact and tablespaces, wherever PGDATA is', async () => {
    await make([
      'pgdata/PG_VERSION',
      'pgdata/base/1/1259',
      'pgdata/base/pgsql_tmp/pgsql_tmp1.0',
      'pgdata/global/pg_control',
      'pgdata/pg_wal/000000010000000000000001',
      'pgdata/pg_xact/0000',
      'pgdata/pg_subtrans/0000',
      'pgdata/pg_tblspc/16400/PG_17_202406281/1/2',
      'pgdata/pg_multixact/offsets/0000',
      'pgdata/pg_logical/replorigin_checkpoint',
      'pgdata/postgresql.conf',
      'pgdata/pg_hba.conf',
      'conf/base/server.key',
      'wal/000000010000000000000002',
      '.quiesce/receipt.json',
      'lost+found/#1',
    ]);
    const places = await placesOf(ofPostgres);
    expect(places.filter((name) => !name.endsWith('/'))).toEqual([
      'conf/base/server.key',
      'pgdata/PG_VERSION',
      'pgdata/pg_hba.conf',
      'pgdata/pg_logical/replorigin_checkpoint',
      'pgdata/pg_multixact/offsets/0000',
      'pgdata/postgresql.conf',
    ]);
    expect(places).toEqual(expect.arrayContaining(['./', 'conf/base/', 'pgdata/']));
  });

  it('Redis: configuration, ACL file and nodes.conf, not the AOF or RDB', async () => {
    await make([
      'redis.conf',
      'users.acl',
      'nodes.conf',
      'dump.rdb',
      'temp-1234.rdb',
      'temp-rewriteaof-12.aof',
      'appendonly.aof',
      'appendonlydir/appendonly.aof.1.incr.aof',
      'appendonlydir/appendonly.aof.manifest',
      'temp-settings.conf',
    ]);
    const files = (await placesOf(ofRedis)).filter((name) => !name.endsWith('/'));
    expect(files).toEqual(['nodes.conf', 'redis.conf', 'temp-settings.conf', 'users.acl']);
  });

  it('MongoDB: everything outside of tables and journal', async () => {
    await make([
      'db/WiredTiger',
      'db/WiredTiger.turtle',
      'db/collection-0--1.wt',
      'db/app/index-1--1.wt',
      'db/journal/WiredTigerLog.1',
      'db/diagnostic.data/metrics.1',
      'db/storage.bson',
      'db/keyFile',
      'mongod.conf',
    ]);
    const files = (await placesOf(ofMongodb)).filter((name) => !name.endsWith('/'));
    expect(files).toEqual(['db/keyFile', 'db/storage.bson', 'mongod.conf']);
  });

  it('no sockets and pipes, and of links the files on the same volume, even in circles', async () => {
    await make(['conf/hba.conf']);
    await writeFile(join(outer, 'beside.conf'), 'x');
    await tool('mkfifo', join(dir, 'pipe'));
    const server: Server = createServer().listen(join(dir, 'socket'));
    undo.push(() => server.close());
    await symlink('conf/hba.conf', join(dir, 'hba.conf'));
    await symlink('.', join(dir, 'circle'));
    await symlink(join(outer, 'beside.conf'), join(dir, 'linked.conf'));
    await symlink('/nowhere/at/all', join(dir, 'dangling'));
    await symlink('/dev/null', join(dir, 'device'));
    await symlink('/', join(dir, 'root'));
    expect(await placesOf(async () => false)).toEqual(
      [`${outer}/`, `${outer}/beside.conf`, './', 'conf/', 'conf/hba.conf'].toSorted(),
    );
  });
});
