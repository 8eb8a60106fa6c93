import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { QuiesceError } from '../../../errors.ts';
import { readIfThere } from '../../../lib/regular-file.ts';
import { VOLUME_FOLDER } from '../../../receipt/volume.ts';
import { differs, type Digests, DIGESTS_FILE, digestsSchema } from '../data-dir/digests.ts';
import { journalFiles, journalNumber } from '../data-dir/journal.ts';
import type { MongoRestore } from '../receipt.ts';
import { incomplete } from './incomplete.ts';

/**
 * Compares the copy with the digests that the freeze kept.
 *
 * @param path the server's data directory in the copy.
 * @returns how many files were compared; `null` where the receipt promises no digests.
 * @throws QuiesceError RESTORE_INCOMPLETE, with the name of the file
 */
export async function compareDigests(
  path: string,
  dataDir: string,
  { digests }: MongoRestore,
  signal: AbortSignal,
): Promise<number | null> {
  if (digests === null) return null;
  const { files } = await readDigests(dataDir, digests.sha256);
  for (const then of files) {
    signal.throwIfAborted();
    const what = await differs(path, then);
    if (what === null) continue;
    throw incomplete(
      `${join(path, then.name)} ${what}. It was damaged, or not copied between the freeze and the thaw.`,
    );
  }
  return files.length;
}

async function readDigests(dataDir: string, sha256: string): Promise<Digests> {
  const file = join(dataDir, VOLUME_FOLDER, DIGESTS_FILE);
  const text = await readIfThere(file);
  if (text === null) throw incomplete(`${file} is missing, but the receipt names it.`);
  if (createHash('sha256').update(text).digest('hex') !== sha256) {
    throw incomplete(`${file} is not the file that the receipt names.`);
  }
  const parsed = digestsSchema.safeParse(JSON.parse(text));
  if (parsed.success) return parsed.data;
  throw new QuiesceError('RESTORE_RECEIPT_INVALID', `${file} cannot be understood.`, {
    hint: 'Use the release of quiesce that made the backup, or a later one.',
  });
}

/** If the server keeps a journal, the copy must hold its files, and none may lack between two others. */
export async function requireJournal(path: string, backup: string): Promise<void> {
  if (!/log=\(enabled=true/.test(backup)) return;
  const numbers = (await journalFiles(path)).map((name) => journalNumber(name));
  if (numbers.length === 0) throw incomplete(`${join(path, 'journal')} holds no journal.`);
  const gap = numbers.find((number, at) => at > 0 && number !== (numbers[at - 1] ?? 0) + 1);
  if (gap === undefined) return;
  throw incomplete(`${join(path, 'journal')} lacks the file before number ${gap}.`);
}
