import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import {
  appendFile,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  rm,
  rmdir,
  truncate,
  writeFile,
} from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { afterEach, describe, expect, it } from 'vitest';
import { runCli } from '../../src/testbed/processes.ts';
import { makeVolume } from '../../src/testbed/volume/make-volume.ts';
import type { Volume } from '../../src/testbed/volume/volume.ts';
import type { Receipt } from '../../src/receipt/receipt.ts';
import { copyFileByFile } from '../support/file-copy.ts';
import { MAJORS } from '../support/postgres.ts';
import { Rig } from '../support/rig.ts';
import { examine } from '../support/superuser.ts';

const run = promisify(execFile);
const FILES = { QUIESCE_COPY: 'files', QUIESCE_FREEZE_TIMEOUT: '120s' };
const LONG = 240_000;

let rig: Rig;
afterEach(async () => {
  await rig.dispose();
});

/** A plain folder: no reflinks on the ext4 below it. */
const plain = (dir: string, postmaster: () => number | undefined): Promise<Volume> =>
  makeVolume(dir, { kind: 'stopped-copy', postmaster });

async function makeRig(options: Partial<Parameters<typeof Rig.make>[0]> = {}): Promise<void> {
  rig = await Rig.make({ major: 17, env: FILES, ...options });
  await rig.sidecar.start();
}

const quiesce = (volume = rig.volume.path): string => join(volume, '.quiesce');
/** What lies there but for the file of the claim, which stays. */
const left = async (): Promise<string[]> => {
  const names = await readdir(quiesce()).catch((): string[] => []);
  return names.filter((name) => name !== 'claim').toSorted();
};

/** The file-by-file copy of the whole volume, with page writes forced while it is made. */
async function copyLive(name: string, seed = 1): Promise<string> {
  const to = join(rig.dir, name);
  const between = async (): Promise<void> => {
    await sleep(800);
    await rig.sql('CHECKPOINT');
  };
  await copyFileByFile(rig.volume.path, to, { between, seed });
  rig.defer(() => rm(to, { recursive: true, force: true }));
  return to;
}

async function freeze(id: string): Promise<Receipt> {
  const frozen = await rig.sidecar.cli('freeze', '--id', id, '-o', 'json');
  expect(frozen, frozen.stderr).toMatchObject({ code: 0 });
  return JSON.parse(frozen.stdout) as Receipt;
}

async function expectNothingLeft(): Promise<void> {
  expect(await left()).toEqual([]);
  await expect
    .poll(() => rig.sql('SELECT slot_name FROM pg_replication_slots'), { timeout: 10_000 })
    .toEqual([]);
}

async function refuses(copy: string, code: string, names: string): Promise<void> {
  const refused = await runCli(['prepare-restore', '--data', copy], {});
  expect(refused, refused.stdout).toMatchObject({ code: 7 });
  expect(refused.stderr).toContain(code);
  expect(refused.stderr).toContain(names);
}

