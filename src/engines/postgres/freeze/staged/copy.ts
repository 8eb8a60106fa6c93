import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { constants } from 'node:fs';
import {
  chmod,
  copyFile,
  type FileHandle,
  lchown,
  mkdir,
  open,
  rm,
  symlink,
} from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { isErrno, syncFolder } from '../../../../lib/durable-files.ts';
import { openRegular } from '../../../../lib/regular-file.ts';
import type { Manifest } from './manifest.ts';
import { ignoreGone } from './sources.ts';
import type { Sources } from './sources.ts';
import type { Space } from './space.ts';
import { pace } from './throttle.ts';

const CHUNK = 1 << 20;
/** Dirty data is flushed in small amounts: one big flush would hold up the server's own. */
const FLUSH_EVERY = 8 << 20;
const WORKERS = 2;

export interface Owner {
  readonly uid: number;
  readonly gid: number;
}

/** Copies files of a live PGDATA into the base of a staged backup and keeps its manifest. */
export class Stager {
  readonly #from: string;
  readonly #base: string;
  readonly #owner: Owner | undefined;
  readonly #space: Space;
  readonly #folders: string[] = [];
  readonly #links: Manifest['links'] = [];
  readonly #files: Manifest['files'] = [];
  #unflushed = false;
  /** Whether the file system can share extents. The first file decides. */
  reflink: boolean;
  onBytes: (bytes: number) => void = () => undefined;

  constructor(
    from: string,
    base: string,
    options: { space: Space; owner: Owner | undefined; reflink: boolean },
  ) {
    this.#from = from;
    this.#base = base;
    this.#space = options.space;
    this.#owner = options.owner;
    this.reflink = options.reflink;
  }

