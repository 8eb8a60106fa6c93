import { execFileSync } from 'node:child_process';
import { appendFile, cp, mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { EmbeddedPostgres, freePort } from '../../src/demo/embedded-postgres.ts';
import { makeVolume, type Volume } from '../../src/demo/volume.ts';
import { makeTempDir } from './postgres.ts';
import { type Rig, roleEnv } from './rig.ts';
import { TestSidecar } from './sidecar.ts';

export interface Standby {
  readonly server: EmbeddedPostgres;
  readonly volume: Volume;
  /** Not started. */
  readonly sidecar: TestSidecar;
}

/** A streaming standby of the rig's server on a volume of its own, with a sidecar beside it. */
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
  const conninfo = `host=127.0.0.1 port=${port} user=postgres password=postgres`;
  await appendFile(join(dataDir, 'postgresql.auto.conf'), `primary_conninfo = '${conninfo}'\n`);
  server = await EmbeddedPostgres.at({
    major: rig.server.options.major,
    dataDir,
    port: await freePort(),
    socketDir: join(dir, 's'),
  });
  const standby = server;
  if (standby.user) {
    execFileSync('chown', ['-R', `${standby.user.uid}:${standby.user.gid}`, dataDir]);
  }
  rig.defer(() => rm(dir, { recursive: true, force: true }));
  rig.defer(() => volume.dispose());
  rig.defer(() => standby.stop('immediate'));
  await standby.start();
  await mkdir(join(dir, 'q'));
  const beside = { ...roleEnv(standby), QUIESCE_DATA_DIR: volume.path, ...env };
  const sidecar = new TestSidecar(join(dir, 'q'), beside);
  rig.defer(() => sidecar.signal('SIGKILL'));
  return { server: standby, volume, sidecar };
}
