import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import {
  ControlFileError,
  parseControlFile,
  readControlFile,
  readSystemIdentifier,
} from '../../../src/engines/postgres/data-dir/control-file.ts';
import { formatLsn } from '../../../src/engines/postgres/lsn.ts';
import { startServer } from '../../support/postgres.ts';

describe.each([13, 14, 15, 16, 17, 18])('pg_control of PostgreSQL %i', (major) => {
  it('reads as the server itself reports it, running and shut down', async () => {
    const source = await startServer({ major, role: false, initdbArgs: ['-k', '--wal-segsize=4'] });
    try {
      await source.admin.query('CREATE TABLE t AS SELECT generate_series(1, 1000)');
      await source.admin.query('CHECKPOINT');
      const { rows } = await source.admin.query<Record<string, unknown>>(
        `SELECT s.system_identifier::text AS sysid, s.pg_control_version AS version, c.checkpoint_lsn::text, c.redo_lsn::text,
                c.timeline_id, r.min_recovery_end_lsn::text AS min, r.min_recovery_end_timeline AS min_tli,
                r.backup_start_lsn::text AS bstart, r.backup_end_lsn::text AS bend, r.end_of_backup_record_required AS required,
                i.database_block_size AS block, i.wal_block_size AS wal_block, i.bytes_per_wal_segment AS segment, i.data_page_checksum_version AS checksums,
                c.next_xid, c.oldest_xid::text, c.next_multixact_id::text AS next_multi, c.next_multi_offset::text, c.oldest_multi_xid::text AS oldest_multi,
                (SELECT setting::int FROM pg_settings WHERE name = 'segment_size') AS relation_segment
           FROM pg_control_system() s, pg_control_checkpoint() c, pg_control_recovery() r, pg_control_init() i`,
      );
      const control = await readControlFile(source.dataDir);
      expect({
        sysid: control.systemIdentifier,
        version: control.version,
        checkpoint_lsn: formatLsn(control.checkpointLsn),
        redo_lsn: formatLsn(control.redoLsn),
        timeline_id: control.timeline,
        min: formatLsn(control.minRecoveryPoint),
        min_tli: control.minRecoveryPointTimeline,
        bstart: formatLsn(control.backupStartLsn),
        bend: formatLsn(control.backupEndLsn),
        required: control.backupEndRequired,
        block: control.blockSize,
        wal_block: control.walBlockSize,
        segment: control.walSegmentSize,
        checksums: Number(control.dataChecksums),
        next_xid: `${control.xidEpoch}:${control.nextXid}`,
        oldest_xid: String(control.oldestXid),
        next_multi: String(control.nextMulti),
        next_multi_offset: String(control.nextMultiOffset),
        oldest_multi: String(control.oldestMulti),
        relation_segment: control.relationSegmentBlocks,
      }).toEqual(rows[0]);
      expect(control.state).toBe('in production');
      expect(await readSystemIdentifier(source.dataDir)).toBe(control.systemIdentifier);
      await source.server.stop('fast');
      expect((await readControlFile(source.dataDir)).state).toBe('shut down');
      const bytes = await readFile(join(source.dataDir, 'global/pg_control'));
      for (let at = 0; at < 296; at += 1) {
        const damaged = Buffer.from(bytes);
        damaged[at] = (damaged[at] ?? 0) ^ 0x10;
        // The bytes after the checksum, which is 4 bytes later in 18, mean nothing.
        if (at >= 292 && major < 18) continue;
        expect(() => parseControlFile(damaged), `byte ${at}`).toThrow(ControlFileError);
      }
      expect(() => parseControlFile(bytes.subarray(0, 200))).toThrow(/cut short/);
    } finally {
      await source.stop();
    }
  });
});
