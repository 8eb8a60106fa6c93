import { lstat, readdir, stat } from 'node:fs/promises';
import { basename, join, relative } from 'node:path';
import { QuiesceError } from '../../errors.ts';
import { describeErrno, isErrno } from '../../files.ts';
import type { CopyMethod } from '../engine.ts';

/**
 * In the data directory exactly while the lock's backup cursor is open (measured, 4.4 to 6.0). A copy
 * that has it was cut under a lock and starts from that lock's checkpoint, whatever was written to the
 * other files since.
 */
export const BACKUP_FILE = 'WiredTiger.backup';
/** WiredTiger's own name for itself: its presence makes a folder a data directory. */
const WIREDTIGER_FILE = 'WiredTiger';

/** The server's data directory as it is seen here. */
export interface DataFolder {
  readonly path: string;
  /** From QUIESCE_DATA_DIR; empty where they are the same. */
  readonly relative: string;
}

/**
 * Finds the server's data directory below QUIESCE_DATA_DIR, which may be mounted elsewhere here than
 * at the server: itself, or the end of the server's own path.
 *
 * @throws QuiesceError ENGINE_DATA_MISMATCH where there is none.
 */
export async function findDataFolder(dataDir: string, dbPath: string): Promise<DataFolder> {
  const parts = dbPath.split('/').filter((part) => part !== '');
  const ends = parts.map((_part, index) => parts.slice(index).join('/')).toReversed();
  for (const end of ['', ...ends]) {
    const path = join(dataDir, end);
    if (await exists(join(path, WIREDTIGER_FILE)))
      return { path, relative: relative(dataDir, path) };
  }
  throw new QuiesceError(
    'ENGINE_DATA_MISMATCH',
    `No WiredTiger data lies in ${dataDir} or in ${basename(dbPath)} below it; the server's dbPath is ${dbPath}.`,
  );
}

/**
 * The lock of the server connected must be seen here, or the data here is another server's.
 *
 * @throws QuiesceError ENGINE_DATA_MISMATCH.
 */
export async function requireBackupFile(folder: DataFolder, target: string): Promise<void> {
  if (await exists(join(folder.path, BACKUP_FILE))) return;
  throw new QuiesceError(
    'ENGINE_DATA_MISMATCH',
    `The lock of ${target} has left no ${BACKUP_FILE} in ${folder.path}: the data there is another server's.`,
  );
}

/**
 * Refuses parts of the data that a copy of QUIESCE_DATA_DIR would not hold: links, and folders on
 * another device.
 *
 * @throws QuiesceError COPY_UNSUPPORTED.
 */
export async function requireOnePlace(folder: DataFolder, copy: CopyMethod): Promise<void> {
  const { dev } = await stat(folder.path);
  for await (const path of entries(folder.path, 2)) {
    const info = await lstat(path).catch((error: unknown) => {
      if (isErrno(error, 'ENOENT')) return undefined;
      throw error;
    });
    if (info === undefined || (!info.isSymbolicLink() && info.dev === dev)) continue;
    const what = info.isSymbolicLink() ? 'is a link' : 'lies on another volume';
    throw new QuiesceError(
      'COPY_UNSUPPORTED',
      `${path} ${what}: a copy (${copy}) of the data directory does not hold it, so nothing restored from it is whole.`,
      { hint: 'Keep journal and data in one folder on one volume.' },
    );
  }
}

async function* entries(folder: string, depth: number): AsyncGenerator<string> {
  const found = await readdir(folder, { withFileTypes: true }).catch((error: unknown) => {
    throw new QuiesceError(
      'ENGINE_DATA_MISMATCH',
      `${folder} cannot be read: ${describeErrno(error)}.`,
      { hint: 'Run the sidecar as the user that the server runs as.' },
    );
  });
  for (const entry of found) {
    const path = join(folder, entry.name);
    if (depth > 1 && !entry.name.startsWith('.') && entry.isDirectory())
      yield* entries(path, depth - 1);
    yield path;
  }
}

async function exists(path: string): Promise<boolean> {
  try {
    await stat(path);
    return true;
  } catch (error) {
    if (isErrno(error, 'ENOENT') || isErrno(error, 'ENOTDIR')) return false;
    throw new QuiesceError(
      'ENGINE_DATA_MISMATCH',
      `${path} cannot be looked at: ${describeErrno(error)}.`,
      { hint: 'Run the sidecar as the user that the server runs as.' },
    );
  }
}
