import { createHash } from 'node:crypto';
import { type FileHandle, open, stat } from 'node:fs/promises';
import { dirname, join, relative } from 'node:path';
import { QuiesceError } from '../../../errors.ts';
import { describeErrno, isErrno, syncFolder } from '../../../lib/durable-files.ts';
import type { CopyMethod } from '../../../receipt/receipt.ts';
import {
  type DataFile,
  dataFiles,
  findFolder,
  type FileNames,
  readAof,
  readRdb,
} from './data-files.ts';
import { numberOf } from '../connection/replies.ts';
import type { ServerFacts } from '../server.ts';

/** What is hashed of each end of a file: enough to tell it from another one, and quick. */
const EDGE_BYTES = 64 * 1024;

/** What the receipt tells of one file, to be found again in the copy. */
export interface Fingerprint {
  /** Within the server's folder. */
  readonly name: string;
  readonly size: number;
  /** SHA-256 of its first and of its last 64 KiB (of all of it where it is smaller). */
  readonly head: string;
  readonly tail: string;
}

/** A file that was synced after it was looked at: as long as it is the same, it is on the disk. */
export interface SyncedFile extends DataFile {
  readonly fingerprint: Fingerprint;
}

/** The server's own files, on a volume that the sidecar sees as well. */
export class ServerFiles {
  /** The server's folder, in our file system. */
  readonly dir: string;
  readonly dataDir: string;
  readonly names: FileNames;

  constructor(dataDir: string, dir: string, names: FileNames) {
    this.dataDir = dataDir;
    this.dir = dir;
    this.names = names;
  }

  /** The folder within the volume; `''` for the volume itself. */
  get relative(): string {
    return relative(this.dataDir, this.dir);
  }

  /**
   * Finds them. A server that has saved nothing yet has none: then its folder must be the one it reports.
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
        const inside = reported !== null && !relative(dataDir, reported).startsWith('..');
        return new ServerFiles(dataDir, there && inside ? reported : dataDir, names);
      }
    } catch (error) {
      throw unreadable(dataDir, error);
    }
    throw mismatch(
      `${dataDir} holds neither an AOF nor an RDB file of this server (it keeps them in ${reported ?? 'a folder it does not tell'})`,
    );
  }

  /**
   * Writes what the kernel still keeps in memory of these files to the disk, whoever has written it,
   * and the names of the folders, too: fdatasync and fsync, of which the server's own word is no part.
   *
   * @param before what was synced already: one that is still the same is not touched again.
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
      const [fingerprint] = await Promise.all([readFingerprint(handle, file), handle.datasync()]);
      return { ...file, fingerprint };
    } finally {
      await handle.close();
    }
  }

  /**
   * The AOF, once it is proven to be this server's by `requireWritten`.
   *
   * @param before its files as they were: as long as the manifest is the same, so is their list.
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

  /** @throws QuiesceError ENGINE_DATA_MISMATCH where these are not as many bytes as the server says it has written. */
  requireWritten(files: readonly DataFile[], facts: ServerFacts): void {
    const parts = files.filter(({ name }) => !name.endsWith('.manifest'));
    const total = parts.reduce((sum, { size }) => sum + size, 0);
    // The base that a new server begins with is not in its count (measured, 7.0 to 9.1).
    const withoutBase = total - (parts.length > 1 ? (parts[0]?.size ?? 0) : 0);
    const counted = numberOf(facts.info, 'aof_current_size');
    if (counted === total || counted === withoutBase) return;
    throw mismatch(
      `the AOF in ${this.dir} has ${total} bytes, but the server has written ${counted}`,
    );
  }

  /** The RDB file, proven to be of this save: not older than its beginning on the server's clock. */
  async rdbOf(facts: ServerFacts, begunAtMs: number): Promise<readonly DataFile[]> {
    const file = await this.#read(() => readRdb(this.dir, this.names));
    if (file === null)
      throw mismatch(`${this.dir} holds no ${this.names.dbfilename}, but the server has saved one`);
    // A file system stamps with a coarse clock: some milliseconds behind.
    if (file.mtimeMs < begunAtMs - 1_000) {
      throw mismatch(
        `${join(this.dir, file.name)} is older than the save that ${facts.flavor} has just made`,
      );
    }
    return [file];
  }

  /** Whether these are the very files that were synced: what was put in the place of one is not. */
  async areStill(synced: readonly SyncedFile[]): Promise<boolean> {
    const names = synced.map(({ name }) => name);
    const now = await this.#read(() => dataFiles(this.dir, names));
    return now?.every((file, at) => isSame(file, synced[at])) ?? false;
  }

  /** @throws QuiesceError COPY_UNSUPPORTED where a snapshot of the one volume would lack some of them. */
  async requireOneVolume(files: readonly DataFile[], copy: CopyMethod): Promise<void> {
    const { dev } = await stat(this.dataDir);
    const elsewhere = files.find(({ device }) => device !== dev);
    if (copy !== 'snapshot' || elsewhere === undefined) return;
    throw new QuiesceError(
      'COPY_UNSUPPORTED',
      `${join(this.dir, elsewhere.name)} does not lie on the volume of ${this.dataDir}: a snapshot of that volume would lack it.`,
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

/** @param size of the file as it was: what has been appended since is left out. */
export async function fingerprintOf(dir: string, name: string, size: number): Promise<Fingerprint> {
  const file = await open(join(dir, name), 'r');
  try {
    return await readFingerprint(file, { name, size });
  } finally {
    await file.close();
  }
}

async function readFingerprint(
  file: FileHandle,
  { name, size }: Pick<DataFile, 'name' | 'size'>,
): Promise<Fingerprint> {
  const edge = async (at: number): Promise<string> => {
    const buffer = Buffer.alloc(Math.min(EDGE_BYTES, size - at));
    const { bytesRead } = await file.read(buffer, 0, buffer.length, at);
    return createHash('sha256').update(buffer.subarray(0, bytesRead)).digest('hex');
  };
  const [head, tail] = await Promise.all([edge(0), edge(Math.max(0, size - EDGE_BYTES))]);
  return { name, size, head, tail };
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
            hint: "Run the sidecar as the server's user or in its group (runAsUser, fsGroup), or leave out QUIESCE_DATA_DIR.",
          }
        : {}),
    },
  );
}
