import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { EmbeddedPostgres, freePort } from '../../src/testbed/postgres/server.ts';
import { WriterLoad } from '../../src/testbed/postgres/load.ts';
import { tool } from '../../src/testbed/os.ts';
import { runCli, type SidecarProcess } from '../../src/testbed/processes.ts';
import {
  connectionTo,
  DATABASE,
  makeRole,
  startServer,
  startSidecar,
  withClient,
} from '../../src/demo/source.ts';
import { makeVolume } from '../../src/testbed/volume/make-volume.ts';
import type { Workspace } from '../../src/testbed/workspace.ts';

export interface RigOptions {
  readonly postgres: number;
  readonly serverSettings?: Readonly<Record<string, string>>;
  readonly initdbArgs?: readonly string[];
  /** Settings of the sidecar: `QUIESCE_…`. */
  readonly sidecar?: Readonly<Record<string, string>>;
  /** Puts pg_wal on its own volume. */
  readonly walApart?: boolean;
  /** Adds a streaming standby; the sidecar freezes that instead of the primary. */
  readonly standby?: boolean;
}

/** Real servers with a real sidecar, which the workspace stops and removes. */
export interface Rig {
  /** The server that writers write to. */
  readonly primary: EmbeddedPostgres;
  /** The server that is frozen: the primary, or its standby. */
  readonly target: EmbeddedPostgres;
  readonly volume: string;
  readonly sidecar: SidecarProcess;
  /** libpq's settings of the sidecar's role. */
  readonly role: Readonly<Record<string, string>>;
}

interface ServerPlace {
  readonly name: string;
  readonly volume: string;
}

async function makeServer(
  workspace: Workspace,
  { name, volume }: ServerPlace,
  { postgres, serverSettings = {}, initdbArgs = [] }: RigOptions,
): Promise<EmbeddedPostgres> {
  const server = await EmbeddedPostgres.at({
    major: postgres,
    dataDir: join(volume, 'pgdata'),
    port: await freePort(),
    socketDir: join(workspace.dir, name),
    logFile: join(workspace.dir, `${name}.log`),
    settings: serverSettings,
    initdbArgs,
  });
  await workspace.defer(() => server.stop('immediate'));
  return server;
}

/** @param fill called with the primary before it is cloned or frozen. */
export async function makeRig(
  workspace: Workspace,
  options: RigOptions,
  fill: (primary: EmbeddedPostgres) => Promise<void> = async () => undefined,
): Promise<Rig> {
  const { data, wal } = await makeFolders(workspace, options.walApart ?? false);
  const place = { name: 'primary', volume: data };
  const initdbArgs = wal === null ? [] : [`--waldir=${wal}/pg_wal`];
  const primary = await makeServer(workspace, place, {
    ...options,
    initdbArgs: [...initdbArgs, ...(options.initdbArgs ?? [])],
  });
  if (wal !== null) await primary.own(wal);
  await primary.initdb();
  await startServer(workspace, primary);
  const role = await makeRole(workspace, primary);
  await fill(primary);
  await withClient(primary, DATABASE, (client) => client.query('CHECKPOINT'));
  const standby = options.standby ? await makeStandby(workspace, primary, place, options) : null;
  const volume = standby?.volume ?? place.volume;
  const target = standby?.server ?? primary;
  const settings = { ...role, ...options.sidecar };
  const sidecar = await startSidecar(workspace, 'sc', target, volume, settings);
  await sidecar.ready();
  return { primary, target, volume, sidecar, role };
}

/** Two volumes are two btrfs subvolumes; without btrfs, a folder and one in memory. */
async function makeFolders(
  workspace: Workspace,
  walApart: boolean,
): Promise<{ data: string; wal: string | null }> {
  const data = join(workspace.dir, 'volume');
  if (!walApart) {
    await mkdir(data);
    return { data, wal: null };
  }
  const volume = await makeVolume(workspace.dir);
  await workspace.defer(() => volume.dispose());
  if (volume.kind === 'btrfs') {
    const wal = join(dirname(volume.path), 'wal');
    await tool('btrfs', 'subvolume', 'create', wal);
    return { data: volume.path, wal };
  }
  const wal = await mkdtemp('/dev/shm/quiesce-bench-');
  await workspace.defer(() => rm(wal, { recursive: true, force: true }));
  return { data: volume.path, wal };
}

/** Makes a standby from a copy of the stopped primary, then starts both. */
async function makeStandby(
  workspace: Workspace,
  primary: EmbeddedPostgres,
  from: ServerPlace,
  options: RigOptions,
) {
  const place = { name: 'standby', volume: join(workspace.dir, 'standby-volume') };
  await primary.stop('fast');
  await tool('cp', '-a', from.volume, place.volume);
  await startServer(workspace, primary);
  const server = await makeServer(workspace, place, options);
  const { dataDir } = server.options;
  const conninfo = `host=127.0.0.1 port=${primary.options.port} user=postgres password=postgres`;
  await writeFile(join(dataDir, 'postgresql.auto.conf'), `primary_conninfo = '${conninfo}'\n`);
  await writeFile(join(dataDir, 'standby.signal'), '');
  await server.own(dataDir);
  await server.own(join(dataDir, 'postgresql.auto.conf'));
  await server.own(join(dataDir, 'standby.signal'));
  await startServer(workspace, server);
  return { server, volume: place.volume };
}

/** A load whose `fill` creates its tables; after `start` it writes until the workspace is disposed. */
export function makeLoad(
  workspace: Workspace,
  options: { readonly clients: number; readonly thinkMs: number },
) {
  let load: WriterLoad | undefined;
  return {
    fill: async (primary: EmbeddedPostgres): Promise<void> => {
      load = new WriterLoad({ connection: connectionTo(primary, DATABASE), ...options });
      await load.prepare();
    },
    start: async (): Promise<WriterLoad> => {
      if (!load) throw new Error('The load has no tables yet.');
      const started = load;
      await started.start();
      await workspace.defer(() => started.stop());
      return started;
    },
  };
}

/** Runs the command that a hook execs. @throws when it fails: only successful calls are measured. */
export async function quiesce(
  { sidecar }: Pick<Rig, 'sidecar'>,
  verb: 'freeze' | 'thaw',
): Promise<void> {
  // Longer than a hook would wait: on a busy machine a late freeze is still measured.
  const args = verb === 'freeze' ? ['--timeout', '2m'] : [];
  const { code, stderr } = await runCli([verb, ...args], sidecar.env);
  if (code !== 0) throw new Error(`quiesce ${verb} exited ${code}: ${stderr}`);
}
