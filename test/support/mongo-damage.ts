import { lstat, open, readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import {
  readMetadata,
  type TableFile,
} from '../../src/engines/mongodb/data-dir/wiredtiger/metadata.ts';

/** Overwrites a part of a file. */
export async function overwrite(path: string, from: number, bytes: Buffer): Promise<void> {
  const file = await open(path, 'r+');
  await file.write(bytes, 0, bytes.length, from);
  await file.close();
}

/** The tables of a copy, the largest first. */
export async function tablesOf(db: string): Promise<(TableFile & { readonly size: number })[]> {
  const tables = readMetadata(await readFile(join(db, 'WiredTiger.backup'), 'latin1'));
  const sized = await Promise.all(
    tables.map(async (table) => ({ ...table, size: (await lstat(join(db, table.name))).size })),
  );
  return sized.toSorted((a, b) => b.size - a.size);
}

/** The name of the largest table whose name begins so. */
export async function largest(db: string, prefix: string): Promise<string> {
  const table = (await tablesOf(db)).find(({ name }) => name.startsWith(prefix));
  if (!table) throw new Error(`${db} has no table ${prefix}…`);
  return table.name;
}

export async function journalOf(db: string): Promise<string> {
  const names = await readdir(join(db, 'journal'));
  const logs = names.filter((name) => name.startsWith('WiredTigerLog.')).toSorted();
  return `journal/${logs.at(-1)}`;
}
