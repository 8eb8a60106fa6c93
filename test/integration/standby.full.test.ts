import { existsSync } from 'node:fs';
import { readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, describe, expect, it } from 'vitest';
import { runCli } from '../../src/testbed/processes.ts';
import type { Receipt } from '../../src/receipt/receipt.ts';
import { restoreSchema } from '../../src/engines/postgres/receipt.ts';
import { MAJORS } from '../support/postgres.ts';
import { Rig } from '../support/rig.ts';
import { examine, query } from '../support/superuser.ts';
import { makeStandby } from '../support/standby.ts';
import { startVerifier } from '../support/verifier.ts';

let rig: Rig;
afterEach(async () => {
  await rig.dispose();
});

describe.each(MAJORS)('a standby of PostgreSQL %i', (major) => {
  it('is frozen while it replays, and its copy restores everything it had replayed', async () => {
    rig = await Rig.make({ major });
    await rig.load.start();
    const { server, volume, sidecar } = await makeStandby(rig);
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
    await startVerifier(rig, copy.path, restored);
    const report = await examine(restored, acked);
    expect(report.checks.filter((check) => !check.ok)).toEqual([]);
    expect(report.amcheck).toEqual([]);
  });

  it('fails the thaw if it was promoted during the hold', async () => {
    rig = await Rig.make({ major });
    const { server, sidecar } = await makeStandby(rig);
    await sidecar.start();
    expect((await sidecar.api('POST', '/v1/freeze', {})).status).toBe(200);
    await query(server, 'SELECT pg_promote()');
    const thaw = await sidecar.api('POST', '/v1/thaw');
    expect(thaw).toMatchObject({ status: 409 });
    expect(thaw.body.receipt.reasons).toContain('role-changed');
  });
});
