import { lstat, readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { QuiesceError } from '../../../errors.ts';
import { isMissing } from '../../../lib/durable-files.ts';
import type { Receipt } from '../../../receipt/receipt.ts';
import type { PrepareOptions, PrepareOutcome } from '../../restore-module.ts';
import { invalid, promisedIn } from '../../shared/promised.ts';
import {
  alreadyPrepared,
  keepPrepared,
  outcomeOf,
  preparedNow,
  wasPrepared,
} from '../../shared/prepared-copy.ts';
import { BACKUP_FILE } from '../data-dir/data-dir.ts';
import { holderOf } from '../data-dir/file-locks.ts';
import { nextSteps } from './next-steps.ts';
import { type MongoRestore, positionSchema, restoreSchema } from '../receipt.ts';

const LOCK_FILE = 'mongod.lock';

/**
 * Checks a restored MongoDB copy before its first start; see `RestoreModule` for the contract.
 *
 * Nothing needs to be put in place: the copy was cut under a lock, and its `WiredTiger.backup` makes the
 * server start from the checkpoint of that lock. This checks that the file is there, which also shows
 * that no server has run on the copy, since a server removes it; and that every table listed in it was
 * copied. The notes describe, step by step, what needs a running server.
 */
export async function prepareRestore(
  receipt: Receipt,
  dataDir: string,
  options: PrepareOptions,
  signal: AbortSignal,
): Promise<PrepareOutcome> {
  const restore = readRestore(receipt);
  const path = join(dataDir, restore.dataDirectory ?? '');
  await requireData(path);
  await requireNoServer(path);
  const { dryRun } = options;
  const copy = { dryRun, id: receipt.id, engine: 'mongodb', dataDirectory: path };
  const before = await wasPrepared(dataDir, receipt.id);
  const backup = await readBackup(path);
  if (backup === undefined) {
    if (before) return alreadyPrepared(copy);
    throw new QuiesceError(
      'RESTORE_DATA_PAST',
      `${path} has no ${BACKUP_FILE}: either a server has run on this copy and removed it, or the copy was not cut under the lock of ${receipt.id}.`,
    );
  }
  const { tables, bytes } = await requireTables(path, backup, options, signal);
  signal.throwIfAborted();
  if (!dryRun) await keepPrepared(dataDir, preparedNow(receipt.id));
  return outcomeOf(copy, {
    proof: { backupFile: true, tables, bytes },
    notes: nextSteps(restore),
    message: `The copy of freeze ${receipt.id} in ${path} was cut under the lock and is complete: ${tables} tables, ${bytes} bytes. No server has run on it.`,
  });
}

function readRestore(receipt: Receipt): MongoRestore {
  const schemas = { position: positionSchema, restore: restoreSchema };
  const { restore } = promisedIn(receipt, 'mongodb', schemas, invalid);
  const { dataDirectory } = restore;
  if (dataDirectory === null) {
    throw invalid('does not say where the data is: the data was not mounted at the freeze');
  }
  if (dataDirectory.startsWith('/') || dataDirectory.split('/').includes('..')) {
    throw invalid('has a data directory outside the volume');
  }
  return restore;
}

async function requireData(path: string): Promise<void> {
  for (const name of ['WiredTiger', 'WiredTiger.wt', '_mdb_catalog.wt', 'storage.bson']) {
    const info = await lstat(join(path, name)).catch(absent);
    if (info?.isFile() === true && info.size > 0) continue;
    throw new QuiesceError('RESTORE_INCOMPLETE', `${join(path, name)} is missing or empty.`);
  }
}

/** A server holds a lock on `mongod.lock` for as long as it runs. */
async function requireNoServer(path: string): Promise<void> {
  const file = join(path, LOCK_FILE);
  const pid = await holderOf(file);
  if (pid === undefined) return;
  const message = `Process ${pid} uses ${path}: it holds the lock on ${LOCK_FILE}.`;
  throw new QuiesceError('RESTORE_SERVER_RUNNING', message);
}

async function readBackup(path: string): Promise<string | undefined> {
  const text = await readFile(join(path, BACKUP_FILE), 'latin1').catch(absent);
  if (text === undefined || text.includes('file:')) return text;
  throw new QuiesceError(
    'RESTORE_INCOMPLETE',
    `${join(path, BACKUP_FILE)} lists no table: it was not copied completely.`,
  );
}

/** Checks that every table in the backup's list is present and not empty. */
async function requireTables(
  path: string,
  backup: string,
  { onProgress }: PrepareOptions,
  signal: AbortSignal,
): Promise<{ tables: number; bytes: number }> {
  const names = tablesIn(backup);
  let bytes = 0;
  for (const [index, name] of names.entries()) {
    signal.throwIfAborted();
    if (index % 100 === 0) {
      onProgress?.({ step: 'tables', done: index, total: names.length, unit: 'tables' });
    }
    const info = await lstat(join(path, name)).catch(absent);
    if (info?.isFile() !== true || info.size === 0) {
      const what = info === undefined ? 'is missing' : 'is empty or not a regular file';
      throw new QuiesceError(
        'RESTORE_INCOMPLETE',
        `${join(path, name)} ${what}, but ${BACKUP_FILE} lists it.`,
      );
    }
    bytes += info.size;
  }
  if (names.length === 0) {
    throw new QuiesceError('RESTORE_INCOMPLETE', `${BACKUP_FILE} lists no table of the data.`);
  }
  await requireJournal(path, backup);
  return { tables: names.length, bytes };
}

/** Reads the lines that begin with `file:`, each the name of a table's file. Other lines are its metadata. */
export function tablesIn(backup: string): string[] {
  const names = backup
    .split('\n')
    .filter((line) => line.startsWith('file:'))
    .map((line) => line.slice('file:'.length).trim());
  return [...new Set(names)].filter((name) => name.endsWith('.wt') && !name.includes('..'));
}

/** If the server keeps a journal, the copy must hold its files. */
async function requireJournal(path: string, backup: string): Promise<void> {
  if (!/log=\(enabled=true/.test(backup)) return;
  const files = await readdir(join(path, 'journal')).catch(absent);
  if (files?.some((name) => name.startsWith('WiredTigerLog.')) === true) return;
  throw new QuiesceError('RESTORE_INCOMPLETE', `${join(path, 'journal')} holds no journal.`);
}

function absent(error: unknown): undefined {
  if (isMissing(error)) return undefined;
  throw error;
}
