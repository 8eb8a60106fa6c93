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
import { startVerifier } from '../support/verifier.ts';

const run = promisify(execFile);
const FILES = { QUIESCE_COPY: 'files', QUIESCE_FREEZE_TIMEOUT: '120s' };
const LONG = 240_000;

let rig: Rig;
afterEach(async () => {
  await rig.dispose();
});

/** A plain folder, without reflinks. */
const plain = (dir: string, postmaster: () => number | undefined): Promise<Volume> =>
  makeVolume(dir, { kind: 'stopped-copy', postmaster });

async function makeRig(options: Partial<Parameters<typeof Rig.make>[0]> = {}): Promise<void> {
  rig = await Rig.make({ major: 17, env: FILES, ...options });
  await rig.sidecar.start();
}

const quiesce = (volume = rig.volume.path): string => join(volume, '.quiesce');
/** The entries of `.quiesce`, except the claim, which stays. */
const left = async (): Promise<string[]> => {
  const names = await readdir(quiesce()).catch((): string[] => []);
  return names.filter((name) => name !== 'claim').toSorted();
};

/** Copies the whole volume file by file, with page writes forced meanwhile. */
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

async function expectRefused(
  copy: string,
  code: string,
  fragment: string,
  exit = 7,
): Promise<void> {
  const refused = await runCli(['prepare-restore', '--data', copy], {});
  expect(refused, refused.stdout).toMatchObject({ code: exit });
  expect(refused.stderr).toContain(code);
  expect(refused.stderr).toContain(fragment);
}

describe.each(MAJORS)('PostgreSQL %i, copied file by file under write load', (major) => {
  it.each([
    ['reflink', undefined],
    ['bytes', plain],
  ])(
    'staged as %s: the staged backup alone restores every write acknowledged before the freeze',
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
      // The server holds nothing open any more.
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
        const sidecar = await startVerifier(rig, copy, server);
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

it('unlogged tables, temporary files and a running server’s own files are not staged', async () => {
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
  'live files without their staged backup are refused, and a server started on them anyway is never verified',
  async () => {
    await makeRig();
    await rig.load.start();
    await sleep(500);
    await freeze('live');
    const copy = await copyLive('live');
    expect(await rig.sidecar.cli('thaw')).toMatchObject({ code: 0 });
    await rig.load.stop();
    await rm(join(quiesce(copy), 'live'), { recursive: true });
    await expectRefused(copy, 'RESTORE_INCOMPLETE', '.quiesce/live');
    const server = await rig.serverOn(copy);
    const started = await server.start().then(
      () => true,
      () => false,
    );
    // The torn files may not start at all; then the server itself reports why.
    if (!started) return expect(server.log).toMatch(/FATAL|PANIC/);
    await startVerifier(rig, copy, server, { verified: false });
  },
  LONG,
);

it('a copy with a missing, truncated or changed staged file is refused with the file’s name', async () => {
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
    await expectRefused(copy, 'RESTORE_INCOMPLETE', name);
    if (whole === null) await rm(path);
    else await writeFile(path, whole);
  }
  const prepared = await runCli(['prepare-restore', '--data', copy], {});
  expect(prepared, prepared.stderr).toMatchObject({ code: 0 });
});

it('PGDATA may be the root of the volume', async () => {
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

it('a thaw fails if a staged file disappeared during the hold', async () => {
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

it('the next run finishes a swap that was killed, even for a pod that lost the mark of its restore', async () => {
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
  // Killed as soon as it has begun to move entries. If it finished first, the run below has nothing
  // to do.
  const swap = join(quiesce(copy), 'swapped/swap.json');
  while (child.exitCode === null && !existsSync(swap)) await sleep(1);
  child.kill('SIGKILL');
  await sleep(100);
  const args = ['prepare-restore', '--data', copy, '--restore-mark', ''];
  const prepared = await runCli(args, {});
  expect(prepared, prepared.stderr).toMatchObject({ code: 0 });
  expect(existsSync(join(quiesce(copy), 'swapped'))).toBe(false);
  const server = await rig.serverOn(copy);
  await server.start();
  const report = await examine(server, acked);
  expect(report.checks.filter((check) => !check.ok)).toEqual([]);
});

it('a copy is refused if a server runs or has run on its live files, whose writes would be lost', async () => {
  await makeRig();
  await freeze('used');
  // Nothing is written meanwhile, so a server starts on the live files of this copy.
  const copy = join(rig.dir, 'used');
  await copyFileByFile(rig.volume.path, copy, { between: async () => undefined, seed: 1 });
  rig.defer(() => rm(copy, { recursive: true, force: true }));
  await rig.sidecar.cli('thaw');
  await sleep(1_100);
  await rm(join(copy, 'pgdata/postmaster.pid'), { force: true });
  const server = await rig.serverOn(copy);
  await server.start();
  await expectRefused(copy, 'RESTORE_SERVER_RUNNING', 'Process', 5);
  await server.kill();
  await sleep(300);
  await expectRefused(copy, 'RESTORE_DATA_PAST', 'A server has run on this copy');
});

it('the next start removes what a sidecar killed while staging left behind', async () => {
  await makeRig({ volume: plain });
  await rig.load.start();
  // Not through the command line, which would freeze again once the sidecar is back.
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

it('the next start removes the staged backup even if the journal was lost with its pod', async () => {
  await makeRig();
  await freeze('orphan');
  await rig.sidecar.signal('SIGKILL');
  await rm(join(rig.sidecar.dir, 'state'), { recursive: true });
  await rig.sidecar.start();
  await expect
    .poll(left, { timeout: 15_000 })
    .toEqual(['restored-@state.json', 'restored-orphan+metadata.json', 'restored-orphan.json']);
});

it('a timeout or a thaw while files are copied leaves nothing behind', async () => {
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

it('a volume without enough space is refused with the numbers, and nothing is left on it', async () => {
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

it('a freeze fails if the volume turns read-only meanwhile, and the staged files are removed once it is writable', async () => {
  await makeRig();
  await mkdir(quiesce(), { recursive: true });
  const freezing = rig.sidecar.cli('freeze', '--id', 'stuck');
  const begun = join(quiesce(), 'stuck/base/PG_VERSION');
  await expect.poll(() => existsSync(begun), { timeout: 20_000, interval: 5 }).toBe(true);
  // The bind mount is made elsewhere, so that no file there is open for writing when it becomes
  // read-only.
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
    // The sidecar retries the removal, so the mount may be busy, but only for a moment.
    await expect.poll(() => run('umount', [quiesce()]), { timeout: 5_000 }).toBeTruthy();
  }
  await expect.poll(left, { timeout: 10_000 }).toEqual([]);
  expect(await freeze('stuck')).toMatchObject({ verdict: 'held' });
});

it('a freeze fails if the volume takes the staged backup but not the receipt, because a restore would start the live files', async () => {
  await makeRig();
  await mkdir(join(quiesce(), 'receipt.json/in-the-way'), { recursive: true });
  const refused = await rig.sidecar.cli('freeze', '--id', 'no-receipt');
  expect(refused, refused.stdout).toMatchObject({ code: 5 });
  expect(refused.stderr).toMatch(/COPY_UNSUPPORTED.*receipt\.json could not be written/);
  // Everything else goes with the receipt, and that one cannot be removed.
  expect(await left()).toEqual(['metadata.json', 'receipt.json']);
});

it('a freeze is refused without mounted data, with a tablespace, and for a role without the grants', async () => {
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

it('an id that is not a safe file name is staged under a digest of it', async () => {
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
