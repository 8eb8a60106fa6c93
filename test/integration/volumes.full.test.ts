import { existsSync } from 'node:fs';
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, describe, expect, it } from 'vitest';
import type { Acked } from '../../src/testbed/postgres/load.ts';
import { runCli } from '../../src/testbed/processes.ts';
import { restoreSchema } from '../../src/engines/postgres/receipt.ts';
import { receiptSchema } from '../../src/receipt/receipt.ts';
import { MAJORS } from '../support/postgres.ts';
import { examine } from '../support/superuser.ts';
import { type Cuts, VolumesRig } from '../support/volumes.ts';
import { startVerifier } from '../support/verifier.ts';

let rig: VolumesRig;
afterEach(async () => {
  await rig.dispose();
});

interface Backup {
  readonly cuts: Cuts;
  /** Acknowledged before thaw was called. */
  readonly acked: Acked;
  /** The file with the output of thaw. */
  readonly receipt: string;
  /** WAL cut while frozen: too early. */
  readonly earlyWal: string;
}

/** Makes a whole backup in order under load, with a checkpoint after every cut. */
async function backup(id: string, tablespace: boolean): Promise<Backup> {
  const frozen = await rig.sidecar.cli('freeze', '--id', id);
  expect(frozen, frozen.stderr).toMatchObject({ code: 0 });
  const between = async (): Promise<void> => {
    await sleep(250);
    await rig.sql('CHECKPOINT');
  };
  await between();
  const data = await rig.cut('data');
  await between();
  const ts = tablespace ? await rig.cut('ts') : undefined;
  const earlyWal = await rig.cut('wal');
  await between();
  const acked = rig.load.snapshotAcked();
  const thawed = await rig.sidecar.cli('thaw', '--id', id);
  expect(thawed, thawed.stdout + thawed.stderr).toMatchObject({ code: 0 });
  await between();
  await between();
  const wal = await rig.cut('wal');
  const cuts = { data, wal, ...(ts === undefined ? {} : { ts }) };
  return { cuts, acked, earlyWal, receipt: await rig.keep(thawed.stdout) };
}

const prepare = (data: string, ...more: string[]): ReturnType<typeof runCli> =>
  runCli(['prepare-restore', '--data', data, ...more], {});

/** Expects no backup mode, no slot and no file. */
async function expectNothingLeft(withinMs = 10_000): Promise<void> {
  await expect
    .poll(() => rig.sql(`SELECT slot_name FROM pg_replication_slots`), { timeout: withinMs })
    .toEqual([]);
  if (rig.server.options.major < 15) {
    expect(await rig.sql('SELECT pg_is_in_backup() AS open')).toEqual([{ open: false }]);
  }
  expect(existsSync(join(rig.server.options.dataDir, 'backup_label'))).toBe(false);
  expect(existsSync(join(rig.paths.ts, 'space/.quiesce'))).toBe(false);
}

