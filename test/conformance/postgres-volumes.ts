import { mkdir, readdir, rm, symlink } from 'node:fs/promises';
import { join } from 'node:path';
import type { EmbeddedPostgres } from '../../src/testbed/postgres/server.ts';
import { tool } from '../../src/testbed/os.ts';
import { makeVolume } from '../../src/testbed/volume/make-volume.ts';
import type { Volume } from '../../src/testbed/volume/volume.ts';
import { makeBlockVolume } from '../support/block-volume.ts';
import { copyFileByFile } from '../support/file-copy.ts';
import { type Backup, snapshotBackup, type StartOptions } from './fixture.ts';

export type DataVolume = Pick<Volume, 'path' | 'snapshot' | 'dispose'>;

/** What the server does between two steps of a copy, to make the copy worse. */
type Between = () => Promise<unknown>;

/**
 * The volumes of one server, and how to copy and restore them: one volume, or three with `copy:
 * volumes`.
 */
export class PostgresVolumes {
  readonly data: DataVolume;
  /** With `copy: volumes`: pg_wal, and a tablespace. */
  readonly #further: Readonly<Record<'wal' | 'space', DataVolume>> | undefined;
  readonly #options: StartOptions;

  private constructor(
    options: StartOptions,
    data: DataVolume,
    further: Record<'wal' | 'space', DataVolume> | undefined,
  ) {
    this.#options = options;
    this.data = data;
    this.#further = further;
  }

  static async make(
    options: StartOptions,
    postmaster: () => number | undefined,
  ): Promise<PostgresVolumes> {
    const { dir, copy, disk } = options;
    // A copy made file by file reads through the page cache, so the disk's content does not matter.
    if (copy === 'files' && disk !== 'block') {
      return new PostgresVolumes(options, await makeVolume(dir, { postmaster }), undefined);
    }
    const made = [];
    for (const name of copy === 'volumes' ? ['data', 'wal', 'space'] : ['data']) {
      made.push(await makeBlockVolume(dir, { name, postmaster }));
    }
    const [data, wal, space] = made;
    if (!data) throw new Error('no volume was made');
    return new PostgresVolumes(options, data, wal && space && { wal, space });
  }

  get #all(): DataVolume[] {
    return [this.data, ...Object.values(this.#further ?? {})];
  }

  get pgdata(): string {
    return join(this.data.path, 'pgdata');
  }

  /** The folder of the tablespace, if there is one. */
  get spaces(): readonly string[] {
    return this.#further ? [join(this.#further.space.path, 'space')] : [];
  }

  get initdbArgs(): readonly string[] {
    return this.#further ? [`--waldir=${join(this.#further.wal.path, 'pg_wal')}`] : [];
  }

  /** Call it before `initdb`. */
  async giveTo(server: EmbeddedPostgres): Promise<void> {
    for (const { path } of this.#all) await server.own(path);
    for (const space of this.spaces) {
      await mkdir(space, { mode: 0o700 });
      await server.own(space);
    }
  }

  /** Writes to disk what was written without a sync, as on any server in use. */
  async sync(): Promise<void> {
    for (const { path } of this.#all) await tool('sync', '-f', path).catch(() => undefined);
  }

  async dispose(): Promise<void> {
    for (const volume of this.#all) await volume.dispose().catch(() => undefined);
  }

  backup(name: string, between: Between): Backup {
    if (this.#further) return this.#volumesBackup(name, between);
    if (this.#options.copy === 'files') return this.#filesBackup(name, between);
    const backup = snapshotBackup(this.data, name);
    return {
      ...backup,
      during: async () => {
        await between();
        await backup.during();
      },
    };
  }

  /** File by file, in random order, with page writes forced half-way. */
  #filesBackup(name: string, between: Between): Backup {
    const to = join(this.#options.dir, name);
    return {
      during: () => copyFileByFile(this.data.path, to, { between }),
      after: () => Promise.resolve(),
      mount: () => Promise.resolve(to),
    };
  }

  /** Data and tablespace while frozen, the WAL after the thaw. */
  #volumesBackup(name: string, between: Between): Backup {
    const cuts: Cuts = {};
    const cut = async (part: keyof Cuts, volume: DataVolume | undefined): Promise<void> => {
      await between();
      if (volume) cuts[part] = (await volume.snapshot(name)).path;
    };
    return {
      during: async () => {
        await cut('data', this.data);
        await cut('space', this.#further?.space);
      },
      after: () => cut('wal', this.#further?.wal),
      mount: () => mount(cuts),
    };
  }

  /** Copies all volumes. The caller must have stalled the server. */
  async copyNow(name: string): Promise<string> {
    const data = (await this.data.snapshot(name)).path;
    if (!this.#further) return data;
    const space = (await this.#further.space.snapshot(name)).path;
    const wal = (await this.#further.wal.snapshot(name)).path;
    return await mount({ data, space, wal });
  }
}

type Cuts = Partial<Record<'data' | 'wal' | 'space', string>>;

/** Mounts the copies together, as on another machine: links lead to the copies. */
async function mount({ data, wal, space }: Cuts): Promise<string> {
  if (data === undefined || wal === undefined || space === undefined) {
    throw new Error('not every volume was cut');
  }
  await relink(join(data, 'pgdata/pg_wal'), join(wal, 'pg_wal'));
  const links = join(data, 'pgdata/pg_tblspc');
  for (const oid of await readdir(links)) await relink(join(links, oid), join(space, 'space'));
  return data;
}

async function relink(path: string, target: string): Promise<void> {
  await rm(path);
  await symlink(target, path);
}
