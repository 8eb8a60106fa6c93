import { execFile } from 'node:child_process';
import { once } from 'node:events';
import {
  chmod,
  mkdir,
  readdir,
  readFile,
  rename,
  rm,
  stat,
  symlink,
  writeFile,
} from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { run } from '../../src/commands/prepare-restore.ts';
import { verifyLedger } from '../../src/testbed/postgres/ledger.ts';
import { loadRestore } from '../../src/engines/index.ts';
import { readControlFile } from '../../src/engines/postgres/data-dir/control-file.ts';
import { parseLsn } from '../../src/engines/postgres/lsn.ts';
import { preparedRecordSchema } from '../../src/engines/postgres/receipt.ts';
import { type PrepareOutcome, prepareRestore } from '../../src/restore/prepare-restore.ts';
import {
  atomicCopy,
  clone,
  type Copy,
  copyAt,
  fingerprintOf,
  freezeBySql,
  type Frozen,
  frozenUnderLoad,
  loseWalFrom,
  onServer,
  overwrite,
  PGDATA,
  type PostgresReceipt,
  segmentOf,
  type Source,
  startSource,
  writeReceipt,
} from '../support/copies.ts';
import { makeTempDir, MAJORS } from '../support/postgres.ts';

async function prepare(copy: { volume: string }, dryRun = false): Promise<PrepareOutcome> {
  const request = { dataDir: copy.volume, dryRun, load: loadRestore };
  return await prepareRestore(request, new AbortController().signal);
}

async function deadPid(): Promise<number | undefined> {
  const child = execFile('true');
  await once(child, 'exit');
  return child.pid;
}

interface Refusal {
  readonly code: string;
  readonly message: string;
}

/** The outcome or refusal of a run that must not have written anything. */
async function refused(copy: Copy): Promise<Refusal> {
  const before = await fingerprintOf(copy.volume);
  const outcome = await prepare(copy).then(
    (result) => ({ code: result.outcome, message: result.message }),
    (error: Refusal) => ({ code: error.code, message: error.message }),
  );
  expect(await fingerprintOf(copy.volume), 'nothing was written').toBe(before);
  return outcome;
}

/** The first record after the marker's commit begins here, or a little later. */
const afterMarker = (receipt: PostgresReceipt): bigint =>
  parseLsn(receipt.position.markerLsn ?? '0/0') + 256n;

