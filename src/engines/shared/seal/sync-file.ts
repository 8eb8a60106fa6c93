import { close, constants, fstat, fsync, open, type Stats } from 'node:fs';
import { promisify } from 'node:util';
import { isErrno } from '../../../lib/durable-files.ts';

// Numbers, not FileHandles: thousands may be open until the thaw.
const openFd = promisify(open);
const statFd = promisify(fstat) as (fd: number) => Promise<Stats>;
export const syncFd = promisify(fsync);
export const closeFd = promisify(close);

/** What became of one file: synced, gone, or not synced and why. */
export type Outcome =
  | { readonly type: 'synced'; readonly fd: number; readonly info: Stats }
  | { readonly type: 'gone' }
  | { readonly type: 'not-synced'; readonly error: unknown }
  | { readonly type: 'failed'; readonly error: unknown; readonly info: Stats | undefined };

const FLAGS = constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOFOLLOW | constants.O_NOCTTY;
/** Replaced since the listing by a link or a socket, or removed; or closed by the end of the freeze. */
const GONE = ['ENOENT', 'ENOTDIR', 'ELOOP', 'ENXIO', 'ESTALE', 'EBADF'];
/** This file system knows no fsync for such a file. */
const NO_FSYNC = ['EINVAL', 'ENOSYS', 'ENOTSUP', 'EOPNOTSUPP'];

/**
 * Syncs a regular file or a folder. A descriptor for reading is enough: Linux writes the file's dirty pages
 * whoever wrote them. The caller closes the descriptor of a `synced` file; any other is closed here.
 *
 * An error of the disk (EIO), a full disk or quota (ENOSPC, EDQUOT), and a file system that turned
 * read-only (EROFS) are `failed`: the kernel then marks the pages clean, so what was written is not on the
 * disk, and a later fsync on another descriptor succeeds (fsync(2), "Errors").
 */
export async function syncFile(path: string, folder: boolean): Promise<Outcome> {
  let fd: number;
  try {
    fd = await openFd(path, FLAGS | (folder ? constants.O_DIRECTORY : 0));
  } catch (error) {
    if (isOneOf(error, GONE)) return { type: 'gone' };
    return isDiskError(error)
      ? { type: 'failed', error, info: undefined }
      : { type: 'not-synced', error };
  }
  let info: Stats | undefined;
  try {
    info = await statFd(fd);
    if (folder || info.isFile()) {
      await syncFd(fd);
      return { type: 'synced', fd, info };
    }
  } catch (error) {
    await closeFd(fd).catch(() => undefined);
    return refused(error, info);
  }
  await closeFd(fd).catch(() => undefined);
  return { type: 'gone' };
}

/** Syncs a file through a descriptor that was kept. */
export async function syncKept(fd: number): Promise<Outcome> {
  let info: Stats | undefined;
  try {
    info = await statFd(fd);
    await syncFd(fd);
    return { type: 'synced', fd, info };
  } catch (error) {
    return refused(error, info);
  }
}

function refused(error: unknown, info: Stats | undefined): Outcome {
  if (isOneOf(error, GONE)) return { type: 'gone' };
  if (isOneOf(error, NO_FSYNC)) return { type: 'not-synced', error };
  return { type: 'failed', error, info };
}

/** Whether the disk failed; any other error of a look or an open says nothing about the data. */
export function isDiskError(error: unknown): boolean {
  return isErrno(error, 'EIO');
}

function isOneOf(error: unknown, codes: readonly string[]): boolean {
  return codes.some((code) => isErrno(error, code));
}