describe.each(MAJORS)('PostgreSQL %i, copied file by file under write load', (major) => {
  it.each([
    ['reflink', undefined],
    ['bytes', plain],
  ])(
    'staged as %s: what was acknowledged before the freeze is restored from the staged backup alone',
    async (how, volume) => {
      await makeRig({ major, ...(volume && { volume }) });
      await rig.load.start();
      await sleep(1_000);
      const acked = rig.load.snapshotAcked();
      const held = await freeze('nightly');
      expect(held).toMatchObject({
        mode: 'staged',
        copy: 'files',
        verdict: 'held',
        writesBlocked: false,
        restore: { staged: { folder: '.quiesce/nightly', reflink: how === 'reflink' } },
      });
      // Nothing is held open in the server any more.
      expect(await rig.sql('SELECT slot_name FROM pg_replication_slots')).toEqual([]);
      const copies = [await copyLive('one', 1), await copyLive('two', 7)];
      const thawed = await rig.sidecar.cli('thaw', '-o', 'json');
      expect(thawed, thawed.stderr).toMatchObject({ code: 0 });
      expect(await left()).toEqual([]);
      await rig.load.stop();
      for (const copy of copies) {
        const dry = await runCli(['prepare-restore', '--data', copy, '--dry-run'], {});
        expect(dry, dry.stderr).toMatchObject({ code: 0 });
        const prepared = await runCli(['prepare-restore', '--data', copy, '-o', 'json'], {});
        expect(prepared, prepared.stderr).toMatchObject({ code: 0 });
        expect(JSON.parse(prepared.stdout)).toMatchObject({ outcome: 'prepared', dryRun: false });
        const again = await runCli(['prepare-restore', '--data', copy], {});
        expect(again, again.stderr).toMatchObject({ code: 0 });
        expect(existsSync(join(quiesce(copy), 'nightly'))).toBe(false);
        const server = await rig.serverOn(copy);
        await server.start();
        const sidecar = await rig.sidecarOn(copy, server);
        await sidecar.start();
        await expect
          .poll(async () => (await sidecar.status()).restore?.verified, { timeout: 15_000 })
          .toBe(true);
        const report = await examine(server, acked);
        expect(report.checks.filter((check) => !check.ok)).toEqual([]);
        expect(report.amcheck).toEqual([]);
        await sidecar.stop();
        await server.stop('fast');
        const after = await runCli(['prepare-restore', '--data', copy], {});
        expect(after.stdout).toContain('nothing-to-do');
      }
    },
    LONG,
  );
});

it('unlogged tables, temporary files and what a running server keeps for itself are not staged', async () => {
  await makeRig();
  await rig.sql('CREATE UNLOGGED TABLE passing AS SELECT generate_series(1, 1000) AS n');
  const [row] = await rig.sql<{ path: string }>(`SELECT pg_relation_filepath('passing') AS path`);
  const path = row?.path ?? '';
  await writeFile(join(rig.server.options.dataDir, 'base', 'pgsql_tmp1.0'), 'x');
  await freeze('kept');
  const base = join(quiesce(), 'kept/base');
  const manifest = JSON.parse(await readFile(join(quiesce(), 'kept/manifest.json'), 'utf8')) as {
    files: { path: string }[];
  };
  const staged = new Set(manifest.files.map((file) => file.path));
  expect(staged.has(`${path}_init`)).toBe(true);
  expect(staged.has(path)).toBe(false);
  for (const name of ['postmaster.pid', 'postmaster.opts', 'base/pgsql_tmp1.0']) {
    expect(existsSync(join(base, name))).toBe(false);
  }
  for (const name of ['pg_replslot', 'pg_notify', 'pg_stat_tmp', 'pg_subtrans']) {
    expect(await readdir(join(base, name))).toEqual([]);
  }
  expect(await rig.sidecar.cli('thaw')).toMatchObject({ code: 0 });
});

it(
  'live files without their staged backup are refused, and never verified by whoever starts them all the same',
  async () => {
    await makeRig();
    await rig.load.start();
    await sleep(500);
    await freeze('live');
    const copy = await copyLive('live');
    expect(await rig.sidecar.cli('thaw')).toMatchObject({ code: 0 });
    await rig.load.stop();
    await rm(join(quiesce(copy), 'live'), { recursive: true });
    await refuses(copy, 'RESTORE_INCOMPLETE', '.quiesce/live');
    const server = await rig.serverOn(copy);
    const started = await server.start().then(
      () => true,
      () => false,
    );
    // Torn as they are they may not even start; then the server itself says so.
    if (!started) return expect(server.log).toMatch(/FATAL|PANIC/);
    const sidecar = await rig.sidecarOn(copy, server);
    await sidecar.start();
    await expect
      .poll(async () => (await sidecar.status()).restore?.verified, { timeout: 15_000 })
      .toBe(false);
  },
  LONG,
);

