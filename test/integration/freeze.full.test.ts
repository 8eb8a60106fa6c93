import { existsSync } from 'node:fs';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, describe, expect, it } from 'vitest';
import { runCli } from '../../src/testbed/processes.ts';
import type { Receipt } from '../../src/receipt/receipt.ts';
import { positionSchema, restoreSchema } from '../../src/engines/postgres/receipt.ts';
import { MAJORS } from '../support/postgres.ts';
import { Rig } from '../support/rig.ts';
import { examine } from '../support/superuser.ts';
import { startVerifier } from '../support/verifier.ts';

let rig: Rig;
afterEach(async () => {
  await rig.dispose();
});

/** Restores a copy as a user does: prepare-restore, then start. */
async function restore(copy: string): Promise<Awaited<ReturnType<Rig['serverOn']>>> {
  const prepared = await runCli(['prepare-restore', '--data', copy], {});
  expect(prepared, prepared.stderr).toMatchObject({ code: 0 });
  expect(prepared.stdout.trimEnd().split('\n')).toHaveLength(1);
  const server = await rig.serverOn(copy);
  await server.start();
  return server;
}

describe.each(MAJORS)('PostgreSQL %i under write load, sealed', (major) => {
  it('the label kept with the data equals the receipt’s, and PGDATA has no label', async () => {
    rig = await Rig.make({ major });
    await rig.sidecar.start();
    await rig.load.start();
    for (let round = 0; round < 5; round += 1) {
      const receipt = (await rig.sidecar.api('POST', '/v1/freeze', {})).body as Receipt;
      expect(receipt.notes.join(' ')).not.toContain('differs');
      const { backupLabel: label } = restoreSchema.parse(receipt.restore);
      const { startLsn } = positionSchema.parse(receipt.position);
      expect(label).toContain(`START WAL LOCATION: ${startLsn}`);
      expect(await readFile(join(rig.volume.path, '.quiesce/postgres.backup_label'), 'utf8')).toBe(
        label,
      );
      expect(existsSync(join(rig.server.options.dataDir, 'backup_label'))).toBe(false);
      expect((await rig.sidecar.api('POST', '/v1/thaw')).status).toBe(200);
      expect(await readdir(join(rig.volume.path, '.quiesce'))).toEqual(['claim']);
    }
  });

  it('a freeze puts every write acknowledged before it on disk, even with synchronous_commit off', async () => {
    rig = await Rig.make({
      major,
      load: { synchronousCommit: 'off' },
      settings: { wal_writer_delay: '10s' },
    });
    await rig.sidecar.start();
    await rig.load.start();
    await sleep(500);
    const acked = rig.load.snapshotAcked();
    const frozen = (await rig.sidecar.api('POST', '/v1/freeze', { id: 'async' })).body as Receipt;
    expect(frozen.verdict).toBe('held');
    const copy = await rig.snapshot('async');
    await rig.sidecar.api('POST', '/v1/thaw');
    await rig.load.stop();
    const report = await examine(await restore(copy.path), acked);
    expect(report.checks.filter((check) => !check.ok)).toEqual([]);
  });

  it('PGDATA itself may be the mounted folder', async () => {
    rig = await Rig.make({ major });
    const { dataDir } = rig.server.options;
    rig.sidecar.env['QUIESCE_DATA_DIR'] = dataDir;
    await rig.sidecar.start();
    await rig.load.start();
    await sleep(300);
    const acked = rig.load.snapshotAcked();
    const frozen = (await rig.sidecar.api('POST', '/v1/freeze', { id: 'in-pgdata' }))
      .body as Receipt;
    expect(frozen).toMatchObject({ evidence: { onVolume: true }, restore: { dataDirectory: '.' } });
    const copy = join((await rig.snapshot('in-pgdata')).path, 'pgdata');
    expect((await rig.sidecar.api('POST', '/v1/thaw')).status).toBe(200);
    await rig.load.stop();
    // A server that crashes with .quiesce/ in its data directory starts as usual.
    await rig.server.kill();
    await rig.server.start();

    const prepared = await runCli(['prepare-restore', '--data', copy], {});
    expect(prepared, prepared.stderr).toMatchObject({ code: 0 });
    const server = await rig.serverOn(join(copy, '..'));
    await server.start();
    await startVerifier(rig, copy, server, { withinMs: 10_000 });
    const report = await examine(server, acked);
    expect(report.checks.filter((check) => !check.ok)).toEqual([]);
  });
});
