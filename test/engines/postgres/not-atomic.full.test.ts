import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { loadRestore } from '../../../src/engines/index.ts';
import { prepareRestore } from '../../../src/restore/prepare-restore.ts';
import { verifyLedger } from '../../../src/testbed/postgres/ledger.ts';
import { type Acked, countAcked, WriterLoad } from '../../../src/testbed/postgres/load.ts';
import {
  clone,
  type Copy,
  copyAt,
  freezeBySql,
  onServer,
  type Source,
  startSource,
} from '../../support/copies.ts';
import { copyFileByFile } from '../../support/file-copy.ts';
import { makeTempDir } from '../../support/temp-dir.ts';

const TRIALS = Number(process.env['QUIESCE_TEST_TRIALS'] ?? 10);

/** WAL has everything from the freeze on: only the place where recovery begins can lose something. */
const SETTINGS = { wal_keep_size: '1GB', max_wal_size: '3GB', checkpoint_timeout: '1h' };

async function prepare({ volume }: Copy): Promise<string> {
  const request = { dataDir: volume, dryRun: false, scanMs: 1, load: loadRestore };
  return await prepareRestore(request, new AbortController().signal).then(
    ({ outcome }) => outcome,
    (error: { code: string; message: string }) => `${error.code} ${error.message}`,
  );
}

/** What is wrong on a server that starts on a copy; the failure where none does. */
async function faultsOf(copy: Copy, major: number, acked: Acked): Promise<string[]> {
  const look = async (client: Parameters<Parameters<typeof onServer>[2]>[0]): Promise<string[]> => {
    await client.query(`SET statement_timeout = '60s'`);
    const { checks } = await verifyLedger(client, acked);
    return checks.filter(({ ok }) => !ok).map(({ name }) => name);
  };
  return await onServer(copy, major, look, 'kill').catch((error: unknown) => [String(error)]);
}

/** Snapshots must be atomic. A driver that copies live files one by one makes no snapshot. */
describe.each([
  [13, 'sealed'],
  [17, 'sealed'],
  [17, 'crash-consistent'],
] as const)('copies of PostgreSQL %i, frozen as %s, that are not atomic', (major, mode) => {
  let dir: string;
  let source: Source;
  let load: WriterLoad;

  beforeAll(async () => {
    dir = await makeTempDir();
    source = await startSource(major, 1, SETTINGS);
    load = new WriterLoad({ connection: source.server.superuser(), clients: 4, accounts: 200 });
    await load.prepare();
    await load.start();
  });
  afterAll(async () => {
    await load.stop();
    await source.stop();
    await rm(dir, { recursive: true, force: true });
  });

  const writes = async (count: number): Promise<void> => {
    const until = countAcked(load.snapshotAcked()) + count;
    while (countAcked(load.snapshotAcked()) < until) await sleep(10);
  };
  const copyAmid = async (id: string, seed: number): Promise<{ copy: Copy; acked: Acked }> => {
    await writes(50);
    const acked = load.snapshotAcked();
    await freezeBySql(source, id, { mode });
    await writes(50);
    const between = async (): Promise<void> => {
      await writes(50);
      await source.admin.query('CHECKPOINT');
      await writes(20);
    };
    const volume = join(dir, id);
    await copyFileByFile(source.volume, volume, { between, order: 'A2', seed });
    return { copy: copyAt(volume), acked };
  };

  it(
    'are refused where a checkpoint in the middle has put changes out of recovery’s reach',
    { timeout: 3 * TRIALS * 60_000 },
    async () => {
      const fates = { refused: 0, damaged: 0, whole: 0, lost: 0 };
      // The adversary goes on until it has done harm, so that the trials show something.
      const last = (): number => (fates.damaged > 0 ? TRIALS : 3 * TRIALS);
      for (let trial = 1; trial <= last(); trial += 1) {
        const { copy, acked } = await copyAmid(`trial-${trial}`, trial);
        const naive = await clone(copy.volume, `${copy.volume}-naive`);
        await rm(join(naive.pgdata, 'postmaster.pid'));
        const outcome = await prepare(copy);
        if (outcome === 'prepared') {
          const faults = await faultsOf(copy, major, acked);
          fates[faults.length === 0 ? 'whole' : 'lost'] += 1;
        } else {
          expect(outcome).toMatch(/^RESTORE_INCOMPLETE/);
          fates.refused += 1;
          if ((await faultsOf(naive, major, acked)).length > 0) fates.damaged += 1;
        }
        for (const { volume } of [copy, naive]) await rm(volume, { recursive: true, force: true });
      }
      console.log(`PostgreSQL ${major}, ${mode}: ${JSON.stringify(fates)}`);
      expect(fates.lost, 'copies that were accepted, and are not whole').toBe(0);
      expect(
        fates.damaged,
        'copies that a server would have started on, with losses',
      ).toBeGreaterThan(0);
    },
  );
});