it('a staged file that is missing, cut or changed is named and the copy refused', async () => {
  await makeRig();
  await rig.load.start();
  await sleep(500);
  await freeze('damaged');
  const copy = await copyLive('whole');
  await rig.sidecar.cli('thaw');
  await rig.load.stop();
  const staging = join(quiesce(copy), 'damaged');
  const wal = (await readdir(join(staging, 'base/pg_wal'))).filter((name) => name.length === 24);
  const damage: [string, (path: string) => Promise<unknown>][] = [
    ['base/global/pg_filenode.map', (path) => rm(path)],
    ['base/base/1/PG_VERSION', (path) => truncate(path, 1)],
    [
      `base/pg_wal/${wal.at(-1)}`,
      async (path) => {
        const bytes = await readFile(path);
        bytes[bytes.length >> 1] = (bytes[bytes.length >> 1] ?? 0) ^ 0xff;
        await writeFile(path, bytes);
      },
    ],
    ['base/recovery.signal', (path) => writeFile(path, '')],
    ['manifest.json', (path) => appendFile(path, ' ')],
  ];
  for (const [name, spoil] of damage) {
    const path = join(staging, name);
    const whole = existsSync(path) ? await readFile(path) : null;
    await spoil(path);
    await refuses(copy, 'RESTORE_INCOMPLETE', name);
    if (whole === null) await rm(path);
    else await writeFile(path, whole);
  }
  const prepared = await runCli(['prepare-restore', '--data', copy], {});
  expect(prepared, prepared.stderr).toMatchObject({ code: 0 });
});

it('PGDATA may itself be the root of the volume', async () => {
  rig = await Rig.make({ major: 17, env: FILES });
  const { dataDir } = rig.server.options;
  rig.sidecar.env['QUIESCE_DATA_DIR'] = dataDir;
  await rig.sidecar.start();
  await rig.load.start();
  await sleep(500);
  const acked = rig.load.snapshotAcked();
  const { restore } = await freeze('root');
  expect(restore).toMatchObject({ dataDirectory: '.' });
  const copy = join(rig.dir, 'root');
  await mkdir(copy);
  const between = (): Promise<unknown> => rig.sql('CHECKPOINT');
  await copyFileByFile(dataDir, join(copy, 'pgdata'), { between });
  expect(await rig.sidecar.cli('thaw')).toMatchObject({ code: 0 });
  await rig.load.stop();
  const prepared = await runCli(['prepare-restore', '--data', join(copy, 'pgdata')], {});
  expect(prepared, prepared.stderr).toMatchObject({ code: 0 });
  const server = await rig.serverOn(copy);
  await server.start();
  const report = await examine(server, acked);
  expect(report.checks.filter((check) => !check.ok)).toEqual([]);
});

it('a staged file that goes during the hold makes the thaw fail', async () => {
  await makeRig();
  await freeze('gone');
  await rm(join(quiesce(), 'gone/base/global/pg_control'));
  const thaw = await rig.sidecar.api('POST', '/v1/thaw');
  expect(thaw).toMatchObject({
    status: 409,
    body: { receipt: { reasons: ['staged-changed'] } },
  });
  expect(await left()).toEqual([]);
});

it('a swap that was killed is finished by the next run', async () => {
  await makeRig();
  await rig.load.start();
  await sleep(500);
  const acked = rig.load.snapshotAcked();
  await freeze('swapped');
  const copy = await copyLive('swap');
  await rig.sidecar.cli('thaw');
  await rig.load.stop();
  const child = execFile(process.execPath, [
    new URL('../../dist/cli.js', import.meta.url).pathname,
    'prepare-restore',
    '--data',
    copy,
  ]);
  // Killed as soon as it has begun to move; if it was faster, the run below has nothing left to do.
  const swap = join(quiesce(copy), 'swapped/swap.json');
  while (child.exitCode === null && !existsSync(swap)) await sleep(1);
  child.kill('SIGKILL');
  await sleep(100);
  const prepared = await runCli(['prepare-restore', '--data', copy], {});
  expect(prepared, prepared.stderr).toMatchObject({ code: 0 });
  expect(existsSync(join(quiesce(copy), 'swapped'))).toBe(false);
  const server = await rig.serverOn(copy);
  await server.start();
  const report = await examine(server, acked);
  expect(report.checks.filter((check) => !check.ok)).toEqual([]);
});

