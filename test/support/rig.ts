import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { EmbeddedPostgres, freePort } from '../../src/testbed/postgres/server.ts';
import { type LoadOptions, WriterLoad } from '../../src/testbed/postgres/load.ts';
import { makeVolume } from '../../src/testbed/volume/make-volume.ts';
import type { Snapshot, Volume } from '../../src/testbed/volume/volume.ts';
import { makeTempDir } from './postgres.ts';
import { ServerRig } from './server-rig.ts';

export interface RigOptions {
  readonly major: number;
  readonly settings?: Readonly<Record<string, string>>;
  readonly initdbArgs?: readonly string[];
  readonly load?: Partial<LoadOptions>;
  /** Default: the best kind available. */
  readonly volume?: (dir: string, postmaster: () => number | undefined) => Promise<Volume>;
  /** Settings of the sidecar. */
  readonly env?: Readonly<Record<string, string>>;
}

/**
 * A real server on a volume that can be copied atomically, with a writer load and a sidecar that connects
 * as the least-privileged role.
 */
export class Rig extends ServerRig {
  readonly volume: Volume;

  private constructor(
    dir: string,
    volume: Volume,
    server: EmbeddedPostgres,
    options: Pick<RigOptions, 'load' | 'env'>,
  ) {
    const load = new WriterLoad({ connection: server.superuser(), ...options.load });
    super(dir, server, load, { QUIESCE_DATA_DIR: volume.path, ...options.env });
    this.volume = volume;
  }

  /** Resolves when the server runs. The test starts the load and the sidecar. */
  static async make(options: RigOptions): Promise<Rig> {
    const { volume: make = (dir, postmaster) => makeVolume(dir, { postmaster }) } = options;
    const dir = await makeTempDir();
    let server: EmbeddedPostgres | undefined;
    const volume = await make(dir, () => server?.pid);
    server = await EmbeddedPostgres.at({
      major: options.major,
      dataDir: join(volume.path, 'pgdata'),
      port: await freePort(),
      socketDir: join(dir, 's'),
      settings: { max_wal_size: '256MB', ...options.settings },
      initdbArgs: options.initdbArgs ?? [],
    });
    const rig = new Rig(dir, volume, server, options);
    rig.defer(() => rm(dir, { recursive: true, force: true }));
    rig.defer(() => volume.dispose());
    return await rig.started(() => rig.startServer());
  }

  async snapshot(name: string): Promise<Snapshot> {
    return await this.volume.snapshot(name);
  }
}
