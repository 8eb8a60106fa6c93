import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { readControlFile } from '../../../src/engines/postgres/data-dir/control-file.ts';
import { parseLsn } from '../../../src/engines/postgres/lsn.ts';
import { RM_DBASE } from '../../../src/engines/postgres/wal/format.ts';
import { locateWal } from '../../../src/engines/postgres/wal/prove-marker.ts';
import { walkWal } from '../../../src/engines/postgres/wal/walk.ts';
import { WrittenPages } from '../../../src/engines/postgres/wal/written-pages.ts';
import { atomicCopy, freezeBySql, startSource } from '../../support/copies.ts';
import { makeTempDir } from '../../support/temp-dir.ts';

/** A drop throws away the pages in memory before its own record: until then the files stay as they are. */
it.each([13, 14, 15, 16, 17, 18])(
  'the drop of a database is known from the moment it begins: PostgreSQL %i',
  async (major) => {
    const dir = await makeTempDir();
    const source = await startSource(major, 16, { autovacuum: 'off', wal_keep_size: '256MB' });
    try {
      const names = ['first', 'second', 'third'];
      for (const name of names) await source.admin.query(`CREATE DATABASE ${name}`);
      const { rows } = await source.admin.query<{ oid: number; datname: string }>(
        'SELECT oid, datname FROM pg_database WHERE datname = ANY($1)',
        [names],
      );
      const oids = new Map(rows.map(({ oid, datname }) => [datname, oid]));
      const { position } = await freezeBySql(source, 'drop');
      const now = 'SELECT pg_current_wal_lsn()::text AS lsn';
      const lsn = (await source.admin.query<{ lsn: string }>(now)).rows[0]?.lsn ?? '';
      // The first change of a page after a checkpoint has an image of it, the second has data.
      await source.admin.query('DROP DATABASE first');
      await source.admin.query('DROP DATABASE second');
      await source.admin.query('VACUUM (FREEZE)');
      const copy = await atomicCopy(source, join(dir, 'copy'));
      const { systemIdentifier, walSegmentSize, blockSize } = await readControlFile(copy.pgdata);
      const identity = { systemIdentifier, segmentSize: walSegmentSize };
      const location = await locateWal(copy.pgdata, { ...identity, timeline: position.timeline });
      const from = Number(parseLsn(position.startLsn));
      // The checkpoint in pg_control may have begun before the drop, or after it threw the pages away.
      for (const redo of [Number(parseLsn(lsn)), Infinity]) {
        const pages = new WrittenPages({ from, redo, major, blockSize });
        const visit = (record: Parameters<WrittenPages['see']>[0]): boolean => {
          if (record.rmgr !== RM_DBASE) pages.see(record);
          return false;
        };
        await walkWal(location, { start: from, visit }, new AbortController().signal);
        const dropped = names.filter((name) => pages.isDropped(oids.get(name) ?? -1));
        expect(dropped).toEqual(['first', 'second']);
      }
    } finally {
      await source.stop();
      await rm(dir, { recursive: true, force: true });
    }
  },
);
