import { join } from 'node:path';
import { readIfThere } from '../../../lib/regular-file.ts';
import { LABEL_FILE, type PostgresRestore, TABLESPACE_MAP_FILE } from '../receipt.ts';
import { receiptInvalid } from './errors.ts';
import { needsLabel, type ReceiptClaims } from './receipt-claims.ts';
import { mapAsLinked } from './tablespace-links.ts';

/**
 * Name in PGDATA → content. The label in the receipt is the one that counts: the files on the volume
 * must equal it.
 */
export async function filesToPlace(
  folder: string,
  pgdata: string,
  claims: ReceiptClaims,
): Promise<ReadonlyMap<string, string>> {
  const { mode, restore } = claims;
  const wanted = [
    ['tablespace_map', TABLESPACE_MAP_FILE, restore.tablespaceMap],
    ['backup_label', LABEL_FILE, restore.backupLabel],
  ] as const;
  const files = new Map<string, string>();
  for (const [name, kept, content] of wanted) {
    if (content === null) continue;
    const found = await readIfThere(join(folder, kept));
    if (found !== null && found !== content) {
      throw receiptInvalid(`${join(folder, kept)} differs from the ${name} in the receipt.`);
    }
    if (!needsLabel(claims)) continue;
    const linked = mode === 'open' && name === 'tablespace_map';
    files.set(name, linked ? await mapAsLinked(pgdata, content) : content);
  }
  return files;
}

/**
 * Refuses a label in PGDATA that is not the receipt's: it would send recovery elsewhere, and nothing
 * here shows which backup it belongs to.
 *
 * @returns names of the receipt's own files that a person, or an earlier version, put where recovery
 * must not find them.
 */
export async function findMisplaced(
  pgdata: string,
  files: ReadonlyMap<string, string>,
  { backupLabel, tablespaceMap }: PostgresRestore,
): Promise<string[]> {
  const misplaced: string[] = [];
  for (const [name, own] of [
    ['backup_label', backupLabel],
    ['tablespace_map', tablespaceMap],
  ] as const) {
    const found = await readIfThere(join(pgdata, name));
    if (found === null || found === files.get(name)) continue;
    if (files.has(name) || found !== own) {
      throw receiptInvalid(
        `${join(pgdata, name)} already exists and is not the receipt's.`,
        'Another backup tool left it in the copy. Remove it only if you know that nothing needs it.',
      );
    }
    misplaced.push(name);
  }
  return misplaced;
}
