import { existsSync } from 'node:fs';
import { appendFile, cp, mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, describe, expect, it } from 'vitest';
import { EmbeddedPostgres, freePort } from '../../src/demo/embedded-postgres.ts';
import { runCli } from '../../src/demo/processes.ts';
import { makeVolume, type Volume } from '../../src/demo/volume.ts';
import type { Receipt } from '../../src/freeze/receipt.ts';
import { restoreSchema } from '../../src/engines/postgres/receipt.ts';
import { MAJORS, makeTempDir } from '../support/postgres.ts';
import { examine, query, Rig, roleEnv } from '../support/rig.ts';
import { TestSidecar } from '../support/sidecar.ts';

let rig: Rig;
afterEach(async () => {
  await rig.dispose();
});

interface Standby {
  readonly server: EmbeddedPostgres;
  readonly volume: Volume;
  readonly sidecar: TestSidecar;
}

/** A streaming standby of the rig's server on a volume of its own, with a sidecar beside it. */
async function makeStandby(): Promise<Standby> {
  const base = await rig.snapshot('base');
  const dir = await makeTempDir();
  let server: EmbeddedPostgres | undefined;
  const volume = await makeVolume(dir, { postmaster: () => server?.pid });
  const dataDir = join(volume.path, 'pgdata');
  await cp(join(base.path, 'pgdata'), dataDir, { recursive: true, preserveTimestamps: true });
  await rm(join(dataDir, 'postmaster.pid'));
  await writeFile(join(dataDir, 'standby.signal'), '');
  const { port } = rig.server.options;
  await appendFile(
    join(dataDir, 'postgresql.auto.conf'),
    `primary_conninfo = 'host=127.0.0.1 port=${port} user=postgres password=postgres'\n`,
  );
  server = await EmbeddedPostgres.at({
    major: rig.server.options.major,
    dataDir,
    port: await freePort(),
    socketDir: join(dir, 's'),
  });
  const standby = server;
  await ownTree(standby, dataDir);
  rig.defer(() => rm(dir, { recursive: true, force: true }));
  rig.defer(() => volume.dispose());
  rig.defer(() => standby.stop('immediate'));
  await standby.start();
  await mkdir(join(dir, 'q'));
  const sidecar = new TestSidecar(join(dir, 'q'), {
    ...roleEnv(standby),
    QUIESCE_DATA_DIR: volume.path,
  });
  rig.defer(() => sidecar.signal('SIGKILL'));
  return { server: standby, volume, sidecar };
}

async function ownTree(server: EmbeddedPostgres, path: string): Promise<void> {
  if (!server.user) return;
  const { spawnSync } = await import('node:child_process');
  spawnSync('chown', ['-R', `${server.user.uid}:${server.user.gid}`, path]);
}

describe.each(MAJORS)('a standby of PostgreSQL %i', (major) => {
  it('is frozen while it replays; a copy holds all it had replayed, and restores', async () => {
    rig = await Rig.make({ major });
    await rig.load.start();
    const { server, volume, sidecar } = await makeStandby();
    await sidecar.start();
    await sleep(800);

    const acked = rig.load.snapshotAcked();
    const [primary] = await rig.sql<{ lsn: string }>('SELECT pg_current_wal_flush_lsn() AS lsn');
    await expect
      .poll(
        async () =>
          (
            await query<{ there: boolean }>(
              server,
              `SELECT pg_last_wal_replay_lsn() >= '${primary?.lsn}' AS there`,
            )
          )[0]?.there,
        { timeout: 15_000 },
      )
      .toBe(true);
    const frozen = await sidecar.api('POST', '/v1/freeze', { id: 'from-standby' });
    expect(frozen.status, JSON.stringify(frozen.body)).toBe(200);
    const receipt = frozen.body as Receipt;
    expect(receipt).toMatchObject({
      mode: 'sealed',
      engine: { role: 'standby' },
      position: { markerLsn: null },
      evidence: { onVolume: true },
    });
    expect(receipt.notes.join(' ')).not.toContain('differs');
    expect(restoreSchema.parse(receipt.restore).backupLabel).toContain('BACKUP FROM: standby');
    await sleep(500);
    const copy = await volume.snapshot('inside');
    const thawed = await sidecar.api('POST', '/v1/thaw');
    expect(thawed.body).toMatchObject({ verdict: 'consistent' });
    expect(existsSync(join(server.options.dataDir, 'backup_label'))).toBe(false);
    await rig.load.stop();

    const prepared = await runCli(['prepare-restore', '--data', copy.path], {});
    expect(prepared, prepared.stderr).toMatchObject({ code: 0 });
    expect(prepared.stdout).toContain('standby.signal');
    expect(await readFile(join(copy.path, 'pgdata/backup_label'), 'utf8')).toContain(
      'BACKUP FROM: standby',
    );
    await rm(join(copy.path, 'pgdata/standby.signal'));
    const restored = await rig.serverOn(copy.path);
    await restored.start();
    const beside = await rig.sidecarOn(copy.path, restored);
    await beside.start();
    await expect
      .poll(async () => (await beside.status()).restore?.verified, { timeout: 15_000 })
      .toBe(true);
    const report = await examine(restored, acked);
    expect(report.checks.filter((check) => !check.ok)).toEqual([]);
    expect(report.amcheck).toEqual([]);
  });

  it('that is promoted during the hold is not consistent', async () => {
    rig = await Rig.make({ major });
    const { server, sidecar } = await makeStandby();
    await sidecar.start();
    expect((await sidecar.api('POST', '/v1/freeze', {})).status).toBe(200);
    await query(server, 'SELECT pg_promote()');
    const thaw = await sidecar.api('POST', '/v1/thaw');
    expect(thaw).toMatchObject({ status: 409 });
    expect(thaw.body.receipt.reasons).toContain('role-changed');
  });
});
