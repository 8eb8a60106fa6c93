import { access, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { EmbeddedPostgres, freePort } from '../../src/testbed/postgres/server.ts';
import { verifyLedger } from '../../src/testbed/postgres/ledger.ts';
import { WriterLoad } from '../../src/testbed/postgres/load.ts';
import { loadRestore } from '../../src/engines/index.ts';
import { type PrepareOutcome, prepareRestore } from '../../src/restore/prepare-restore.ts';
import {
  atomicCopy,
  clone,
  type Copy,
  freezeBySql,
  loseWalFrom,
  onServer,
  type Source,
  sourceOf,
  startSource,
} from '../support/copies.ts';
import { makeTempDir, MAJORS } from '../support/postgres.ts';

async function prepare({ volume }: Copy): Promise<PrepareOutcome> {
  const request = { dataDir: volume, dryRun: false, load: loadRestore };
  return await prepareRestore(request, new AbortController().signal);
}

describe.each(MAJORS)('prepare-restore of a standby of PostgreSQL %i', (major) => {
  let dir: string;
  let primary: Source;
  let standby: Source;

  beforeAll(async () => {
    dir = await makeTempDir();
    primary = await startSource(major);
    await primary.admin.query(`ALTER SYSTEM SET wal_keep_size = '256MB'`);
    await primary.admin.query('SELECT pg_reload_conf()');
    await freezeBySql(primary, 'seed');
    const copy = await atomicCopy(primary, join(dir, 'standby'));
    await prepare(copy);
    await rm(join(copy.volume, '.quiesce'), { recursive: true });
    standby = await startStandby(copy, primary);
  });

  afterAll(async () => {
    await standby.stop();
    await primary.stop();
    await rm(dir, { recursive: true, force: true });
  });

  it('proves WAL up to the promised position, and the copy starts alone with everything that was replayed', async () => {
    const load = new WriterLoad({
      connection: primary.server.superuser(),
      clients: 2,
      accounts: 50,
    });
    await load.prepare();
    await load.start();
    const acked = await (async () => {
      try {
        await expect.poll(() => load.snapshotAcked().upTo.every((seq) => seq > 20)).toBe(true);
        const snapshot = load.snapshotAcked();
        await primary.admin.query('CHECKPOINT');
        const { rows } = await primary.admin.query<{ lsn: string }>(
          'SELECT pg_current_wal_flush_lsn()::text AS lsn',
        );
        await expect
          .poll(async () => {
            const sql = 'SELECT pg_last_wal_replay_lsn() >= $1::pg_lsn AS there';
            return (await standby.admin.query(sql, [rows[0]?.lsn])).rows[0];
          })
          .toEqual({ there: true });
        await freezeBySql(standby, 'standby-1', { standby: true });
        await primary.admin.query('CHECKPOINT');
        await standby.admin.query('CHECKPOINT');
        return snapshot;
      } finally {
        await load.stop();
      }
    })();
    const copy = await atomicCopy(standby, join(dir, 'copy'));

    const lost = await clone(copy.volume, join(dir, 'lost'));
    const receipt = JSON.parse(await readFile(join(copy.volume, '.quiesce/receipt.json'), 'utf8'));
    const [high, low] = String(receipt.position.lsn).split('/') as [string, string];
    const at = (BigInt(`0x${high}`) << 32n) + BigInt(`0x${low}`) - 64n;
    await loseWalFrom(lost, receipt, at);
    await expect(prepare(lost)).rejects.toMatchObject({ code: 'RESTORE_INCOMPLETE' });

    const outcome = await prepare(copy);
    expect(outcome).toMatchObject({ outcome: 'prepared', placed: ['backup_label'] });
    expect(outcome.proof).toMatchObject({ markerFound: false });
    expect(outcome.notes.join(' ')).toMatch(/remove standby.signal/);
    await rm(join(copy.pgdata, 'standby.signal'));
    await onServer(copy, major, async (client) => {
      const report = await verifyLedger(client, acked);
      expect(report.checks.filter(({ ok }) => !ok)).toEqual([]);
    });
    expect(await prepare(copy)).toMatchObject({ outcome: 'already-prepared' });
  });

  it('refuses the copy of a standby that was promoted', async () => {
    await freezeBySql(standby, 'standby-2', { standby: true, mode: 'crash-consistent' });
    await standby.admin.query('SELECT pg_promote()');
    await standby.admin.query('CHECKPOINT');
    const copy = await atomicCopy(standby, join(dir, 'promoted'));
    await expect(prepare(copy)).rejects.toMatchObject({ code: 'RESTORE_DATA_PAST' });
    await expect(access(join(copy.volume, '.quiesce/prepared.json'))).rejects.toThrow('ENOENT');
  });
});

async function startStandby(copy: Copy, primary: Source): Promise<Source> {
  const port = await freePort();
  const socketDir = `${copy.volume}-s`;
  const config = join(copy.pgdata, 'postgresql.auto.conf');
  const conninfo = `host=127.0.0.1 port=${primary.server.options.port} user=postgres password=postgres`;
  await writeFile(
    config,
    `${await readFile(config, 'utf8')}\nprimary_conninfo = '${conninfo}'\nhot_standby = on\n`,
  );
  await writeFile(join(copy.pgdata, 'standby.signal'), '');
  const server = await EmbeddedPostgres.at({
    major: primary.server.options.major,
    dataDir: copy.pgdata,
    port,
    socketDir,
    settings: { fsync: 'off' },
  });
  await server.start();
  return await sourceOf(copy, server, socketDir);
}
