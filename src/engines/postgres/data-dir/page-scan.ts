import { type Dirent } from 'node:fs';
import { type FileHandle, readdir, stat } from 'node:fs/promises';
import { join, relative } from 'node:path';
import { isErrno } from '../../../lib/durable-files.ts';
import { openRegular } from '../../../lib/regular-file.ts';

export interface PageScan {
  /** The end of valid WAL in the copy. */
  readonly walEnd: number;
  /** Files not modified since then are skipped: they cannot contain a later page. */
  readonly modifiedSince: Date;
  /** Bytes, `BLCKSZ`. */
  readonly blockSize: number;
}

export interface PageAhead {
  /** Relative to PGDATA. */
  readonly file: string;
  /** Number of the block within that file. */
  readonly block: number;
  readonly lsn: number;
}

export interface PageScanResult {
  /** The page furthest ahead; `null` if there is none. */
  readonly worst: PageAhead | null;
  readonly pagesAhead: number;
  readonly files: number;
  readonly pages: number;
}

const CHUNK = 1 << 20;
/**
 * Main fork and visibility map, including segments. Temporary relations (`t3_16385`) do not match.
 */
const RELATION_FILE = /^\d+(_vm)?(\.\d+)?$/;

/**
 * Looks for a data page that is newer than the copy's WAL. PostgreSQL writes WAL before the data it
 * describes (documentation, chapter "Write-Ahead Logging"), so an atomic copy never has such a
 * page, whenever it was cut. One such page proves that WAL is missing or that the files were copied
 * at different moments. The absence of one proves nothing.
 *
 * Skips unlogged and temporary relations, whose pages carry no real LSNs, and free space maps,
 * which are not WAL-logged.
 */
export async function findPageAhead(
  pgdata: string,
  scan: PageScan,
  signal: AbortSignal,
  onProgress?: (pages: number) => void,
): Promise<PageScanResult> {
  const buffer = Buffer.alloc(Math.max(CHUNK, scan.blockSize));
  const total = { worst: null as PageAhead | null, pagesAhead: 0, files: 0, pages: 0 };
  for (const folder of await databaseFolders(pgdata)) {
    for (const name of await loggedRelationFiles(folder)) {
      signal.throwIfAborted();
      const path = join(folder, name);
      if ((await stat(path)).mtimeMs < scan.modifiedSince.getTime()) continue;
      const found = await scanFile(path, scan, buffer);
      total.files += 1;
      total.pages += found.pages;
      total.pagesAhead += found.ahead;
      if (found.lsn > (total.worst?.lsn ?? 0)) {
        total.worst = { file: relative(pgdata, path), block: found.block, lsn: found.lsn };
      }
      onProgress?.(total.pages);
    }
  }
  return total;
}

/** Folders that hold relation files: `global`, `base/OID`, `pg_tblspc/OID/PG_VERSION_CATALOG/OID`. */
async function databaseFolders(pgdata: string): Promise<string[]> {
  const folders = [join(pgdata, 'global'), ...(await numbered(join(pgdata, 'base')))];
  for (const space of await numbered(join(pgdata, 'pg_tblspc'))) {
    for (const entry of await entries(space)) {
      if (entry.name.startsWith('PG_')) folders.push(...(await numbered(join(space, entry.name))));
    }
  }
  return folders;
}

async function numbered(folder: string): Promise<string[]> {
  return (await entries(folder))
    .filter((entry) => /^\d+$/.test(entry.name))
    .map((entry) => join(folder, entry.name));
}

async function entries(folder: string): Promise<Dirent[]> {
  try {
    return await readdir(folder, { withFileTypes: true });
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return [];
    throw error;
  }
}

async function loggedRelationFiles(folder: string): Promise<string[]> {
  const files = (await entries(folder)).filter((entry) => entry.isFile()).map(({ name }) => name);
  const unlogged = new Set(
    files.filter((name) => /^\d+_init$/.test(name)).map((name) => Number.parseInt(name, 10)),
  );
  return files.filter(
    (name) => RELATION_FILE.test(name) && !unlogged.has(Number.parseInt(name, 10)),
  );
}

interface FileScan {
  readonly pages: number;
  readonly ahead: number;
  readonly block: number;
  readonly lsn: number;
}

async function scanFile(path: string, scan: PageScan, buffer: Buffer): Promise<FileScan> {
  const file = await openRegular(path);
  try {
    return await scanPages(file, scan, buffer);
  } finally {
    await file.close();
  }
}

async function scanPages(file: FileHandle, scan: PageScan, buffer: Buffer): Promise<FileScan> {
  const { walEnd, blockSize } = scan;
  const result = { pages: 0, ahead: 0, block: 0, lsn: 0 };
  for (let position = 0; ;) {
    const { bytesRead } = await file.read(buffer, 0, buffer.length, position);
    const whole = bytesRead - (bytesRead % blockSize);
    // Less than a page is left: the file was being extended.
    if (whole === 0) return result;
    for (let at = 0; at < whole; at += blockSize) {
      const lsn = readPageLsn(buffer, at);
      if (lsn > walEnd) {
        result.ahead += 1;
        if (lsn > result.lsn) {
          result.lsn = lsn;
          result.block = (position + at) / blockSize;
        }
      }
    }
    result.pages += whole / blockSize;
    position += whole;
  }
}

/** `pd_lsn`: the high half first, each half little-endian (bufpage.h, PageXLogRecPtr). */
function readPageLsn(bytes: Buffer, at: number): number {
  return bytes.readUInt32LE(at) * 0x1_0000_0000 + bytes.readUInt32LE(at + 4);
}
