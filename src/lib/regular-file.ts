import { constants } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { isErrno } from './durable-files.ts';

/**
 * Opens a file for reading. What lies under its name and is no regular file is refused with the code
 * `EFTYPE`: it is not known what lies in a restored folder or on a volume.
 *
 * @param flags further ones, such as `O_NOFOLLOW`.
 */
export async function openRegular(path: string, flags = 0): Promise<FileHandle> {
  // Without O_NONBLOCK the open of a FIFO waits for a writer that may never come, and no signal ends it.
  const file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK | flags);
  try {
    if ((await file.stat()).isFile()) return file;
  } catch (error) {
    await file.close();
    throw error;
  }
  await file.close();
  throw Object.assign(new Error(`${path} is no regular file`), { code: 'EFTYPE', path });
}

/** The text of a file, under the same condition. */
export async function readRegular(path: string): Promise<string> {
  const file = await openRegular(path);
  try {
    return await file.readFile('utf8');
  } finally {
    await file.close();
  }
}

/** The content of a file; `null` where there is none. */
export async function readIfThere(path: string): Promise<string | null> {
  try {
    return await readRegular(path);
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return null;
    throw error;
  }
}
