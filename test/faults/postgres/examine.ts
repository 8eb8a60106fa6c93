import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { EmbeddedPostgres, freePort } from '../../../src/testbed/postgres/server.ts';
import type { Acked } from '../../../src/testbed/postgres/load.ts';
import { examine } from '../../support/superuser.ts';

/** Starts a server on restored data and looks at all of it. @returns what is wrong. */
export async function examineCopy(
  { major, dataDir, socketDir }: { major: number; dataDir: string; socketDir: string },
  acked: Acked,
): Promise<string[]> {
  // Of a copy without a receipt nothing was prepared; its lock file names the source.
  await rm(join(dataDir, 'postmaster.pid'), { force: true });
  // Nor must a copy of a standby catch up with its primary before it is looked at.
  await rm(join(dataDir, 'standby.signal'), { force: true });
  const settings = { fsync: 'off' };
  const server = await EmbeddedPostgres.at({
    major,
    dataDir,
    port: await freePort(),
    socketDir,
    settings,
  });
  try {
    await server.start();
    const { checks, amcheck } = await examine(server, acked);
    return [...checks.filter(({ ok }) => !ok).map(({ message }) => message), ...amcheck];
  } catch (error) {
    return [(error as Error).message.slice(-1_500)];
  } finally {
    await server.stop('immediate');
  }
}
