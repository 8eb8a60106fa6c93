import { constants } from 'node:fs';
import type { FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import { isErrno, isMissing } from '../../../lib/durable-files.ts';
import { openRegular } from '../../../lib/regular-file.ts';
import type { PrepareOptions } from '../../restore-module.ts';
import { BACKUP_FILE } from '../data-dir/data-dir.ts';
import type { TableFile } from '../data-dir/wiredtiger/metadata.ts';
import {
  bytesOf,
  checkBlocks,
  checkFrame,
  type NeededBlocks,
} from '../data-dir/wiredtiger/table.ts';
import { Damage } from '../data-dir/wiredtiger/window.ts';
import { incomplete } from './incomplete.ts';

/** What was proven of the tables. */
export interface TablesChecked {
  readonly tables: number;
  /** The length of their files together. */
  readonly bytes: number;
  /** Of the blocks that the checkpoint needs. */
  readonly looked: number;
  readonly total: number;
  /** Tables whose form this release does not know: only their presence was checked. */
  readonly unknown: number;
}

interface Framed {
  readonly table: TableFile;
  readonly needed: NeededBlocks;
}

interface Pass {
  readonly path: string;
  readonly options: PrepareOptions;
  readonly signal: AbortSignal;
}

/**
 * Checks that every table is there and has the checkpoint of the lock, then its blocks, the small tables
 * first.
 *
 * @param withinMs the time for the blocks. The rest is not looked at.
 * @throws QuiesceError RESTORE_INCOMPLETE, with the name of the file
 */
export async function checkTables(
  tables: readonly TableFile[],
  pass: Pass,
  withinMs: number,
): Promise<TablesChecked> {
  const framed: Framed[] = [];
  let bytes = 0;
  for (const [index, table] of tables.entries()) {
    if (index % 100 === 0) report(pass, 'tables', index, tables.length);
    await withTable(pass, table, async (file) => {
      bytes += (await file.stat()).size;
      const needed = await checkFrame(file, table);
      if (needed) framed.push({ table, needed });
    });
  }
  const total = framed.reduce((sum, { needed }) => sum + bytesOf(needed), 0);
  const looked = await lookAtBlocks(framed, total, pass, performance.now() + withinMs);
  return { tables: tables.length, bytes, looked, total, unknown: tables.length - framed.length };
}

async function lookAtBlocks(
  framed: readonly Framed[],
  total: number,
  pass: Pass,
  until: number,
): Promise<number> {
  let looked = 0;
  const goOn = (bytes: number): boolean => {
    looked += bytes;
    return !pass.signal.aborted && performance.now() < until;
  };
  for (const { table, needed } of framed.toSorted(
    (a, b) => bytesOf(a.needed) - bytesOf(b.needed),
  )) {
    if (performance.now() >= until) break;
    report(pass, 'blocks', looked, total);
    if (needed.ranges.length === 0) continue;
    await withTable(pass, table, (file) => checkBlocks(file, needed, table.allocationSize, goOn));
  }
  return looked;
}

async function withTable(
  { path, signal }: Pass,
  { name }: TableFile,
  work: (file: FileHandle) => Promise<void>,
): Promise<void> {
  signal.throwIfAborted();
  const at = join(path, name);
  const file = await openTable(at);
  try {
    await work(file);
  } catch (error) {
    if (!(error instanceof Damage)) throw error;
    throw incomplete(
      `${at} was damaged, or not copied between the freeze and the thaw: ${error.message}.`,
    );
  } finally {
    await file.close();
  }
}

async function openTable(path: string): Promise<FileHandle> {
  try {
    return await openRegular(path, constants.O_NOFOLLOW);
  } catch (error) {
    if (isMissing(error)) throw incomplete(`${path} is missing, but ${BACKUP_FILE} lists it.`);
    const other = ['ELOOP', 'EFTYPE', 'ENXIO'].some((code) => isErrno(error, code));
    if (other) throw incomplete(`${path} is not a regular file, but ${BACKUP_FILE} lists it.`);
    throw error;
  }
}

function report({ options }: Pass, step: 'tables' | 'blocks', done: number, total: number): void {
  options.onProgress?.({ step, done, total, unit: step === 'tables' ? 'tables' : 'bytes' });
}
