import { appendFile, cp, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { EmbeddedPostgres, freePort } from '../../src/testbed/postgres/server.ts';
import { tool } from '../../src/testbed/os.ts';
import { query } from '../support/superuser.ts';

/** Starts a primary for a standby, without a load; its data is not on a volume of the test. */
export async function startPrimaryFor(major: number, dir: string): Promise<EmbeddedPostgres> {
  const primary = await EmbeddedPostgres.at({
    major,
    dataDir: join(dir, 'primary'),
    port: await freePort(),
    socketDir: join(dir, 'sp'),
    // A standby that was down for a while must find all the WAL it missed.
    settings: { fsync: 'off', wal_keep_size: '512MB' },
  });
  await primary.initdb();
  await primary.start();
  return primary;
}

/**
 * Makes a standby in `standby.options.dataDir` from a primary, which stops meanwhile, and lets it
 * follow the primary.
 */
export async function startStandbyOf(
  primary: EmbeddedPostgres,
  standby: EmbeddedPostgres,
): Promise<void> {
  const { dataDir } = standby.options;
  await primary.stop('fast');
  await cp(primary.options.dataDir, dataDir, { recursive: true, preserveTimestamps: true });
  await rm(join(dataDir, 'postmaster.pid'), { force: true });
  await writeFile(join(dataDir, 'standby.signal'), '');
  const { port } = primary.options;
  const conninfo = `host=127.0.0.1 port=${port} user=postgres password=postgres`;
  await appendFile(
    join(dataDir, 'postgresql.auto.conf'),
    `primary_conninfo = '${conninfo}'\nwal_retrieve_retry_interval = '500ms'\n`,
  );
  const { user } = standby;
  if (user) await tool('chown', '-R', `${user.uid}:${user.gid}`, dataDir);
  await primary.start();
  await standby.start();
}

/** Waits until the standby has received (or replayed) what the primary has flushed by now. */
export async function waitForArrival(
  primary: EmbeddedPostgres,
  standby: EmbeddedPostgres,
  how: 'receive' | 'replay',
): Promise<void> {
  const [flushed] = await query<{ lsn: string }>(
    primary,
    'SELECT pg_current_wal_flush_lsn()::text AS lsn',
  );
  for (const until = performance.now() + ARRIVES_WITHIN_MS; performance.now() < until;) {
    const [row] = await query<{ there: boolean | null }>(
      standby,
      `SELECT pg_last_wal_${how}_lsn() >= '${flushed?.lsn}' AS there`,
    );
    if (row?.there === true) return;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  throw new Error(`the standby did not ${how} in time what its primary has written`);
}

const ARRIVES_WITHIN_MS = 20_000;