it('a server that has run on the copied live files keeps what it wrote', async () => {
  await makeRig();
  await freeze('used');
  const copy = await copyLive('used');
  await rig.sidecar.cli('thaw');
  await sleep(1_100);
  await rm(join(copy, 'pgdata/postmaster.pid'), { force: true });
  const server = await rig.serverOn(copy);
  await server.start();
  await refuses2(copy, 5, 'RESTORE_SERVER_RUNNING');
  await server.kill();
  await sleep(300);
  await refuses2(copy, 7, 'RESTORE_DATA_PAST');
});

async function refuses2(copy: string, exit: number, code: string): Promise<void> {
  const refused = await runCli(['prepare-restore', '--data', copy], {});
  expect(refused, refused.stdout).toMatchObject({ code: exit });
  expect(refused.stderr).toContain(code);
}

it('kill -9 of the sidecar while it stages: the next start removes what there is', async () => {
  await makeRig({ volume: plain });
  await rig.load.start();
  // Without the command line, which would freeze again by itself once the sidecar is back.
  const freezing = rig.sidecar.api('POST', '/v1/freeze', { id: 'killed' }).catch(() => undefined);
  const base = join(quiesce(), 'killed/base/base');
  await expect.poll(() => existsSync(base), { timeout: 20_000, interval: 5 }).toBe(true);
  await rig.sidecar.signal('SIGKILL');
  await freezing;
  expect(await left()).toContain('killed');
  await rig.sidecar.start();
  await expectNothingLeft();
  expect(await rig.sidecar.cli('thaw', '--id', 'killed')).toMatchObject({ code: 7 });
}, 180_000);

it('a journal that was lost with its pod: the next start removes the staged backup all the same', async () => {
  await makeRig();
  await freeze('orphan');
  await rig.sidecar.signal('SIGKILL');
  await rm(join(rig.sidecar.dir, 'state'), { recursive: true });
  await rig.sidecar.start();
  await expect.poll(left, { timeout: 15_000 }).toEqual(['restored-orphan.json']);
});

it('a timeout, a thaw and a caller that leaves while files are copied leave nothing behind', async () => {
  await makeRig({ volume: plain });
  await rig.load.start();
  const late = await rig.sidecar.cli('freeze', '--id', 'late', '--timeout', '700ms');
  expect(late, late.stdout).toMatchObject({ code: 6 });
  await expect.poll(left, { timeout: 10_000 }).toEqual([]);
  const freezing = rig.sidecar.cli('freeze', '--id', 'thawed');
  await expect
    .poll(async () => (await rig.sidecar.status()).lease?.progress ?? '', {
      timeout: 20_000,
      interval: 10,
    })
    .toMatch(/^staging [\d.]+ of [\d.]+ GB \(bytes\)$/);
  expect(await rig.sidecar.cli('thaw')).toMatchObject({ code: 7 });
  expect(await freezing).toMatchObject({ code: 5 });
  await expectNothingLeft();
});

it('a volume without the space is refused with numbers, and nothing is left on it', async () => {
  const volume = async (dir: string): Promise<Volume> => {
    const point = join(dir, 'small');
    await mkdir(point);
    await run('mount', ['-t', 'tmpfs', '-o', 'size=320m', 'tmpfs', point]);
    const dispose = async (): Promise<void> => {
      await run('umount', ['-l', point]);
    };
    const kept = await makeVolume(point, { kind: 'stopped-copy' });
    return { ...kept, dispose };
  };
  await makeRig({ volume });
  await rig.sql(
    'CREATE TABLE filler AS SELECT repeat(md5(n::text), 30) AS x FROM generate_series(1, 40000) n',
  );
  const refused = await rig.sidecar.cli('freeze', '--id', 'small');
  expect(refused, refused.stdout).toMatchObject({ code: 5 });
  expect(refused.stderr).toMatch(/COPY_UNSUPPORTED.*needed \d+ MB .*available \d+ MB/);
  await expectNothingLeft();
});

