import { createHash } from 'node:crypto';
import { open, stat } from 'node:fs/promises';
import { dirname, join, relative } from 'node:path';
import { QuiesceError } from '../../errors.ts';
import { describeErrno, isErrno, syncFolder } from '../../files.ts';
import type { CopyMethod } from '../engine.ts';
import { type DataFile, findFolder, type FileNames, readAof, readRdb } from './layout.ts';
import { numberOf } from './replies.ts';
import type { ServerFacts } from './server.ts';

/** What is hashed of each end of a file: enough to tell it from another one, and quick. */
const EDGE_BYTES = 64 * 1024;

/** What the receipt tells of one file, to be found again in the copy. */
export interface FilePrint {
  /** Within the server's folder. */
  readonly name: string;
  readonly size: number;
  /** SHA-256 of its first and of its last 64 KiB (of all of it where it is smaller). */
  readonly head: string;
  readonly tail: string;
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
   */
  async sync(files: readonly DataFile[]): Promise<void> {
    try {
      const folders = new Set([this.dir]);
      for (const { name } of files) {
        const path = join(this.dir, name);
        folders.add(dirname(path));
        const file = await open(path, 'r');
        try {
          await file.sync();
        } finally {
          await file.close();
        }
      }
      for (const folder of folders) await syncFolder(folder);
    } catch (error) {
      throw unreadable(this.dir, error);
    }
  }

  /** The AOF, proven to be this server's: as many bytes as it says it has written. */
  async aofOf(facts: ServerFacts): Promise<readonly DataFile[]> {
    const files = await this.#read(() => readAof(this.dir, this.names));
    if (files === null) throw mismatch(`${this.dir} holds no AOF, but the server writes one`);
    const parts = files.filter(({ name }) => !name.endsWith('.manifest'));
    const total = parts.reduce((sum, { size }) => sum + size, 0);
    // The base that a new server begins with is not in its count (measured, 7.0 to 9.1).
    const withoutBase = total - (parts.length > 1 ? (parts[0]?.size ?? 0) : 0);
    const counted = numberOf(facts.info, 'aof_current_size');
    if (counted === total || counted === withoutBase) return files;
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

  async prints(files: readonly DataFile[]): Promise<readonly FilePrint[]> {
    const prints: FilePrint[] = [];
    for (const { name, size } of files) prints.push(await printOf(this.dir, name, size));
    return prints;
  }

  async #read<T>(work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      throw unreadable(this.dir, error);
    }
  }
}

/** @param size of the file as it was: what has been appended since is left out. */
export async function printOf(dir: string, name: string, size: number): Promise<FilePrint> {
  const file = await open(join(dir, name), 'r');
  try {
    const edge = async (at: number): Promise<string> => {
      const buffer = Buffer.alloc(Math.min(EDGE_BYTES, size - at));
      const { bytesRead } = await file.read(buffer, 0, buffer.length, at);
      return createHash('sha256').update(buffer.subarray(0, bytesRead)).digest('hex');
    };
    return { name, size, head: await edge(0), tail: await edge(Math.max(0, size - EDGE_BYTES)) };
  } finally {
    await file.close();
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
            hint: "Run the sidecar as the server's user or in its group (runAsUser, fsGroup), or leave out QUIESCE_DATA_DIR.",
          }
        : {}),
    },
  );
}
