import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, readdir, rm, symlink, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { EmbeddedPostgres, freePort } from '../../src/testbed/postgres/server.ts';
import { type LoadOptions, WriterLoad } from '../../src/testbed/postgres/load.ts';
import { makeVolume } from '../../src/testbed/volume/make-volume.ts';
import { atomicCopy, clone } from './copies.ts';
import { makeTempDir } from './postgres.ts';
import { ServerRig } from './server-rig.ts';
import type { TestSidecar } from './sidecar.ts';

const run = promisify(execFile);

const COPY = { QUIESCE_COPY: 'volumes' };

export type VolumeName = 'data' | 'wal' | 'ts';

interface Options {
  readonly major: number;
  /** With a third volume, for a tablespace that holds a part of the load. */
  readonly tablespace?: boolean;
  /** pg_wal inside the volume of the data. */
  readonly walWithData?: boolean;
  readonly initdbArgs?: readonly string[];
  readonly load?: Partial<LoadOptions>;
  readonly env?: Readonly<Record<string, string>>;
}

/** The copies of one backup, by volume. */
export type Cuts = Partial<Record<VolumeName, string>>;

/**
 * A server whose parts are on separate volumes (btrfs subvolumes, each with its own device number and
 * atomic snapshot), a writer load, and a sidecar with `copy: volumes`. Without root or btrfs the stand-in
 * is folders, with WAL on the file system of /dev/shm, copied while the server's processes are stopped.
 */
export class VolumesRig extends ServerRig {
  /** Where each volume is mounted. */
  readonly paths: Readonly<Record<VolumeName, string>>;
  readonly #btrfs: boolean;

  private constructor(
    paths: Record<VolumeName, string>,
    btrfs: boolean,
    dir: string,
    server: EmbeddedPostgres,
    { load = {}, env = {} }: Options,
  ) {
    const writer = new WriterLoad({ connection: server.superuser(), ...load });
    super(dir, server, writer, { QUIESCE_DATA_DIR: paths.data, ...COPY, ...env });
    this.paths = paths;
    this.#btrfs = btrfs;
  }

  static async make(options: Options): Promise<VolumesRig> {
    const { major, tablespace = false, walWithData = false, initdbArgs = [] } = options;
    const dir = await makeTempDir();
    const volume = await makeVolume(dir);
    const btrfs = volume.kind === 'btrfs';
    const root = dirname(volume.path);
    const elsewhere = btrfs ? root : await mkdtemp('/dev/shm/quiesce-');
    const paths = { data: volume.path, wal: join(elsewhere, 'wal'), ts: join(root, 'ts') };
    const waldir = walWithData ? [] : [`--waldir=${join(paths.wal, 'pg_wal')}`];
    const server = await EmbeddedPostgres.at({
      major,
      dataDir: join(volume.path, 'pgdata'),
      port: await freePort(),
      socketDir: join(dir, 's'),
      settings: { max_wal_size: '64MB', min_wal_size: '32MB' },
      initdbArgs: [...waldir, ...initdbArgs],
    });
    const rig = new VolumesRig(paths, btrfs, dir, server, options);
    rig.defer(() => rm(dir, { recursive: true, force: true }));
    if (!btrfs) rig.defer(() => rm(elsewhere, { recursive: true, force: true }));
    rig.defer(() => volume.dispose());
    return await rig.started(async () => {
      if (!walWithData) await rig.#subvolume('wal');
      await rig.startServer();
      if (tablespace) await rig.#tablespace();
    });
  }

  async #subvolume(name: VolumeName): Promise<void> {
    const path = this.paths[name];
    if (this.#btrfs) await run('btrfs', ['subvolume', 'create', path]);
    else await mkdir(path);
    await this.server.own(path);
  }

  async #tablespace(): Promise<void> {
    await this.#subvolume('ts');
    const folder = join(this.paths.ts, 'space');
    await mkdir(folder, { mode: 0o700 });
    await this.server.own(folder);
    await this.sql(`CREATE TABLESPACE fast LOCATION '${folder}'`);
    await this.sql('ALTER TABLE bank.ledger_0 SET TABLESPACE fast');
    await this.sql('ALTER TABLE bank.accounts SET TABLESPACE fast');
  }

  #place(name: VolumeName): string {
    return join(dirname(this.paths[name]), `copy-${this.next()}-${name}`);
  }

  /** Copies one volume atomically. @returns the path of the copy */
  async cut(name: VolumeName): Promise<string> {
    const path = this.#place(name);
    if (this.#btrfs) await run('btrfs', ['subvolume', 'snapshot', this.paths[name], path]);
    else await atomicCopy({ server: this.server, volume: this.paths[name] }, path);
    return path;
  }

  /** Duplicates a copy, to restore it in another way. */
  async again(cuts: Cuts): Promise<Cuts> {
    const copies: Cuts = {};
    for (const [name, from] of Object.entries(cuts) as [VolumeName, string][]) {
      const path = this.#place(name);
      if (this.#btrfs) await run('btrfs', ['subvolume', 'snapshot', from, path]);
      else await clone(from, path);
      copies[name] = path;
    }
    return copies;
  }

  /** Puts the copies together as on another machine: links lead to the copies. */
  async link({ data = '', wal, ts }: Cuts): Promise<string> {
    const pgdata = join(data, 'pgdata');
    if (wal !== undefined) await relink(join(pgdata, 'pg_wal'), join(wal, 'pg_wal'));
    if (ts !== undefined) {
      for (const oid of await readdir(join(pgdata, 'pg_tblspc'))) {
        await relink(join(pgdata, 'pg_tblspc', oid), join(ts, 'space'));
      }
    }
    return data;
  }

  /** Writes the receipt to a file, as a user keeps it. */
  async keep(text: string): Promise<string> {
    const path = join(this.dir, `receipt-${this.next()}.json`);
    await writeFile(path, text);
    return path;
  }

  override async sidecarOn(data: string, server: EmbeddedPostgres): Promise<TestSidecar> {
    return await super.sidecarOn(data, server, COPY);
  }
}

async function relink(path: string, target: string): Promise<void> {
  await rm(path);
  await symlink(target, path);
}