describe.each(MAJORS)('prepare-restore on PostgreSQL %i', (major) => {
  let dir: string;
  let source: Source;
  let frozen: Frozen;
  let receipt: PostgresReceipt;
  let clones = 0;

  /** A fresh copy of the frozen one. */
  const fresh = async (): Promise<Copy> => {
    clones += 1;
    return await clone(frozen.copy.volume, join(dir, `c${clones}`));
  };
  const edit = async (copy: Copy, change: (receipt: PostgresReceipt) => object): Promise<void> => {
    const changed = { ...receipt, ...change(receipt) };
    await writeFile(join(copy.volume, '.quiesce/receipt.json'), JSON.stringify(changed));
  };

  beforeAll(async () => {
    dir = await makeTempDir();
    source = await startSource(major);
    await source.admin.query(`ALTER SYSTEM SET wal_keep_size = '256MB'`);
    await source.admin.query('SELECT pg_reload_conf()');
    frozen = await frozenUnderLoad(source, 'backup-1', join(dir, 'frozen'));
    receipt = frozen.receipt;
  });

  afterAll(async () => {
    await source.stop();
    await rm(dir, { recursive: true, force: true });
  });

  it('a copy cut during the freeze is proven, needs no label and contains every acknowledged write', async () => {
    const copy = await fresh();
    const before = await fingerprintOf(copy.volume);
    const dry = await prepare(copy, true);
    expect(dry).toMatchObject({ outcome: 'prepared', dryRun: true, placed: [] });
    expect(await fingerprintOf(copy.volume)).toBe(before);

    const outcome = await prepare(copy);
    expect(outcome).toMatchObject({
      outcome: 'prepared',
      id: 'backup-1',
      dataDirectory: copy.pgdata,
      placed: [],
      // The source still runs as the same user, so its pid in the copy would block the start.
      removed: ['postmaster.pid'],
      proof: { markerFound: true, walFrom: receipt.position.startLsn },
    });
    const { looked, total } = (outcome.proof?.['pages'] ?? {}) as Record<string, number>;
    expect(looked).toBe(total);
    expect(total).toBeGreaterThan(2_000);
    expect(await readdir(copy.pgdata)).not.toContain('backup_label');
    const prepared = preparedRecordSchema.parse(
      JSON.parse(await readFile(join(copy.volume, '.quiesce/prepared.json'), 'utf8')),
    );
    expect(prepared).toMatchObject({ id: 'backup-1', coveredBy: 'marker' });
    expect(await prepare(copy), 'a second run').toMatchObject({ outcome: 'prepared' });

    await onServer(copy, major, async (client, server) => {
      expect(server.log).toContain('redo done at');
      const report = await verifyLedger(client, frozen.acked);
      expect(report.checks.filter(({ ok }) => !ok)).toEqual([]);
      // Recovery reached at least the end of the walk.
      const { rows } = await client.query<{ past: boolean }>(
        'SELECT pg_current_wal_lsn() >= $1::pg_lsn AS past',
        [prepared.walEnd],
      );
      expect(rows[0]?.past).toBe(true);
      expect(await prepare(copy), 'while it runs').toMatchObject({ outcome: 'already-prepared' });
    });
    const unchanged = await fingerprintOf(copy.volume);
    expect(await prepare(copy)).toMatchObject({ outcome: 'already-prepared', placed: [] });
    expect(await fingerprintOf(copy.volume)).toBe(unchanged);
  });

  it('within a short time it looks at some pages, says so, and how to look at all', async () => {
    const copy = await fresh();
    const request = { dataDir: copy.volume, dryRun: true, scanMs: 1, load: loadRestore };
    const { proof, notes } = await prepareRestore(request, new AbortController().signal);
    const { looked, total } = (proof?.['pages'] ?? {}) as Record<string, number>;
    expect(looked).toBeLessThan(total ?? 0);
    expect(notes.join(' ')).toContain(`after ${looked} of ${total} pages`);
    expect(notes.join(' ')).toContain('--scan full');
  });

  it('the postmaster.pid that it removes would have stopped the server from starting', async () => {
    const copy = await fresh();
    await expect(onServer(copy, major, async () => undefined)).rejects.toThrow(
      /lock file "postmaster.pid" already exists/,
    );
  });

  it('a run after kill -9 of the server reports that the copy is already prepared', async () => {
    const copy = await fresh();
    await prepare(copy);
    await onServer(copy, major, async (client) => client.query('CREATE TABLE after()'), 'kill');
    expect(await prepare(copy)).toMatchObject({ outcome: 'already-prepared' });
  });

  it('a run after the server was killed before it began to recover leaves the copy to the next start', async () => {
    const copy = await fresh();
    const pidFile = join(copy.pgdata, 'postmaster.pid');
    const lines = (await readFile(pidFile, 'utf8')).split('\n');
    await prepare(copy);
    // As that server leaves it: it writes this file first.
    lines[0] = String(await deadPid());
    lines[2] = String(Math.floor(Date.now() / 1_000) + 5);
    await writeFile(pidFile, lines.join('\n'));
    const before = await fingerprintOf(copy.volume);
    expect(await prepare(copy)).toMatchObject({ outcome: 'already-prepared' });
    expect(await fingerprintOf(copy.volume)).toBe(before);
    await rm(pidFile);
    await onServer(copy, major, async (client, server) => {
      expect(server.log).toContain('redo done at');
      const report = await verifyLedger(client, frozen.acked);
      expect(report.checks.filter(({ ok }) => !ok)).toEqual([]);
    });
  });

  it('the label of the receipt is removed, if it was put where recovery would find it', async () => {
    const copy = await fresh();
    const label = join(copy.pgdata, 'backup_label');
    await writeFile(label, receipt.restore.backupLabel ?? '');
    const removed = ['backup_label', 'postmaster.pid'];
    expect(await prepare(copy, true)).toMatchObject({ outcome: 'prepared', removed });
    expect(await readdir(copy.pgdata)).toContain('backup_label');
    expect(await prepare(copy)).toMatchObject({ outcome: 'prepared', placed: [], removed });
    expect(await readdir(copy.pgdata)).not.toContain('backup_label');
    expect(await prepare(copy)).toMatchObject({ outcome: 'prepared', removed: [] });
  });

  it('a note warns about a signal file that changes how the server starts', async () => {
    const copy = await fresh();
    await writeFile(join(copy.pgdata, 'recovery.signal'), '');
    expect((await prepare(copy, true)).notes.join(' ')).toContain('remove recovery.signal');
    await writeFile(join(copy.pgdata, 'standby.signal'), '');
    expect((await prepare(copy, true)).notes.join(' ')).toContain('remove standby.signal');
  });

  it('without a receipt there is nothing to do', async () => {
    const copy = await fresh();
    await rm(join(copy.volume, '.quiesce/receipt.json'));
    expect(await refused(copy)).toMatchObject({ code: 'nothing-to-do' });
    await rm(join(copy.volume, '.quiesce'), { recursive: true });
    expect(await refused(copy)).toMatchObject({ code: 'nothing-to-do' });
  });

  it('the data directory is found if the receipt does not name one', async () => {
    const copy = await fresh();
    await mkdir(join(copy.volume, 'a/b'), { recursive: true });
    await rename(copy.pgdata, join(copy.volume, 'a/b/data'));
    await edit(copy, ({ restore }) => ({ restore: { ...restore, dataDirectory: null } }));
    expect(await prepare(copy)).toMatchObject({ dataDirectory: join(copy.volume, 'a/b/data') });
  });

  describe('refuses, writing nothing,', () => {
    it('WAL that ends before the end of the backup', async () => {
      const copy = await fresh();
      await loseWalFrom(copy, receipt, parseLsn(receipt.position.stopLsn ?? '') - 24n);
      const { code, message } = await refused(copy);
      expect(code).toBe('RESTORE_INCOMPLETE');
      expect(message).toMatch(/WAL ends at .* before the end of the backup at/);
    });

    it('WAL that ends before the marker', async () => {
      const copy = await fresh();
      await loseWalFrom(copy, receipt, parseLsn(receipt.position.markerLsn ?? '') - 16n);
      const { code, message } = await refused(copy);
      expect(code).toBe('RESTORE_INCOMPLETE');
      expect(message).toMatch(/before the marker at .*: 0000000100000000000000\w\w at/);
    });

    it('WAL that ends after the marker and before what pg_control and pages need', async () => {
      const copy = await fresh();
      await loseWalFrom(copy, receipt, afterMarker(receipt));
      expect(await refused(copy)).toMatchObject({ code: 'RESTORE_INCOMPLETE' });
    });

    it('pages ahead of WAL, although WAL reaches the marker and the checkpoint', async () => {
      const copy = await fresh();
      const { checkpointLsn } = await readControlFile(copy.pgdata);
      // After the checkpoint record, which is well below 200 bytes.
      const end = checkpointLsn + 200n;
      await loseWalFrom(copy, receipt, end);
      const file = join(copy.pgdata, await largestTable(copy.pgdata));
      const lsn = Buffer.alloc(8);
      lsn.writeUInt32LE(Number((end + 4096n) >> 32n), 0);
      lsn.writeUInt32LE(Number((end + 4096n) & 0xffffffffn), 4);
      await overwrite(file, 0, lsn);
      const { code, message } = await refused(copy);
      expect(code).toBe('RESTORE_INCOMPLETE');
      expect(message).toMatch(
        /pages? are ahead of WAL, the furthest is base\/\d+\/\d+ block \d+ at/,
      );
    });

    it('a copy without its first segment, and one without its last', async () => {
      const copy = await fresh();
      const first = segmentOf(copy, receipt, parseLsn(receipt.position.startLsn));
      await rename(first, `${first}.away`);
      expect(await refused(copy)).toMatchObject({
        code: 'RESTORE_INCOMPLETE',
        message: expect.stringMatching(`${receipt.restore.wal.first} at .*there is no such file`),
      });
      await rename(`${first}.away`, first);
      await rm(segmentOf(copy, receipt, parseLsn(receipt.position.lsn) - 1n));
      expect(await refused(copy)).toMatchObject({ code: 'RESTORE_INCOMPLETE' });
    });

    it('a segment with the content of an older one, as recycling leaves it', async () => {
      const copy = await fresh();
      const marker = segmentOf(copy, receipt, parseLsn(receipt.position.lsn) - 1n);
      const first = segmentOf(copy, receipt, parseLsn(receipt.position.startLsn));
      await writeFile(marker, await readFile(first));
      const { code, message } = await refused(copy);
      expect(code).toBe('RESTORE_INCOMPLETE');
      expect(message).toMatch(/recycled segment/);
    });

    it('a flipped byte in a record before the marker', async () => {
      const copy = await fresh();
      const start = parseLsn(receipt.position.startLsn);
      const path = segmentOf(copy, receipt, start);
      const at = Number(start % BigInt(receipt.restore.wal.segmentSize)) + 25;
      const bytes = await readFile(path);
      await overwrite(path, at, Buffer.from([(bytes[at] ?? 0) ^ 1]));
      const { code, message } = await refused(copy);
      expect(code).toBe('RESTORE_INCOMPLETE');
      expect(message).toMatch(/checksum/);
    });

    it('a copy whose files were not cut at one moment', async () => {
      const volume = join(dir, 'torn');
      await rm(volume, { recursive: true, force: true });
      await mkdir(volume);
      const torn = copyAt(volume);
      await freezeBySql(source, 'torn-1');
      const control = await readFile(join(source.pgdata, 'global/pg_control'));
      await clone(join(source.pgdata, 'pg_wal'), join(dir, 'early-wal'));
      await source.admin.query('CREATE TABLE IF NOT EXISTS more(x text)');
      await source.admin.query(
        `INSERT INTO more SELECT md5(x::text) FROM generate_series(1, 20000) x`,
      );
      await source.admin.query('CHECKPOINT');
      await clone(source.pgdata, torn.pgdata);
      await clone(join(source.volume, '.quiesce'), join(volume, '.quiesce'));
      await rm(join(torn.pgdata, 'pg_wal'), { recursive: true });
      await rename(join(dir, 'early-wal'), join(torn.pgdata, 'pg_wal'));
      expect(await refused(torn)).toMatchObject({ code: 'RESTORE_INCOMPLETE' });
      // The same with an early pg_control: only the pages show it.
      await writeFile(join(torn.pgdata, 'global/pg_control'), control);
      const early = await refused(torn);
      expect(early.code).toBe('RESTORE_INCOMPLETE');
      expect(early.message).toMatch(/pages are ahead of WAL/);
      // Neither the times of files nor that of the freeze have a part in it.
      const own = join(volume, '.quiesce/receipt.json');
      const torn1 = JSON.parse(await readFile(own, 'utf8')) as PostgresReceipt;
      for (const [time, frozenAt] of [
        ['@0', torn1.frozenAt],
        ['2100-01-01', torn1.frozenAt],
        ['@0', '2100-01-01T00:00:00.000Z'],
      ]) {
        await writeFile(own, JSON.stringify({ ...torn1, frozenAt }));
        await promisify(execFile)('find', [
          volume,
          '-exec',
          'touch',
          '-h',
          '-d',
          `${time}`,
          '{}',
          '+',
        ]);
        expect(await refused(torn), `times at ${time}, frozen at ${frozenAt}`).toEqual(early);
      }
      await writeReceipt(source, receipt);
    });

    it('a copy on which a server has run', async () => {
      const shut = await fresh();
      await rm(join(shut.pgdata, 'postmaster.pid'));
      await onServer(shut, major, async (client) => client.query('CREATE TABLE later()'));
      expect(await refused(shut)).toMatchObject({ code: 'RESTORE_DATA_PAST' });

      const killed = await fresh();
      await rm(join(killed.pgdata, 'postmaster.pid'));
      await onServer(killed, major, async (client) => client.query('CHECKPOINT'), 'kill');
      expect(await refused(killed)).toMatchObject({ code: 'RESTORE_DATA_PAST' });
      // Without the file that has the later start, WAL shows it.
      await rm(join(killed.pgdata, 'postmaster.pid'));
      const { code, message } = await refused(killed);
      expect(code).toBe('RESTORE_DATA_PAST');
      expect(message).toMatch(/WAL shows it at/);
    });

    it('a copy that a server has recovered, without a record of an earlier run', async () => {
      const copy = await fresh();
      await prepare(copy);
      await onServer(copy, major, async (client) => client.query('SELECT 1'));
      await rm(join(copy.volume, '.quiesce/prepared.json'));
      expect(await refused(copy)).toMatchObject({ code: 'RESTORE_DATA_PAST' });
    });

    it('data on which a server runs', async () => {
      await writeReceipt(source, receipt);
      const outcome = await prepare(source).catch((error: Refusal) => error);
      expect(outcome).toMatchObject({ code: 'RESTORE_SERVER_RUNNING' });
      expect(await readdir(source.pgdata)).not.toContain('backup_label');
    });

    it('a receipt that cannot be read, or that belongs to something else', async () => {
      const copy = await fresh();
      const cases: [string, (r: PostgresReceipt) => object][] = [
        ['another kind', () => ({ kind: 'Recipe' })],
        ['no position', () => ({ position: null })],
        [
          'another system',
          ({ engine }) => ({ engine: { ...engine, identity: { systemIdentifier: '7' } } }),
        ],
        ['another version', ({ engine }) => ({ engine: { ...engine, version: '12.1' } })],
        ['another engine', ({ engine }) => ({ engine: { ...engine, name: 'oracle' } })],
        ['no engine', ({ engine }) => ({ engine: { ...engine, name: 'constructor' } })],
        ['another copy method', () => ({ copy: 'files' })],
        [
          'an inconsistent verdict',
          () => ({ verdict: 'inconsistent', reasons: ['lease-expired'] }),
        ],
        [
          'a label of another start',
          ({ position }) => ({ position: { ...position, startLsn: '0/28' } }),
        ],
        [
          'an end before the start',
          ({ position }) => ({ position: { ...position, stopLsn: '0/28' } }),
        ],
        [
          'a marker before the start',
          ({ position }) => ({ position: { ...position, markerLsn: '0/28' } }),
        ],
        [
          'a position before the marker',
          ({ position }) => ({ position: { ...position, lsn: position.startLsn } }),
        ],
        [
          'no start time of the server',
          ({ position }) => ({ position: { ...position, serverStartedAt: 'x' } }),
        ],
        ['no label', ({ restore }) => ({ restore: { ...restore, backupLabel: null } })],
        [
          'an absolute path',
          ({ restore }) => ({ restore: { ...restore, dataDirectory: frozen.copy.pgdata } }),
        ],
        [
          'a path out of it',
          ({ restore }) => ({ restore: { ...restore, dataDirectory: `../frozen/${PGDATA}` } }),
        ],
      ];
      for (const [name, change] of cases) {
        await edit(copy, change);
        const { code } = await refused(copy);
        expect({ name, code }).toEqual({ name, code: 'RESTORE_RECEIPT_INVALID' });
      }
      await writeFile(join(copy.volume, '.quiesce/receipt.json'), '{"apiVersion":');
      expect(await refused(copy)).toMatchObject({ code: 'RESTORE_RECEIPT_INVALID' });
    });

    it('a label that would stop the server from looking for the end of the backup', async () => {
      const copy = await fresh();
      await rm(join(copy.volume, '.quiesce/postgres.backup_label'));
      for (const method of ['BACKUP METHOD: pg_rewind', 'BACKUP METHOD: streamed\nMORE: x']) {
        await edit(copy, ({ restore }) => ({
          restore: {
            ...restore,
            backupLabel: restore.backupLabel?.replace('BACKUP METHOD: streamed', method),
          },
        }));
        expect(await refused(copy)).toMatchObject({ code: 'RESTORE_RECEIPT_INVALID' });
      }
    });

    it('a kept label that differs from the receipt, and another label in PGDATA', async () => {
      const copy = await fresh();
      const kept = join(copy.volume, '.quiesce/postgres.backup_label');
      const label = receipt.restore.backupLabel ?? '';
      await writeFile(kept, label.replace('START TIME', 'Start time'));
      expect(await refused(copy)).toMatchObject({ code: 'RESTORE_RECEIPT_INVALID' });
      await writeFile(kept, label);
      await writeFile(join(copy.pgdata, 'backup_label'), label.replace('START TIME', 'Start time'));
      expect(await refused(copy)).toMatchObject({ code: 'RESTORE_RECEIPT_INVALID' });
    });

    it('a copy with something other than a file under a file’s name, at once and with that name', async () => {
      const names = [
        'pgdata/postmaster.pid',
        'pgdata/backup_label',
        'pgdata/backup_label.old',
        `pgdata/pg_wal/${receipt.restore.wal.first}`,
        '.quiesce/postgres.backup_label',
        '.quiesce/prepared.json',
      ];
      const copy = await fresh();
      for (const name of names) {
        const path = join(copy.volume, name);
        await rename(path, `${path}-kept`).catch(() => undefined);
        for (const put of [
          () => promisify(execFile)('mkfifo', [path]),
          () => mkdir(path),
          () => symlink(path, path),
          () => symlink('/dev/zero', path),
        ]) {
          await put();
          const outcome = await prepare(copy).catch((error: Refusal) => error);
          expect({ ...outcome, name }).toMatchObject({ name, code: 'RESTORE_INCOMPLETE' });
          expect(outcome.message).toContain(path.slice(path.lastIndexOf('/') + 1));
          await rm(path, { recursive: true });
        }
        await rename(`${path}-kept`, path).catch(() => undefined);
      }
      expect(await prepare(copy, true)).toMatchObject({ outcome: 'prepared' });
    });

    it('a copy with a truncated pg_control, a file as pg_wal, or a missing folder', async () => {
      const spoil: [string, (pgdata: string) => Promise<unknown>][] = [
        ['pg_control', (pgdata) => writeFile(join(pgdata, 'global/pg_control'), 'cut')],
        ['pg_tblspc', (pgdata) => rm(join(pgdata, 'pg_tblspc'), { recursive: true })],
        [
          'pg_wal',
          async (pgdata) => {
            await rm(join(pgdata, 'pg_wal'), { recursive: true });
            await writeFile(join(pgdata, 'pg_wal'), '');
          },
        ],
      ];
      for (const [name, change] of spoil) {
        const copy = await fresh();
        await change(copy.pgdata);
        const { code, message } = await refused(copy);
        expect({ name, code }).toEqual({ name, code: 'RESTORE_INCOMPLETE' });
        expect(message).toContain(name);
      }
    });

    it('a data directory, WAL or tablespace that is outside the copy', async () => {
      const copy = await fresh();
      const wal = join(copy.pgdata, 'pg_wal');
      await rename(wal, join(dir, `outside-${major}`));
      await symlink(join(dir, `outside-${major}`), wal);
      expect((await refused(copy)).message).toMatch(/the WAL leads out of the volume/);
      await rm(wal);
      await rename(join(dir, `outside-${major}`), wal);
      await symlink(dir, join(copy.pgdata, 'pg_tblspc/16999'));
      expect((await refused(copy)).message).toMatch(/tablespace 16999 leads out of the volume/);
      await rm(copy.pgdata, { recursive: true });
      await symlink(frozen.copy.pgdata, copy.pgdata);
      expect(await refused(copy)).toMatchObject({ code: 'RESTORE_RECEIPT_INVALID' });
      await rm(copy.pgdata);
      expect(await refused(copy)).toMatchObject({ code: 'RESTORE_INCOMPLETE' });
    });
  });

  it('fails where it may not read or write, and the next run succeeds', async () => {
    const copy = await fresh();
    const { uid } = await stat(copy.pgdata);
    const asUser = async <T>(user: number, use: () => Promise<T>): Promise<T> => {
      if (process.getuid?.() !== 0) return await use();
      process.seteuid?.(user);
      try {
        return await use();
      } finally {
        process.seteuid?.(0);
      }
    };
    await chmod(copy.pgdata, 0o500);
    const outcome = await asUser(uid, () => prepare(copy).catch((error: Refusal) => error));
    expect(outcome).toMatchObject({ code: 'RESTORE_UNWRITABLE' });
    expect(await readdir(copy.pgdata)).not.toContain('backup_label');
    await chmod(copy.pgdata, 0o000);
    const otherUser = await asUser(65_533, () => prepare(copy).catch((error: Refusal) => error));
    expect(otherUser).toMatchObject({ code: 'RESTORE_UNWRITABLE' });
    await chmod(copy.pgdata, 0o700);
    expect(await prepare(copy)).toMatchObject({ outcome: 'prepared' });
  });

  it('a crash-consistent copy is proven by its marker and needs no label', async () => {
    const other = await startSource(major);
    try {
      const { copy, acked } = await frozenUnderLoad(
        other,
        'cc-1',
        join(dir, 'cc'),
        'crash-consistent',
      );
      const trimmed = await clone(copy.volume, join(dir, 'cc-trimmed'));
      const outcome = await prepare(copy);
      expect(outcome).toMatchObject({ outcome: 'prepared', placed: [] });
      expect(await readdir(copy.pgdata)).not.toContain('backup_label');

      // A checkpoint during a longer hold removes WAL that recovery no longer needs.
      const { redoLsn } = await readControlFile(copy.pgdata);
      const needed = segmentOf(trimmed, frozen.receipt, redoLsn);
      for (const name of await readdir(dirname(needed))) {
        const path = join(dirname(needed), name);
        if (name.length === 24 && path < needed) await rm(path);
      }
      expect(await prepare(trimmed)).toMatchObject({
        outcome: 'prepared',
        proof: { markerFound: false },
        message: expect.stringMatching(/from a checkpoint after the marker/),
      });

      // Without the frozen server's lock file, any server may have made the checkpoint.
      await rm(join(trimmed.volume, '.quiesce/prepared.json'));
      await rm(join(trimmed.pgdata, 'postmaster.pid'), { force: true });
      expect(await refused(trimmed)).toMatchObject({ code: 'RESTORE_INCOMPLETE' });

      const lost = await clone(copy.volume, join(dir, 'cc-lost'));
      await loseWalFrom(lost, frozen.receipt, redoLsn + 24n);
      await rm(join(lost.volume, '.quiesce/prepared.json'));
      expect(await refused(lost)).toMatchObject({ code: 'RESTORE_INCOMPLETE' });
      await onServer(copy, major, async (client) => {
        expect((await verifyLedger(client, acked)).checks.filter(({ ok }) => !ok)).toEqual([]);
      });
      expect(await prepare(copy)).toMatchObject({ outcome: 'already-prepared' });
    } finally {
      await other.stop();
    }
  });

  it('the copy of an idle server is proven too', async () => {
    await freezeBySql(source, 'idle-1');
    const copy = await atomicCopy(source, join(dir, 'idle'));
    expect(await prepare(copy)).toMatchObject({
      outcome: 'prepared',
      proof: { markerFound: true },
    });
    await onServer(copy, major, async (client) => client.query('SELECT 1'));
  });
});