  /**
   * Copies folders, links and files. Skips a file that has vanished. Files are durable afterwards,
   * folders are not.
   */
  async copyAll(sources: Sources, signal: AbortSignal): Promise<void> {
    for (const { path, mode } of sources.folders) await this.makeFolder(path, mode);
    for (const { path, target } of sources.links) {
      await symlink(target, join(this.#base, path));
      if (this.#owner) await lchown(join(this.#base, path), this.#owner.uid, this.#owner.gid);
      this.#links.push({ path, target });
    }
    const queue = sources.files.values();
    const abort = new AbortController();
    const either = AbortSignal.any([signal, abort.signal]);
    const work = async (): Promise<void> => {
      for (const { path } of queue) await this.copy(path, either);
    };
    const workers = Array.from({ length: this.reflink ? 1 : WORKERS }, () =>
      work().catch((error: unknown) => {
        abort.abort(error);
        throw error;
      }),
    );
    // Waits for all workers: none may write into a folder that is being removed.
    await Promise.allSettled(workers);
    await Promise.all(workers);
  }

  async makeFolder(path: string, mode: number): Promise<void> {
    const target = join(this.#base, path);
    await mkdir(target, { mode }).catch((error: unknown) => {
      if (!isErrno(error, 'EEXIST')) throw error;
    });
    await chmod(target, mode);
    if (this.#owner) await lchown(target, this.#owner.uid, this.#owner.gid);
    if (!this.#folders.includes(path)) this.#folders.push(path);
  }

  /**
   * Copies one file in its present state, from `source` where that is another path.
   *
   * @returns false where the file has vanished.
   */
  async copy(path: string, signal: AbortSignal, source = join(this.#from, path)): Promise<boolean> {
    signal.throwIfAborted();
    const began = performance.now();
    const from = await openRegular(source, constants.O_NOFOLLOW).catch(ignoreGone);
    if (from === undefined) return false;
    try {
      const { mode } = await from.stat();
      const target = join(this.#base, path);
      const shared = this.reflink && (await share(source, target));
      if (shared === 'gone') return false;
      const flags = shared ? constants.O_RDWR : constants.O_RDWR | constants.O_CREAT;
      const to = await open(target, flags | constants.O_NOFOLLOW, 0o600);
      try {
        await this.#copyContents(path, shared ? to : from, to, mode & 0o7777, signal);
      } finally {
        await to.close();
      }
    } finally {
      await from.close();
    }
    await pace(Math.min(performance.now() - began, 20), signal);
    return true;
  }

  /** Writes a small file of our own. */
  async write(path: string, content: string | Buffer): Promise<void> {
    const to = await open(
      join(this.#base, path),
      constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL,
      0o600,
    );
    try {
      await to.writeFile(content);
      await this.#finishFile(to, 0o600, true);
    } finally {
      await to.close();
    }
    const bytes = Buffer.from(content);
    const sha256 = createHash('sha256').update(bytes).digest('hex');
    this.#files.push({ path, size: bytes.length, sha256 });
  }

  /**
   * The manifest describes the bytes that were read for writing, or read back from a shared file.
   */
  async #copyContents(
    path: string,
    from: FileHandle,
    to: FileHandle,
    mode: number,
    signal: AbortSignal,
  ): Promise<void> {
    const hash = createHash('sha256');
    const chunk = Buffer.allocUnsafe(CHUNK);
    let [size, flushed, began] = [0, 0, performance.now()];
    for (;;) {
      signal.throwIfAborted();
      const { bytesRead } = await from.read(chunk, 0, CHUNK, size);
      if (bytesRead === 0) break;
      const part = chunk.subarray(0, bytesRead);
      hash.update(part);
      if (from !== to) {
        await to.writeFile(part);
        await this.#space.wrote(bytesRead);
      }
      size += bytesRead;
      this.onBytes(bytesRead);
      if (from !== to && size - flushed >= FLUSH_EVERY) {
        await to.datasync();
        flushed = size;
      }
      if (bytesRead === CHUNK) await pace(performance.now() - began, signal);
      began = performance.now();
    }
    // A shared file has no data of its own to write. On btrfs each fsync would commit separately.
    await this.#finishFile(to, mode, from !== to);
    this.#files.push({ path, size, sha256: hash.digest('hex') });
  }

  async #finishFile(to: FileHandle, mode: number, flush: boolean): Promise<void> {
    await to.chmod(mode);
    if (this.#owner) await to.chown(this.#owner.uid, this.#owner.gid);
    if (flush) await to.sync();
    else this.#unflushed = true;
  }

  /**
   * Makes everything durable. Flushes shared files all at once where the system has `sync -f`. The
   * fsync of each file, which makes the promise, then has nothing left to do.
   */
  async flush(signal: AbortSignal): Promise<void> {
    if (this.#unflushed) {
      await promisify(execFile)('sync', ['-f', this.#base], { signal }).catch(() => undefined);
      for (const { path } of this.#files) {
        signal.throwIfAborted();
        await syncFile(join(this.#base, path));
      }
    }
    for (const path of ['', ...this.#folders]) await syncFolder(join(this.#base, path));
  }

  manifest(id: string): Manifest {
    return { version: 1, id, folders: this.#folders, links: this.#links, files: this.#files };
  }
}

async function syncFile(path: string): Promise<void> {
  const file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW);
  try {
    await file.sync();
  } finally {
    await file.close();
  }
}

/**
 * Makes a copy that shares the extents of the original; `false` where this file cannot be shared.
 */
async function share(source: string, target: string): Promise<boolean | 'gone'> {
  try {
    await copyFile(source, target, constants.COPYFILE_FICLONE_FORCE | constants.COPYFILE_EXCL);
    return true;
  } catch (error) {
    await rm(target, { force: true });
    if (isErrno(error, 'ENOENT')) return 'gone';
    if (['ENOSPC', 'EDQUOT', 'EIO', 'EROFS'].some((code) => isErrno(error, code))) throw error;
    return false;
  }
}

/** Whether the file system can share extents between a file of the data and a staged one. */
export async function canShare(source: string, target: string): Promise<boolean> {
  const shared = await share(source, target);
  await rm(target, { force: true });
  return shared === true;
}