describe.each(MAJORS)('PostgreSQL %i on several volumes under load', (major) => {
  it.each([
    ['two', false],
    ['three', true],
  ])(
    'with %s volumes cut in order, every transaction acknowledged before thaw is restored',
    { timeout: 180_000 },
    async (_count, tablespace) => {
      rig = await VolumesRig.make({ major, tablespace });
      await rig.sidecar.start();
      await rig.load.start();
      await sleep(500);
      for (const id of ['first', 'second']) {
        const { cuts, acked, receipt } = await backup(id, tablespace);
        const data = await rig.link(cuts);
        const held = receiptSchema.parse(
          JSON.parse(await readFile(join(data, '.quiesce/receipt.json'), 'utf8')),
        );
        expect(held).toMatchObject({ mode: 'open', copy: 'volumes', verdict: 'held' });
        expect(restoreSchema.parse(held.restore)).toMatchObject({
          backupLabel: null,
          order: [tablespace ? ['data', 'tablespace:fast'] : ['data'], 'thaw', ['wal']],
        });
        const dry = await prepare(data, '--receipt', receipt, '--dry-run');
        expect(dry, dry.stderr).toMatchObject({ code: 0 });
        const prepared = await prepare(data, '--receipt', receipt);
        expect(prepared, prepared.stderr).toMatchObject({ code: 0 });
        expect(prepared.stdout).toContain('backup_label');
        // From now on the copy contains the final receipt.
        expect(await prepare(data)).toMatchObject({ code: 0 });
        const server = await rig.serverOn(data);
        await server.start();
        const verifier = await startVerifier(rig, data, server);
        const report = await examine(server, acked);
        expect(report.checks.filter((check) => !check.ok)).toEqual([]);
        expect(report.amcheck).toEqual([]);
        expect(await prepare(data, '--receipt', receipt), 'a later run').toMatchObject({ code: 0 });
        await verifier.stop();
        await server.stop('immediate');
      }
      await rig.sidecar.stop();
      await expectNothingLeft();
    },
  );

  it('a copy that cannot be restored is refused, and a server started on it anyway is never verified', async () => {
    rig = await VolumesRig.make({ major, tablespace: true });
    await rig.sidecar.start();
    await rig.load.start();
    await sleep(300);
    const stale = await rig.cut('ts');
    const { cuts, receipt, earlyWal } = await backup('good', true);
    const late = { ts: await rig.cut('ts'), data: await rig.cut('data') };
    const text = await readFile(receipt, 'utf8');
    const refuse = async (what: string, from: Cuts, code: string, says: RegExp, file = receipt) => {
      const data = await rig.link(await rig.again(from));
      const refused = await prepare(data, ...(file === '' ? [] : ['--receipt', file]));
      expect(refused.code, `${what}: ${refused.stdout}`).toBe(7);
      expect(refused.stderr, what).toContain(code);
      expect(refused.stderr, what).toMatch(says);
      expect(existsSync(join(data, 'pgdata/backup_label')), what).toBe(false);
      return data;
    };

    const bare = await refuse('no label', cuts, 'RESTORE_INCOMPLETE', /--receipt FILE/, '');
    const early = { ...cuts, wal: earlyWal };
    await refuse('WAL cut first', early, 'RESTORE_INCOMPLETE', /WAL ends at/);
    const beforeThaw = { ...cuts, ts: stale };
    await refuse('tablespace too early', beforeThaw, 'RESTORE_INCOMPLETE', /no evidence/);
    const afterThaw = { ...cuts, ts: late.ts };
    await refuse('tablespace too late', afterThaw, 'RESTORE_INCOMPLETE', /no evidence/);
    const dataLate = { ...cuts, data: late.data };
    await refuse('data too late', dataLate, 'RESTORE_INCOMPLETE', /has no .quiesce/);
    const json = JSON.parse(text.slice(text.indexOf(' receipt={') + 9)) as object;
    const other = await rig.keep(JSON.stringify({ ...json, id: 'other' }));
    await refuse('another receipt', cuts, 'RESTORE_RECEIPT_INVALID', /its id is/, other);
    const bad = await rig.keep(JSON.stringify({ ...json, verdict: 'inconsistent' }));
    await refuse('a broken freeze', cuts, 'RESTORE_RECEIPT_INVALID', /inconsistent/, bad);
    const torn = await rig.again(cuts);
    const { first } = restoreSchema.parse((json as { restore: unknown }).restore).wal;
    await rm(join(torn.wal ?? '', 'pg_wal', first));
    await refuse('start segment gone', torn, 'RESTORE_INCOMPLETE', /no such file/);

    // A link that still leads to the original's WAL, which a running server writes.
    const { data: alone = '', ts } = await rig.again(cuts);
    await rig.link({ data: alone, ...(ts === undefined ? {} : { ts }) });
    const shared = await prepare(alone, '--receipt', receipt);
    expect(shared.stderr).toContain('RESTORE_SERVER_RUNNING');

    // A server started without the label: PostgreSQL itself reports nothing.
    await rm(join(bare, 'pgdata/postmaster.pid'));
    const server = await rig.serverOn(bare);
    const started = await server.start().then(
      () => true,
      () => false,
    );
    if (!started) expect(server.log).toMatch(/FATAL|PANIC/);
    else {
      const verifier = await startVerifier(rig, bare, server, { verified: false });
      const verify = await verifier.api('POST', '/v1/verify', { receipt: json });
      expect(verify).toMatchObject({ status: 409, body: { error: { code: 'NOT_VERIFIED' } } });
    }

    // The label without the WAL up to the end of the backup: PostgreSQL refuses too.
    const forced = await rig.link(await rig.again(early));
    await rm(join(forced, 'pgdata/postmaster.pid'));
    const { backupLabel } = restoreSchema.parse((json as { restore: unknown }).restore);
    const label = join(forced, 'pgdata/backup_label');
    await writeFile(label, backupLabel ?? '');
    await rig.server.own(label);
    await expect((await rig.serverOn(forced)).start()).rejects.toThrow(/WAL ends before/);
  });

  it('a freeze fails if the volume cannot take the receipt, because its copy could not be proven', async () => {
    rig = await VolumesRig.make({ major });
    await rig.sidecar.start();
    await mkdir(join(rig.paths.data, '.quiesce/receipt.json/in-the-way'), { recursive: true });
    const refused = await rig.sidecar.cli('freeze', '--id', 'no-receipt');
    expect(refused, refused.stdout).toMatchObject({ code: 5 });
    expect(refused.stderr).toMatch(/COPY_UNSUPPORTED.*receipt\.json could not be written/);
    await expectNothingLeft();
  });

  it('an expired lease ends the backup, and its receipt has no label', async () => {
    rig = await VolumesRig.make({ major, tablespace: true });
    await rig.sidecar.start();
    const frozen = await rig.sidecar.cli('freeze', '--id', 'late', '--ttl', '700ms');
    expect(frozen, frozen.stderr).toMatchObject({ code: 0 });
    await expect.poll(async () => (await rig.sidecar.status()).state).toBe('thawed');
    const { body } = await rig.sidecar.api('POST', '/v1/thaw', { id: 'late' });
    expect(body.receipt).toMatchObject({ verdict: 'inconsistent', restore: { backupLabel: null } });
    await expectNothingLeft();
  });

  it('volumes that cannot be cut in order, and WAL that no slot keeps, are refused with a way to fix it', async () => {
    rig = await VolumesRig.make({ major, walWithData: true, tablespace: true });
    await rig.sidecar.start();
    const shared = await rig.sidecar.cli('freeze');
    expect(shared.code).toBe(5);
    expect(shared.stderr).toMatch(/COPY_UNSUPPORTED.*pg_wal.*then thaw, then the volume of pg_wal/);
    expect(shared.stderr).toContain('QUIESCE_COPY=snapshot');
    await rig.dispose();

    rig = await VolumesRig.make({ major });
    await rig.sidecar.start();
    await rig.sql('ALTER ROLE quiesce NOREPLICATION');
    const withoutRight = await rig.sidecar.cli('freeze');
    expect(withoutRight.code).toBe(5);
    expect(withoutRight.stderr).toMatch(/ENGINE_PRIVILEGE.*ALTER ROLE "quiesce" REPLICATION/);
    await rig.sql('ALTER ROLE quiesce REPLICATION');
    for (let n = 0; n < 10; n += 1) {
      await rig.sql(`SELECT pg_create_physical_replication_slot('taken_${n}')`);
    }
    const full = await rig.sidecar.cli('freeze');
    expect(full.code).toBe(5);
    expect(full.stderr).toMatch(/ENGINE_FAILED.*max_replication_slots/);

    const snapshot = { QUIESCE_COPY: 'snapshot' };
    await rig.sidecar.stop();
    Object.assign(rig.sidecar.env, snapshot);
    await rig.sidecar.start();
    const several = await rig.sidecar.cli('freeze');
    expect(several.stderr).toMatch(/COPY_UNSUPPORTED.*another volume.*QUIESCE_COPY=volumes/);
  });
});
