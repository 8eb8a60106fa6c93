import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { access, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
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
  startSource,
} from '../support/copies.ts';
import { makeTempDir, MAJORS } from '../support/postgres.ts';
import { replayAll, startStandby } from '../support/standby-copy.ts';

async function prepare({ volume }: Copy): Promise<PrepareOutcome> {
  const request = { dataDir: volume, dryRun: false, load: loadRestore };
  return await prepareRestore(request, new AbortController().signal);
}

/** A server was killed before it read the label: the next start needs it. */
async function keepsLabel(copy: Copy): Promise<void> {
  const child = execFile('true');
  await once(child, 'exit');
  // As that server leaves it: it writes this file first.
  const started = Math.floor(Date.now() / 1_000) + 5;
  const lines = [child.pid, copy.pgdata, started, 5432, '', '127.0.0.1', ''];
  await writeFile(join(copy.pgdata, 'postmaster.pid'), lines.join('\n'));
  expect(await prepare(copy)).toMatchObject({ outcome: 'already-prepared' });
  await access(join(copy.pgdata, 'backup_label'));
}

describe.each(MAJORS)('prepare-restore of a standby of PostgreSQL %i', (major) => {
  let dir: string;
  let primary: Source;
  let standby: Source;

  beforeEach(async () => {
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

  afterEach(async () => {
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
        await replayAll(primary, standby);
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
    const label = join(copy.pgdata, 'backup_label');
    expect(await readFile(label, 'utf8')).toBe(receipt.restore.backupLabel);
    expect((await stat(label)).uid).toBe((await stat(copy.pgdata)).uid);
    expect((await stat(label)).mode & 0o777).toBe(0o600);
    await keepsLabel(await clone(copy.volume, join(dir, 'killed')));
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