describe('quiesce prepare-restore', () => {
  const capture = async (
    ...args: string[]
  ): Promise<{ code: number; out: string; err: string }> => {
    let [out, err] = ['', ''];
    vi.spyOn(process.stdout, 'write').mockImplementation((text: unknown, done?: unknown) => {
      out += String(text);
      if (typeof done === 'function') done();
      return true;
    });
    vi.spyOn(process.stderr, 'write').mockImplementation((text) => {
      err += String(text);
      return true;
    });
    try {
      return { code: await run(args), out, err };
    } finally {
      vi.restoreAllMocks();
    }
  };

  it('exits 2 for a bad flag or folder, with the error in the requested format', async () => {
    for (const args of [
      ['--dta', '/x'],
      ['--data'],
      [],
      ['--data', '/x', 'y'],
      ['--data', '/x', '-o', 'xml'],
    ]) {
      expect({ args, ...(await capture(...args)) }).toMatchObject({
        args,
        code: 2,
        out: '',
        err: expect.stringMatching(/^quiesce: USAGE: .* Hint: /),
      });
    }
    const { code, out } = await capture('--data', '/nonexistent', '-o', 'json');
    expect(code).toBe(2);
    expect(JSON.parse(out)).toMatchObject({ error: { code: 'USAGE', field: '--data' } });
  });

  it('reports in one line that there is nothing to do', async () => {
    const dir = await makeTempDir();
    try {
      const { code, out } = await capture('--data', dir);
      expect(code).toBe(0);
      expect(out).toMatch(/^nothing-to-do: .*\n$/);
      const json = await capture('--data', dir, '--output', 'json');
      expect(JSON.parse(json.out)).toMatchObject({ outcome: 'nothing-to-do', id: null });
      await mkdir(join(dir, '.quiesce'));
      await writeFile(join(dir, '.quiesce/receipt.json'), 'x');
      expect(await capture('--data', dir)).toMatchObject({
        code: 7,
        out: '',
        err: expect.stringContaining('RESTORE_RECEIPT_INVALID'),
      });
      await chmod(join(dir, '.quiesce/receipt.json'), 0o644);
    } finally {
      await rm(dir, { recursive: true, force: true });
    }
  });

  it('has a help with its flags and exit codes', async () => {
    const { code, out } = await capture('--help');
    expect(code).toBe(0);
    for (const word of ['--data', '--dry-run', '7 the copy']) expect(out).toContain(word);
  });
});

/** The largest relation file, relative to PGDATA. */
async function largestTable(pgdata: string): Promise<string> {
  const base = join(pgdata, 'base');
  let largest = { path: '', size: 0 };
  for (const database of await readdir(base)) {
    for (const name of await readdir(join(base, database))) {
      const path = join(base, database, name);
      const { size } = await stat(path);
      if (/^\d+$/.test(name) && size > largest.size) largest = { path, size };
    }
  }
  return join('base', largest.path.slice(dirname(base).length + 6));
}
