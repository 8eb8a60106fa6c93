import { open, stat } from 'node:fs/promises';
import { dirname, join, relative } from 'node:path';
import { QuiesceError } from '../../../errors.ts';
import { describeErrno, isErrno, syncFolder } from '../../../lib/durable-files.ts';
import { isInside } from '../../../lib/paths.ts';
import type { CopyMethod } from '../../../receipt/receipt.ts';
import {
  type DataFile,
  dataFiles,
  findFolder,
  type FileNames,
  readAof,
  readRdb,
} from './data-files.ts';
import { ContentDigests } from './content-digests.ts';
import { type Fingerprint, readFingerprint } from './fingerprint.ts';
import { numberOf } from '../connection/replies.ts';
import type { ServerFacts } from '../server.ts';

/** A file that was synced after its state was read. As long as it stays the same, it is on the disk. */
export interface SyncedFile extends DataFile {
  readonly fingerprint: Fingerprint;
}

/** The server's own files, on a volume that is mounted in the sidecar as well. */
export class ServerFiles {
  /** The server's folder, in our file system. */
  readonly dir: string;
  readonly dataDir: string;
  readonly names: FileNames;
  readonly contents: ContentDigests;

  constructor(dataDir: string, dir: string, names: FileNames) {
    this.contents = new ContentDigests(dir);
    this.dataDir = dataDir;
    this.dir = dir;
    this.names = names;
  }

  /** The folder within the volume; `''` for the volume itself. */
  get relative(): string {
    return relative(this.dataDir, this.dir);
  }

  /**
   * Finds the files. A server that has not saved yet has none: its folder is then the one it reports.
   *
   * @throws QuiesceError ENGINE_DATA_MISMATCH where the volume holds nothing of this server.
   */
  static async find(
    dataDir: string,
    reported: string | null,
    names: FileNames,
    savedNothingYet: boolean,
  ): Promise<ServerFiles> {
    try {
      const dir = await findFolder(dataDir, reported, names);
      if (dir !== null) return new ServerFiles(dataDir, dir, names);
      if (savedNothingYet) {
        const there = reported !== null && (await stat(reported).catch(() => undefined));
        const inside = reported !== null && isInside(reported, dataDir);
        return new ServerFiles(dataDir, there && inside ? reported : dataDir, names);
      }
    } catch (error) {
      throw unreadable(dataDir, error);
    }
    throw mismatch(
      `${dataDir} holds neither an AOF nor an RDB file of this server (its dir is ${reported ?? 'not reported'})`,
    );
  }

