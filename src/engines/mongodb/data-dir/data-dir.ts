import type { Dirent } from 'node:fs';
import { lstat, readdir, stat } from 'node:fs/promises';
import { basename, join, relative } from 'node:path';
import { QuiesceError } from '../../../errors.ts';
import { describeErrno, isMissing } from '../../../lib/durable-files.ts';
import { isDenied, isForeign } from '../../shared/foreign-entries.ts';
import type { CopyMethod } from '../../../receipt/receipt.ts';

/**
 * Exists in the data directory exactly while the lock's backup cursor is open (measured, 4.4 to 6.0). A
 * copy that has it was cut under a lock, and starts from the checkpoint of that lock whatever was written
 * to the other files since.
 */
export const BACKUP_FILE = 'WiredTiger.backup';
/** A folder that has this file is a data directory of WiredTiger. */
const WIREDTIGER_FILE = 'WiredTiger';

/** The server's data directory as it is mounted here. */
export interface DataFolder {
  readonly path: string;
  /** Path from QUIESCE_DATA_DIR; empty where both are the same. */
  readonly relative: string;
}

/**
 * Finds the server's data directory. QUIESCE_DATA_DIR may be mounted at another path than in the server's
 * container, so it is tried itself, then followed by ever longer ends of the server's path.
 *
 * @throws QuiesceError ENGINE_DATA_MISMATCH where there is none.
 */
export async function findDataFolder(dataDir: string, dbPath: string): Promise<DataFolder> {
  const parts = dbPath.split('/').filter((part) => part !== '');
  const ends = parts.map((_part, index) => parts.slice(index).join('/')).toReversed();
  let denied: string | undefined;
  for (const end of ['', ...ends]) {
    const path = join(dataDir, end);
    const found = await presenceOf(join(path, WIREDTIGER_FILE));
    if (found === 'there') return { path, relative: relative(dataDir, path) };
    if (found === 'denied') denied = path;
  }
  if (denied !== undefined) throw unreadable(denied);
  throw new QuiesceError(
    'ENGINE_DATA_MISMATCH',
    `There is no WiredTiger data in ${dataDir} or in ${basename(dbPath)} below it; the server's dbPath is ${dbPath}.`,
  );
}

/**
 * Checks that the lock of the connected server is visible here: otherwise the data is another server's.
 *
 * @throws QuiesceError ENGINE_DATA_MISMATCH.
 */
export async function requireBackupFile(folder: DataFolder, target: string): Promise<void> {
  const found = await presenceOf(join(folder.path, BACKUP_FILE));
  if (found === 'there') return;
  if (found === 'denied') throw unreadable(folder.path);
  throw new QuiesceError(
    'ENGINE_DATA_MISMATCH',
    `The lock of ${target} created no ${BACKUP_FILE} in ${folder.path}: the data there belongs to another server.`,
  );
}

/** How the server names the folders of its data. */
export interface FolderNames {
  /** `storage.directoryPerDB`. */
  readonly perDatabase: boolean;
  /** All databases, including those that a backup leaves out. */
  readonly databases: readonly string[];
}

/** Tables, and WiredTiger's own files next to them. */
const DATA_FILE = /\.wt$|^WiredTiger|^storage\.bson$/;
/** The journal, and the keys of an encrypted server (Percona's, MongoDB's). */
const DATA_FOLDERS = ['journal', 'key.db', 'key.store'];
/** `storage.wiredTiger.engineConfig.directoryForIndexes` puts tables two levels down. */
const DEEPEST = 2;

/**
 * Refuses data that a copy of QUIESCE_DATA_DIR would lack: symbolic links, and folders on another device.
 * Skips everything that does not belong to the server, readable or not: `lost+found`, the snapshots of a
 * filer, a folder that another program created.
 *
 * @throws QuiesceError COPY_UNSUPPORTED, and ENGINE_DATA_MISMATCH for data that cannot be read.
 */
export async function requireOneVolume(
  folder: DataFolder,
  names: FolderNames,
  copy: CopyMethod,
): Promise<void> {
  const { dev } = await stat(folder.path);
  const ours = new Set([
    ...DATA_FOLDERS,
    ...(names.perDatabase ? names.databases.map(escapeName) : []),
  ]);
  for (const entry of await list(folder.path)) {
    if (!DATA_FILE.test(entry.name) && !ours.has(entry.name)) continue;
    for await (const path of filesBelow(join(folder.path, entry.name), DEEPEST)) {
      await requireOnVolume(path, dev, copy);
    }
  }
}

async function requireOnVolume(path: string, dev: number, copy: CopyMethod): Promise<void> {
  const info = await lstat(path).catch((error: unknown) => {
    if (isMissing(error)) return undefined;
    if (isDenied(error)) throw unreadable(path);
    throw error;
  });
  if (info === undefined || (!info.isSymbolicLink() && info.dev === dev)) return;
  const what = info.isSymbolicLink() ? 'is a symbolic link' : 'is on another volume';
  throw new QuiesceError(
    'COPY_UNSUPPORTED',
    `${path} ${what}: a copy (${copy}) of the data directory would lack it and could not be restored.`,
    { hint: 'Keep journal and data in one folder on one volume.' },
  );
}

/** Yields the path itself, then everything below it, down to `depth` levels. Does not follow links. */
async function* filesBelow(path: string, depth: number): AsyncGenerator<string> {
  yield path;
  const info = depth === 0 ? undefined : await lstat(path).catch(() => undefined);
  if (info?.isDirectory() !== true) return;
  for (const { name } of await list(path)) {
    if (!isForeign(name)) yield* filesBelow(join(path, name), depth - 1);
  }
}

async function list(folder: string): Promise<Dirent[]> {
  try {
    return await readdir(folder, { withFileTypes: true });
  } catch (error) {
    // A database may be dropped, with its folder, while we look.
    if (isMissing(error)) return [];
    throw unreadable(folder, error);
  }
}

/** The name that the server gives to the folder of a database (measured, 6.0). */
export function escapeName(database: string): string {
  return [...Buffer.from(database)]
    .map((byte) => {
      const character = String.fromCodePoint(byte);
      return /\w/.test(character) ? character : `.${byte}`;
    })
    .join('');
}

async function presenceOf(path: string): Promise<'there' | 'absent' | 'denied'> {
  try {
    await stat(path);
    return 'there';
  } catch (error) {
    if (isMissing(error)) return 'absent';
    if (isDenied(error)) return 'denied';
    throw unreadable(path, error);
  }
}

function unreadable(path: string, error?: unknown): QuiesceError {
  const why = error === undefined ? 'this user has no permission' : describeErrno(error);
  return new QuiesceError('ENGINE_DATA_MISMATCH', `${path} cannot be read: ${why}.`, {
    hint: 'Run the sidecar as the user that the server runs as.',
  });
}
