import { constants } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { isErrno } from './durable-files.ts';

/**
 * Opens a file for reading. Rejects with the code `EFTYPE` where it is not a regular file: a restored
 * folder or a volume may contain anything.
 *
 * @param flags additional ones, such as `O_NOFOLLOW`
 */
export async function openRegular(path: string, flags = 0): Promise<FileHandle> {
  // Without O_NONBLOCK the open of a FIFO waits for a writer that may never come, and no AbortSignal ends that.
  const file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK | flags);
  try {
    if ((await file.stat()).isFile()) return file;
  } catch (error) {
    await file.close();
    throw error;
  }
  await file.close();
  throw Object.assign(new Error(`${path} is not a regular file`), { code: 'EFTYPE', path });
}

/**
 * Reads the text of a file. Rejects with `EFTYPE` where it is not a regular file, and with `EFBIG` where it
 * is larger than `atMost` bytes.
 */
export async function readRegular(path: string, atMost = Infinity): Promise<string> {
  const file = await openRegular(path);
  try {
    if ((await file.stat()).size > atMost) {
      throw Object.assign(new Error(`${path} is too large`), { code: 'EFBIG', path });
    }
    return await file.readFile('utf8');
  } finally {
    await file.close();
  }
}

/** Reads the text of a file; `null` where the file does not exist. */
export async function readIfThere(path: string): Promise<string | null> {
  try {
    return await readRegular(path);
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return null;
    throw error;
  }
}
