import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'vitest';
import { EmbeddedPostgres, freePort } from '../../src/testbed/postgres/server.ts';
import { type Copy, type Source, sourceOf } from './copies.ts';

/** Starts a standby of `primary` on a prepared copy of it. */
export async function startStandby(copy: Copy, primary: Source): Promise<Source> {
  const port = await freePort();
  const socketDir = `${copy.volume}-s`;
  const config = join(copy.pgdata, 'postgresql.auto.conf');
  const conninfo = `host=127.0.0.1 port=${primary.server.options.port} user=postgres password=postgres`;
  await writeFile(
    config,
    `${await readFile(config, 'utf8')}\nprimary_conninfo = '${conninfo}'\nhot_standby = on\n`,
  );
  await writeFile(join(copy.pgdata, 'standby.signal'), '');
  const server = await EmbeddedPostgres.at({
    major: primary.server.options.major,
    dataDir: copy.pgdata,
    port,
    socketDir,
    settings: { fsync: 'off' },
  });
  await server.start();
  return await sourceOf(copy, server, socketDir);
}

/** Waits until the standby has replayed everything that its primary has written. */
export async function replayAll(primary: Source, standby: Source): Promise<void> {
  const { rows } = await primary.admin.query<{ lsn: string }>(
    'SELECT pg_current_wal_flush_lsn()::text AS lsn',
  );
  const sql = 'SELECT pg_last_wal_replay_lsn() >= $1::pg_lsn AS there';
  await expect
    .poll(async () => (await standby.admin.query(sql, [rows[0]?.lsn])).rows[0])
    .toEqual({ there: true });
}
