import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { EmbeddedPostgres, freePort } from '../../../src/testbed/postgres/server.ts';
import type { Acked } from '../../../src/testbed/postgres/load.ts';
import { examine } from '../../support/superuser.ts';

/** Starts a server on restored data and checks all of it. @returns what is wrong */
export async function examineCopy(
  { major, dataDir, socketDir }: { major: number; dataDir: string; socketDir: string },
  acked: Acked,
): Promise<string[]> {
  // A copy without a receipt was not prepared; its lock file still refers to the source.
  await rm(join(dataDir, 'postmaster.pid'), { force: true });
  // A copy of a standby must not catch up with its primary before it is checked.
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
