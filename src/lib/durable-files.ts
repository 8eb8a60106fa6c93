import { constants } from 'node:fs';
import {
  chmod,
  type FileHandle,
  mkdir,
  open,
  readdir,
  rename,
  rm,
  stat,
  statfs,
  unlink,
} from 'node:fs/promises';
import { dirname, join } from 'node:path';

export interface WriteOptions {
  readonly mode: number;
  /** Owner of the new file. Only root may give one other than itself. */
  readonly owner?: { readonly uid: number; readonly gid: number };
}

/**
 * Replaces a file. After a crash it has either all of the old content or all of the new: temporary
 * file, fsync, rename, fsync of the folder. Where it rejects with the system's error (ENOSPC, EROFS, …)
 * the old file is unchanged.
 */
export async function writeDurably(
  path: string,
  content: string,
  options: WriteOptions,
): Promise<void> {
  const temporary = temporaryFor(path);
  try {
    await (await createNew(temporary, content, options)).close();
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true }).catch(() => undefined);
    throw error;
  }
  await syncFolder(dirname(path));
}

/** Rejects with ENOSPC where less than so many bytes are free on the file system of the folder. */
export async function requireSpace(folder: string, bytes: number): Promise<void> {
  const { bavail, bsize } = await statfs(folder);
  if (bavail * bsize >= bytes) return;
  throw Object.assign(new Error(`too little space is free for ${folder}`), { code: 'ENOSPC' });
}

/** Disk space reserved for a file that must be written quickly later. It can be used once. */
export interface ReservedFile {
  /**
   * As `writeDurably`, with one metadata commit of the file system instead of two. Shorter content is
   * padded with blanks to the reserved size; longer content is written as well.
   *
   * @param signal if it aborts before the rename, `fill` rejects and the old file is unchanged.
   */
  fill(content: string, signal?: AbortSignal): Promise<void>;
  /** Frees the reserved space; best effort. Call it where `fill` is not called. */
  discard(): Promise<void>;
}

/**
 * Does the part of `writeDurably` that does not need the content: creates the temporary file with its
 * owner, mode and `bytes` of space, all of it durable. The folder must exist.
 */
export async function reserveDurably(
  path: string,
  bytes: number,
  options: WriteOptions,
): Promise<ReservedFile> {
  const temporary = temporaryFor(path);
  const folder = await openFolder(dirname(path));
  let file: FileHandle | undefined;
  const close = async (): Promise<void> => {
    await Promise.all([file?.close(), folder.close()]).catch(() => undefined);
  };
  const discard = async (): Promise<void> => {
    await close();
    await rm(temporary, { force: true }).catch(() => undefined);
  };
  try {
    file = await createNew(temporary, padded('', bytes), options);
    await folder.sync();
  } catch (error) {
    await discard();
    throw error;
  }
  const room = file;
  const fill = async (content: string, signal?: AbortSignal): Promise<void> => {
    const text = padded(content, bytes);
    try {
      await room.write(text, 0, text.length, 0);
      await room.datasync();
      signal?.throwIfAborted();
      await rename(temporary, path);
      await folder.sync();
    } catch (error) {
      await discard();
      throw error;
    }
    // Writers may be waiting for this file, and closing the handles adds nothing to its durability.
    void close();
  };
  return { fill, discard };
}

function temporaryFor(path: string): string {
  return join(dirname(path), `.${process.pid}-${Math.random().toString(36).slice(2)}.tmp`);
}

/** Puts the blanks before the final newline, so that the file still ends with one. */
function padded(content: string, bytes: number): Buffer {
  const text = Buffer.from(content.trimEnd());
  const all = Buffer.alloc(Math.max(bytes, text.length + 1), ' ');
  text.copy(all);
  all[all.length - 1] = 0x0a;
  return all;
}

/** Creates a file whose content is durable, but whose name is not yet. @returns the open file */
async function createNew(
  path: string,
  content: string | Buffer,
  options: WriteOptions,
): Promise<FileHandle> {
  const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW;
  const file = await open(path, flags, options.mode);
  try {
    await file.writeFile(content);
    await file.chmod(options.mode);
    if (options.owner) await file.chown(options.owner.uid, options.owner.gid);
    await file.sync();
    return file;
  } catch (error) {
    await file.close();
    throw error;
  }
}

/**
 * Removes the temporary files of `writeDurably` that a killed process left in a folder. Best effort.
 * Only for a folder that no other process writes to.
 */
export async function sweepTemporary(folder: string): Promise<void> {
  for (const name of await readdir(folder).catch(() => [])) {
    if (!/^\.\d+-[a-z0-9]*\.tmp$/.test(name)) continue;
    await rm(join(folder, name), { force: true }).catch(() => undefined);
  }
}

/** Removes a file durably. @returns whether it existed */
export async function removeDurably(path: string): Promise<boolean> {
  try {
    await unlink(path);
  } catch (error) {
    if (isMissing(error)) return false;
    throw error;
  }
  await syncFolder(dirname(path));
  return true;
}

/**
 * Creates a folder and its parents durably, with this mode regardless of the umask.
 *
 * @returns whether it was missing
 */
export async function makeFolder(path: string, mode: number): Promise<boolean> {
  try {
    // `recursive` would hide why a folder cannot be created.
    await mkdir(path, { mode });
  } catch (error) {
    if (isErrno(error, 'EEXIST')) return false;
    if (!isErrno(error, 'ENOENT') || dirname(path) === path) throw error;
    await makeFolder(dirname(path), mode);
    // Only once more: /proc refuses a folder with ENOENT although the parent exists.
    await mkdir(path, { mode });
  }
  await chmod(path, mode);
  await syncFolder(dirname(path));
  return true;
}

async function openFolder(path: string): Promise<FileHandle> {
  return await open(path, constants.O_RDONLY | constants.O_DIRECTORY);
}

/** Makes the entries of a folder durable: creations, renames and removals. */
export async function syncFolder(path: string): Promise<void> {
  const folder = await openFolder(path);
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}

export function isErrno(error: unknown, code: string): boolean {
  return error instanceof Error && 'code' in error && error.code === code;
}

/** Nothing exists under this path, or no longer. */
export function isMissing(error: unknown): boolean {
  return isErrno(error, 'ENOENT') || isErrno(error, 'ENOTDIR');
}

/**
 * The owner for files written into a folder. Root gives them to the folder's owner, so that the server can
 * read them; other users cannot give files away. Rejects if the folder does not exist.
 */
export async function ownerLike(folder: string): Promise<Pick<WriteOptions, 'owner'>> {
  const { uid, gid } = await stat(folder);
  return process.getuid?.() === 0 ? { owner: { uid, gid } } : {};
}

/** The system's error as a phrase, without the path of a temporary file. */
export function describeErrno(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const known: Record<string, string> = {
    ENOSPC: 'no space left on the device',
    EDQUOT: 'the disk quota is used up',
    EROFS: 'the file system is read-only',
    EACCES: 'permission denied',
    EPERM: 'operation not permitted',
    ENOENT: 'no such folder',
    EEXIST: 'a file that is not a folder is in its place',
    ENOTDIR: 'a part of the path is not a folder',
    EIO: 'input/output error',
  };
  const code = 'code' in error ? String(error.code) : '';
  return known[code] ? `${known[code]} (${code})` : error.message;
}