it('a volume that turns read-only while a backup is staged is named, and what was staged goes as soon as it can', async () => {
  await makeRig();
  await mkdir(quiesce(), { recursive: true });
  const freezing = rig.sidecar.cli('freeze', '--id', 'stuck');
  const begun = join(quiesce(), 'stuck/base/PG_VERSION');
  await expect.poll(() => existsSync(begun), { timeout: 20_000, interval: 5 }).toBe(true);
  // Made aside, so that nothing is open for writing there when it becomes read-only.
  const aside = await mkdtemp(join(tmpdir(), 'quiesce-aside-'));
  await run('mount', ['--bind', quiesce(), aside]);
  await run('mount', ['-o', 'remount,ro,bind', aside]);
  await run('mount', ['--bind', aside, quiesce()]);
  await run('umount', [aside]);
  await rmdir(aside);
  try {
    const refused = await freezing;
    expect(refused, refused.stderr).toMatchObject({ code: 5 });
    expect(refused.stderr).toMatch(/COPY_UNSUPPORTED.*EROFS/);
    expect(await left()).toContain('stuck');
  } finally {
    // The sidecar looks in again and again, so it may be busy for a moment; for longer it must not be.
    await expect.poll(() => run('umount', [quiesce()]), { timeout: 5_000 }).toBeTruthy();
  }
  await expect.poll(left, { timeout: 10_000 }).toEqual([]);
  expect(await freeze('stuck')).toMatchObject({ verdict: 'held' });
});

it('a volume that takes the staged backup but not the receipt fails the freeze: a restore would start the live files', async () => {
  await makeRig();
  await mkdir(join(quiesce(), 'receipt.json/in-the-way'), { recursive: true });
  const refused = await rig.sidecar.cli('freeze', '--id', 'no-receipt');
  expect(refused, refused.stdout).toMatchObject({ code: 5 });
  expect(refused.stderr).toMatch(/COPY_UNSUPPORTED.*receipt\.json could not be written/);
  expect(await left()).toEqual(['receipt.json']);
});

it('what cannot be staged is refused: no mounted data, a tablespace, a role without the grants', async () => {
  rig = await Rig.make({ major: 17, env: FILES });
  const dataDir = rig.sidecar.env['QUIESCE_DATA_DIR'] ?? '';
  delete rig.sidecar.env['QUIESCE_DATA_DIR'];
  await rig.sidecar.start();
  const unmounted = await rig.sidecar.cli('freeze');
  expect(unmounted.stderr).toContain('COPY_UNSUPPORTED');
  expect(unmounted.stderr).toContain('QUIESCE_DATA_DIR');
  await rig.sidecar.stop();
  rig.sidecar.env['QUIESCE_DATA_DIR'] = dataDir;
  await rig.sidecar.start();
  const space = join(rig.volume.path, 'space');
  await mkdir(space);
  await rig.server.own(space);
  await rig.sql(`CREATE TABLESPACE far LOCATION '${space}'`);
  const tablespace = await rig.sidecar.cli('freeze');
  expect(tablespace, tablespace.stdout).toMatchObject({ code: 5 });
  expect(tablespace.stderr).toContain('pg_tblspc/');
  await rig.sql('DROP TABLESPACE far');
  await rig.sql('REVOKE EXECUTE ON FUNCTION pg_backup_stop(boolean) FROM quiesce');
  const grant = await rig.sidecar.cli('freeze');
  expect(grant.stderr).toContain('COPY_UNSUPPORTED');
  expect(grant.stderr).toContain('GRANT EXECUTE');
  await expectNothingLeft();
});

it('an id that is no safe file name is staged under a digest of it', async () => {
  await makeRig();
  for (const id of ['..', '.', 'receipt.json', 'a:b', 'x'.repeat(128)]) {
    const { restore } = await freeze(id);
    const { folder } = (restore as { staged: { folder: string } }).staged;
    expect(folder).toMatch(/^\.quiesce\/[A-Za-z0-9][A-Za-z0-9._:-]*$/);
    expect(existsSync(join(rig.volume.path, folder, 'base/backup_label'))).toBe(true);
    expect(await rig.sidecar.cli('thaw')).toMatchObject({ code: 0 });
    expect(await left()).toEqual([]);
  }
}, 180_000);
