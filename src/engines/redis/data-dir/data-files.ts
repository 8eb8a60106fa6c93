import { readFile, readdir, stat } from 'node:fs/promises';
import { join, sep } from 'node:path';
import { isDenied, isForeign } from '../../shared/foreign-entries.ts';
import { isMissing } from '../../../lib/durable-files.ts';
import { isInside } from '../../../lib/paths.ts';

/** The names of the files in which a server keeps its data. */
export interface FileNames {
  readonly dbfilename: string;
  readonly appendfilename: string;
  /** The folder of a multi-part AOF (Redis 7 and newer, Valkey); `null`: the AOF is one file. */
  readonly appenddirname: string | null;
}

export const DEFAULT_NAMES: FileNames = {
  dbfilename: 'dump.rdb',
  appendfilename: 'appendonly.aof',
  appenddirname: 'appendonlydir',
};

/** A file of the AOF or the RDB, by its path within the server's folder. */
export interface DataFile {
  readonly name: string;
  readonly size: number;
  readonly mtimeMs: number;
  readonly inode: number;
  readonly device: number;
}

/** How many levels below the volume the server's folder is searched for. */
const DEEPEST = 4;

/**
 * The parts of the AOF, without those that a rewrite has superseded. The manifest comes last.
 *
 * @returns `null` where there is no AOF of these names, or a file listed in the manifest is missing.
 */
export async function readAof(dir: string, names: FileNames): Promise<readonly DataFile[] | null> {
  const { appenddirname, appendfilename } = names;
  if (appenddirname === null) return await dataFiles(dir, [appendfilename]);
  const manifest = join(appenddirname, `${appendfilename}.manifest`);
  try {
    const parts = parseManifest(await readFile(join(dir, manifest), 'utf8'));
    if (parts === null) return null;
    return await dataFiles(dir, [...parts.map((part) => join(appenddirname, part)), manifest]);
  } catch (error) {
    if (isMissing(error)) return null;
    throw error;
  }
}

export async function readRdb(dir: string, names: FileNames): Promise<DataFile | null> {
  return (await dataFiles(dir, [names.dbfilename]))?.[0] ?? null;
}

/** @returns `null` where one of them is missing. */
export async function dataFiles(
  dir: string,
  names: readonly string[],
): Promise<readonly DataFile[] | null> {
  // All at once: writers may be waiting.
  const files = await Promise.all(names.map((name) => dataFile(dir, name)));
  return files.every((file) => file !== null) ? files : null;
}

async function dataFile(dir: string, name: string): Promise<DataFile | null> {
  try {
    const found = await stat(join(dir, name));
    if (!found.isFile()) return null;
    const { size, mtimeMs, ino: inode, dev: device } = found;
    return { name, size, mtimeMs, inode, device };
  } catch (error) {
    if (isMissing(error)) return null;
    throw error;
  }
}

/** Lines of `file NAME seq N type b|i|h …` (source: aof.c). @returns the base and the increments. */
export function parseManifest(text: string): readonly string[] | null {
  const parts: string[] = [];
  for (const line of text.split('\n')) {
    if (line === '' || line.startsWith('#')) continue;
    const match = /^file ("(?:[^"\\]|\\.)*"|\S+) seq \d+ type ([bih])(?: |$)/.exec(line);
    const name = match?.[1]?.startsWith('"') ? unquote(match[1]) : match?.[1];
    if (name === undefined || name.includes('/')) return null;
    if (match?.[2] !== 'h') parts.push(name);
  }
  return parts.length > 0 ? parts : null;
}

const ESCAPES: Readonly<Record<string, string>> = {
  n: '\n',
  r: '\r',
  t: '\t',
  a: '\x07',
  b: '\b',
};

/** A name with a space or non-ASCII characters: `\xc3` is one byte of a letter (source: sds.c). */
function unquote(quoted: string): string {
  const bytes = quoted
    .slice(1, -1)
    .replaceAll(/\\(?:x([0-9a-f]{2})|(.))/gi, (_all, hex?: string, one = '') =>
      hex === undefined ? (ESCAPES[one] ?? one) : String.fromCodePoint(Number.parseInt(hex, 16)),
    );
  return Buffer.from(bytes, 'latin1').toString();
}

/**
 * Finds the server's folder in our own file system.
 *
 * @param reported `CONFIG GET dir`, a path in the server's file system; `null` where we may not ask.
 * @throws the error of a folder that this user may not read, unless the files are in another one.
 */
export async function findFolder(
  dataDir: string,
  reported: string | null,
  names: FileNames,
): Promise<string | null> {
  let denied: unknown;
  for (const folder of await candidateFolders(dataDir, reported)) {
    try {
      if ((await readAof(folder, names)) ?? (await readRdb(folder, names))) return folder;
    } catch (error) {
      // Thrown below, unless the files are in another folder.
      if (!isDenied(error)) throw error;
      denied = error;
    }
  }
  if (denied !== undefined) throw denied;
  return null;
}

async function candidateFolders(
  dataDir: string,
  reported: string | null,
): Promise<readonly string[]> {
  if (reported === null) return await foldersBelow(dataDir, DEEPEST);
  const inside = isInside(reported, dataDir);
  const parts = reported.split(sep).filter((part) => part !== '');
  const tails = parts.map((_part, at) => join(dataDir, ...parts.slice(at)));
  return [...(inside ? [reported] : []), ...tails, dataDir];
}

async function foldersBelow(folder: string, depth: number): Promise<string[]> {
  const found = [folder];
  if (depth === 0) return found;
  for (const entry of await readdir(folder, { withFileTypes: true }).catch(() => [])) {
    if (entry.isDirectory() && !entry.name.startsWith('.') && !isForeign(entry.name)) {
      found.push(...(await foldersBelow(join(folder, entry.name), depth - 1)));
    }
  }
  return found;
}
