import { constants } from 'node:fs';
import { chmod, type FileHandle, mkdir, open, readdir, rename, rm, unlink } from 'node:fs/promises';
import { dirname, join } from 'node:path';

export interface WriteOptions {
  readonly mode: number;
  /** Owner of the new file; only root may ask for another than itself. */
  readonly owner?: { readonly uid: number; readonly gid: number };
}

/**
 * Replaces a file so that after a crash either the old or the new content is there, whole: temporary
 * file, fsync, rename, fsync of the folder. Rejects with the system's error (ENOSPC, EROFS, …) and
 * then leaves the old file as it was.
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

/** Room on the disk for a file that will have to be written quickly. Used once, or not at all. */
export interface ReservedFile {
  /**
   * As `writeDurably`, with one metadata commit of the file system instead of two: content shorter
   * than the room is followed by blanks, longer content is written all the same.
   *
   * @param signal rejects, and leaves the name as it was, where it aborts before the file gets it.
   */
  fill(content: string, signal?: AbortSignal): Promise<void>;
  /** Gives the room back; best effort. To be called where `fill` is not. */
  discard(): Promise<void>;
}

/**
 * Does beforehand what of `writeDurably` does not need the content: the file under a temporary name,
 * its owner, mode and `bytes` of room, all of it durable. The folder must exist.
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
    // Nobody waits for it.
    void close();
  };
  return { fill, discard };
}

function temporaryFor(path: string): string {
  return join(dirname(path), `.${process.pid}-${Math.random().toString(36).slice(2)}.tmp`);
}

/** Blanks before the last line's end, so that it is still one text file. */
function padded(content: string, bytes: number): Buffer {
  const text = Buffer.from(content.trimEnd());
  const all = Buffer.alloc(Math.max(bytes, text.length + 1), ' ');
  text.copy(all);
  all[all.length - 1] = 0x0a;
  return all;
}

/** Durable but for its name. @returns it open. */
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
 * Removes the temporary files of `writeDurably` that a killed process left in a folder. Best effort,
 * and only for a folder that no other process writes to.
 */
export async function sweepTemporary(folder: string): Promise<void> {
  for (const name of await readdir(folder).catch(() => [])) {
    if (!/^\.\d+-[a-z0-9]*\.tmp$/.test(name)) continue;
    await rm(join(folder, name), { force: true }).catch(() => undefined);
  }
}

/** Removes a file durably. @returns whether there was one. */
export async function removeDurably(path: string): Promise<boolean> {
  try {
    await unlink(path);
  } catch (error) {
    if (isErrno(error, 'ENOENT') || isErrno(error, 'ENOTDIR')) return false;
    throw error;
  }
  await syncFolder(dirname(path));
  return true;
}

/**
 * Makes a folder and its parents, durably, with this mode whatever the umask.
 *
 * @returns whether it was missing.
 */
export async function makeFolder(path: string, mode: number): Promise<boolean> {
  try {
    // Not `recursive`: that hides why a folder cannot be made.
    await mkdir(path, { mode });
  } catch (error) {
    if (isErrno(error, 'EEXIST')) return false;
    if (!isErrno(error, 'ENOENT') || dirname(path) === path) throw error;
    await makeFolder(dirname(path), mode);
    return await makeFolder(path, mode);
  }
  await chmod(path, mode);
  await syncFolder(dirname(path));
  return true;
}

async function openFolder(path: string): Promise<FileHandle> {
  return await open(path, constants.O_RDONLY | constants.O_DIRECTORY);
}

/** Makes the names in a folder durable. */
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

/** The system's word for what failed, without the path of a temporary file. */
export function describeErrno(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const known: Record<string, string> = {
    ENOSPC: 'no space left on the device',
    EDQUOT: 'the disk quota is used up',
    EROFS: 'the file system is read-only',
    EACCES: 'permission denied',
    EPERM: 'operation not permitted',
    ENOENT: 'no such folder',
    EEXIST: 'something that is no folder lies there',
    ENOTDIR: 'a part of the path is not a folder',
    EIO: 'input/output error',
  };
  const code = 'code' in error ? String(error.code) : '';
  return known[code] ? `${known[code]} (${code})` : error.message;
}
