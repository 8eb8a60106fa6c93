import { lstat, readdir, realpath, stat } from 'node:fs/promises';
import { isAbsolute, join, relative, sep } from 'node:path';
import { describeErrno, isErrno } from '../../../lib/durable-files.ts';
import { isDenied, isForeign } from '../../shared/foreign-entries.ts';
import { readRegular } from '../../../lib/regular-file.ts';
import {
  type ControlFile,
  ControlFileError,
  readControlFile,
  readSystemIdentifier,
} from '../data-dir/control-file.ts';
import { incomplete, receiptInvalid } from './errors.ts';

const SEARCH_DEPTH = 3;

/**
 * PGDATA in a restored copy: where the receipt says or, if it does not say, the one folder on the
 * volume with this system's data. It is never outside the volume.
 */
export async function locateData(
  dataDir: string,
  named: string | null,
  systemIdentifier: string,
): Promise<string> {
  if (named === null) return await search(dataDir, systemIdentifier);
  if (isAbsolute(named) || named.split(/[/\\]/).includes('..')) {
    throw receiptInvalid(`The receipt names a data directory outside the volume: ${named}`);
  }
  const pgdata = await requireInside(dataDir, join(dataDir, named), 'the data directory');
  if (!(await isData(pgdata))) {
    throw incomplete(
      `${pgdata} is not a PostgreSQL data directory: it lacks PG_VERSION or global/pg_control.`,
    );
  }
  return pgdata;
}

async function search(dataDir: string, systemIdentifier: string): Promise<string> {
  const found: string[] = [];
  let others = 0;
  let folders = [dataDir];
  for (let depth = 0; depth <= SEARCH_DEPTH; depth += 1) {
    const next: string[] = [];
    for (const folder of folders) {
      // Skips a folder that this user may not read: only root may read lost+found, for example.
      if (!(await isData(folder).catch(unlessDenied))) next.push(...(await subfolders(folder)));
      else if ((await systemOf(folder)) === systemIdentifier) found.push(folder);
      else others += 1;
    }
    folders = next;
  }
  const [only] = found;
  if (only === undefined) {
    if (others > 0)
      throw receiptInvalid(`No data under ${dataDir} belongs to system ${systemIdentifier}.`);
    throw incomplete(
      `There is no PostgreSQL data directory under ${dataDir}, down to ${SEARCH_DEPTH} folders deep.`,
    );
  }
  if (found.length > 1) {
    throw receiptInvalid(
      `The receipt names no data directory, and several belong to its system: ${found.join(', ')}.`,
      'Point --data at the folder that contains only one of them and its .quiesce.',
    );
  }
  return only;
}

async function subfolders(folder: string): Promise<string[]> {
  try {
    const entries = await readdir(folder, { withFileTypes: true });
    return entries
      .filter((entry) => entry.isDirectory() && !isForeign(entry.name))
      .map(({ name }) => join(folder, name));
  } catch (error) {
    if (isDenied(error)) return [];
    throw error;
  }
}

function unlessDenied(error: unknown): false {
  if (isDenied(error)) return false;
  throw error;
}

async function isData(folder: string): Promise<boolean> {
  for (const name of ['PG_VERSION', 'global/pg_control']) {
    try {
      if (!(await stat(join(folder, name))).isFile()) return false;
    } catch (error) {
      if (['ENOENT', 'ENOTDIR', 'ELOOP'].some((code) => isErrno(error, code))) return false;
      throw error;
    }
  }
  return true;
}

/**
 * The real path, which must be in the volume.
 *
 * @throws QuiesceError RESTORE_INCOMPLETE where nothing is there, RESTORE_RECEIPT_INVALID where it
 * leads out of the volume.
 */
async function requireInside(dataDir: string, path: string, what: string): Promise<string> {
  let real: string;
  try {
    real = await realpath(path);
  } catch (error) {
    if (isErrno(error, 'EACCES')) throw error;
    throw incomplete(`${path}: ${what} is not in the copy (${describeErrno(error)}).`);
  }
  const way = relative(dataDir, real);
  if (way === '..' || way.startsWith(`..${sep}`) || isAbsolute(way)) {
    throw receiptInvalid(
      `${path}: ${what} leads out of the volume ${dataDir}, to ${real}.`,
      'The receipt proves one volume, mounted where it was mounted at the freeze.',
    );
  }
  return real;
}

/**
 * WAL and tablespaces must be in the copy too. The receipt proves nothing about data behind a link
 * that leads out of the copy. On the machine of the original, such a link leads to the original's
 * own data.
 *
 * @param tablespaceMap content of the map in the receipt; each line is `OID path`.
 */
export async function checkLinks(
  dataDir: string,
  pgdata: string,
  tablespaceMap: string | null,
): Promise<void> {
  await requireInside(dataDir, join(pgdata, 'pg_wal'), 'the WAL');
  const spaces = join(pgdata, 'pg_tblspc');
  for (const name of await readdir(spaces)) {
    if ((await lstat(join(spaces, name))).isSymbolicLink()) {
      await requireInside(dataDir, join(spaces, name), `tablespace ${name}`);
    }
  }
  for (const line of tablespaceMap?.split('\n') ?? []) {
    const [, oid, path] = /^(\d+) (.+)$/.exec(line) ?? [];
    if (path !== undefined) await requireInside(dataDir, path, `tablespace ${oid} of the map`);
  }
}

/** Reads `pg_control`, which must belong to the receipt's system. */
export async function readOwnControl(
  pgdata: string,
  systemIdentifier: string,
): Promise<ControlFile> {
  const found = await systemOf(pgdata);
  if (found !== systemIdentifier) {
    throw receiptInvalid(
      `The receipt is for system ${systemIdentifier}, but ${pgdata} belongs to system ${found}.`,
    );
  }
  try {
    return await readControlFile(pgdata);
  } catch (error) {
    throw asIncomplete(pgdata, error);
  }
}

async function systemOf(pgdata: string): Promise<string> {
  try {
    return await readSystemIdentifier(pgdata);
  } catch (error) {
    throw asIncomplete(pgdata, error);
  }
}

function asIncomplete(pgdata: string, error: unknown): unknown {
  return error instanceof ControlFileError ? incomplete(`${pgdata}: ${error.message}.`) : error;
}

/** The major version in `PG_VERSION`. */
export async function readMajor(pgdata: string): Promise<number> {
  return Number.parseInt(await readRegular(join(pgdata, 'PG_VERSION')), 10);
}
