import { appendFile, cp, mkdir, rm, writeFile } from 'node:fs/promises';
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { EmbeddedPostgres, freePort } from '../../src/testbed/postgres/server.ts';
import { makeVolume } from '../../src/testbed/volume/make-volume.ts';
import type { Volume } from '../../src/testbed/volume/volume.ts';
import { makeTempDir } from './postgres.ts';
import { type Rig } from './rig.ts';
import { roleEnv } from './superuser.ts';
import { TestSidecar } from './sidecar.ts';

export interface Standby {
  readonly dir: string;
  readonly server: EmbeddedPostgres;
  readonly volume: Volume;
  readonly sidecar: TestSidecar;
}

/** A streaming standby of the rig's server on its own volume, with a sidecar. */
export async function makeStandby(
  rig: Rig,
  env: Readonly<Record<string, string>> = {},
): Promise<Standby> {
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
  ownTree(standby, dataDir);
  rig.defer(() => rm(dir, { recursive: true, force: true }));
  rig.defer(() => volume.dispose());
  rig.defer(() => standby.stop('immediate'));
  await standby.start();
  await mkdir(join(dir, 'q'));
  const sidecar = new TestSidecar(join(dir, 'q'), {
    ...roleEnv(standby),
    QUIESCE_DATA_DIR: volume.path,
    ...env,
  });
  rig.defer(() => sidecar.signal('SIGKILL'));
  return { dir, server: standby, volume, sidecar };
}

function ownTree(server: EmbeddedPostgres, path: string): void {
  if (!server.user) return;
  spawnSync('chown', ['-R', `${server.user.uid}:${server.user.gid}`, path]);
}