  /**
   * Writes to the disk everything that the kernel still caches of these files (fdatasync) and of the
   * names in their folders (fsync). It does not depend on what the server reports.
   *
   * @param before files synced earlier: one that is unchanged is not synced again.
   */
  async sync(
    files: readonly DataFile[],
    before: readonly SyncedFile[] = [],
  ): Promise<readonly SyncedFile[]> {
    const renamed = files.filter(({ name, inode }) => {
      return !before.some((one) => one.name === name && one.inode === inode);
    });
    const folders = new Set(
      renamed.flatMap(({ name }) => [this.dir, dirname(join(this.dir, name))]),
    );
    return await this.#read(async () => {
      const [synced] = await Promise.all([
        Promise.all(
          files.map(async (file) => {
            return before.find((one) => isSame(one, file)) ?? (await this.#sync(file));
          }),
        ),
        ...[...folders].map((folder) => syncFolder(folder)),
      ]);
      return synced;
    });
  }

  async #sync(file: DataFile): Promise<SyncedFile> {
    const handle = await open(join(this.dir, file.name), 'r');
    try {
      const [fingerprint, sha256] = await Promise.all([
        readFingerprint(handle, file),
        this.contents.finish(file),
        handle.datasync(),
      ]);
      return {
        ...file,
        fingerprint: sha256 === undefined ? fingerprint : { ...fingerprint, sha256 },
      };
    } finally {
      await handle.close();
    }
  }

  /**
   * The files of the AOF. Only `requireWritten` proves that they are this server's.
   *
   * @param before its files at the last look: while the manifest is unchanged, so is their list.
   */
  async aof(before: readonly DataFile[] = []): Promise<readonly DataFile[]> {
    const files = await this.#read(async () => {
      const known = await dataFiles(
        this.dir,
        before.map(({ name }) => name),
      );
      const [then, now] = [before.at(-1), known?.at(-1)];
      const listed = now?.name.endsWith('.manifest') && then && isSame(then, now);
      return listed ? (known ?? null) : await readAof(this.dir, this.names);
    });
    if (files === null) throw mismatch(`${this.dir} holds no AOF, but the server writes one`);
    return files;
  }

  /** @throws QuiesceError ENGINE_DATA_MISMATCH where their size differs from what the server reports as written. */
  requireWritten(files: readonly DataFile[], facts: ServerFacts): void {
    const parts = files.filter(({ name }) => !name.endsWith('.manifest'));
    const total = parts.reduce((sum, { size }) => sum + size, 0);
    // The server's count leaves out the base file that a new server begins with (measured, 7.0 to 9.1).
    const withoutBase = total - (parts.length > 1 ? (parts[0]?.size ?? 0) : 0);
    const counted = numberOf(facts.info, 'aof_current_size');
    if (counted === total || counted === withoutBase) return;
    throw mismatch(
      `the AOF in ${this.dir} has ${total} bytes, but the server has written ${counted}`,
    );
  }

  /** The RDB file, proven to be of this save: it is not older than the beginning of the save. */
  async rdbOf(facts: ServerFacts, begunAtMs: number): Promise<readonly DataFile[]> {
    const file = await this.#read(() => readRdb(this.dir, this.names));
    if (file === null)
      throw mismatch(`${this.dir} holds no ${this.names.dbfilename}, but the server has saved one`);
    // File systems stamp with a coarse clock that lags by some milliseconds.
    if (file.mtimeMs < begunAtMs - 1_000) {
      throw mismatch(
        `${join(this.dir, file.name)} is older than the save that ${facts.flavor} has just made`,
      );
    }
    return [file];
  }

  /** Whether an RDB file ends without a checksum (`rdbchecksum no`), so that only a digest shows damage. */
  async lacksChecksum([rdb]: readonly DataFile[]): Promise<boolean> {
    return rdb !== undefined && (await this.#read(() => endsInZeroes(join(this.dir, rdb.name))));
  }

  /** Whether these are still the files that were synced, unchanged and not replaced. */
  async areStill(synced: readonly SyncedFile[]): Promise<boolean> {
    const names = synced.map(({ name }) => name);
    const now = await this.#read(() => dataFiles(this.dir, names));
    return now?.every((file, at) => isSame(file, synced[at])) ?? false;
  }

  /** @throws QuiesceError COPY_UNSUPPORTED where a snapshot of one volume would lack some of the files. */
  async requireOneVolume(files: readonly DataFile[], copy: CopyMethod): Promise<void> {
    const { dev } = await stat(this.dataDir);
    const elsewhere = files.find(({ device }) => device !== dev);
    if (copy !== 'snapshot' || elsewhere === undefined) return;
    throw new QuiesceError(
      'COPY_UNSUPPORTED',
      `${join(this.dir, elsewhere.name)} is not on the volume of ${this.dataDir}: a snapshot of that volume would lack it.`,
      { hint: 'Keep all files of the server on one volume, or set QUIESCE_COPY=volumes.' },
    );
  }

  async #read<T>(work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      throw unreadable(this.dir, error);
    }
  }
}

function isSame(one: DataFile, other: DataFile | undefined): boolean {
  return (
    one.name === other?.name &&
    one.inode === other.inode &&
    one.size === other.size &&
    one.mtimeMs === other.mtimeMs
  );
}

async function endsInZeroes(path: string): Promise<boolean> {
  const handle = await open(path, 'r');
  try {
    const { size } = await handle.stat();
    const end = Buffer.alloc(8);
    await handle.read(end, 0, end.length, Math.max(0, size - end.length));
    return end.every((byte) => byte === 0);
  } finally {
    await handle.close();
  }
}

function mismatch(why: string): QuiesceError {
  return new QuiesceError('ENGINE_DATA_MISMATCH', `${why.charAt(0).toUpperCase()}${why.slice(1)}.`);
}

function unreadable(path: string, error: unknown): QuiesceError {
  if (error instanceof QuiesceError) return error;
  const denied = isErrno(error, 'EACCES') || isErrno(error, 'EPERM');
  return new QuiesceError(
    'ENGINE_FAILED',
    `The server's files in ${path} cannot be read or synced: ${describeErrno(error)}.`,
    {
      cause: error,
      ...(denied
        ? {
            hint: "Run the sidecar as the server's user or in its group (runAsUser, fsGroup), or unset QUIESCE_DATA_DIR.",
          }
        : {}),
    },
  );
}
