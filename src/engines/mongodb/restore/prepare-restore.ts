import { lstat, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { SCAN_MS } from '../../../defaults.ts';
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
import { readMetadata, type TableFile } from '../data-dir/wiredtiger/metadata.ts';
import { checkTables, type TablesChecked } from './check-tables.ts';
import { checkTurtle } from './check-turtle.ts';
import { compareDigests, requireJournal } from './compare-digests.ts';
import { incomplete } from './incomplete.ts';
import { nextSteps } from './next-steps.ts';
import { type MongoRestore, positionSchema, restoreSchema } from '../receipt.ts';

const LOCK_FILE = 'mongod.lock';

type Proof = NonNullable<PrepareOutcome['proof']>;

/**
 * Checks a restored MongoDB copy before its first start; see `RestoreModule` for the contract.
 *
 * Nothing needs to be put in place: the copy was cut under a lock, and its `WiredTiger.backup` makes the
 * server start from the checkpoint of that lock. This checks that the file is there, which also shows
 * that no server has run on the copy, since a server removes it; that every table listed in it was copied
 * with that checkpoint and no damage; and that the files which stood still under the lock are unchanged.
 * The notes describe, step by step, what needs a running server.
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
  const checked = await proveCopy({ path, dataDir, backup, restore }, options, signal);
  if (!dryRun) await keepPrepared(dataDir, preparedNow(receipt.id));
  return outcomeOf(copy, {
    proof: proofOf(checked),
    notes: [...scanNotes(checked), ...nextSteps(restore)],
    message: `The copy of freeze ${receipt.id} in ${path} was cut under the lock and no server has run on it. ${sentenceOf(checked)}`,
  });
}

interface Copy {
  readonly path: string;
  readonly dataDir: string;
  readonly backup: string;
  readonly restore: MongoRestore;
}

interface Proven extends TablesChecked {
  /** How many files were compared with the digests of the freeze; `null`: it kept none. */
  readonly digests: number | null;
}

/** Every table is there with the checkpoint of the lock, and every file whose digest was kept is unchanged. */
async function proveCopy(
  { path, dataDir, backup, restore }: Copy,
  options: PrepareOptions,
  signal: AbortSignal,
): Promise<Proven> {
  const tables = tablesIn(backup);
  if (tables.length === 0) throw incomplete(`${BACKUP_FILE} lists no table of the data.`);
  await requireJournal(path, backup);
  await checkTurtle(path);
  const digests = await compareDigests(path, dataDir, restore, signal);
  const { scanMs = SCAN_MS } = options;
  const withinMs = scanMs ?? Number.POSITIVE_INFINITY;
  const checked = await checkTables(tables, { path, options, signal }, withinMs);
  signal.throwIfAborted();
  return { ...checked, digests };
}

/** `checkpointBytes`: how much of the blocks that the checkpoint needs was looked at. */
function proofOf({ tables, bytes, digests, unknown, looked, total }: Proven): Proof {
  return { backupFile: true, tables, bytes, digests, unknown, checkpointBytes: { looked, total } };
}

function sentenceOf({ tables, looked, total }: Proven): string {
  return looked === total
    ? `All ${tables} tables are there, and every block of their checkpoint is intact (${total} bytes).`
    : `All ${tables} tables are there, and ${looked} of ${total} bytes of their checkpoint were looked at and are intact.`;
}

function scanNotes({ looked, total, unknown }: Proven): string[] {
  return [
    ...(looked < total
      ? [
          `The time for it ended after ${looked} of ${total} bytes: damage in the others would not have been seen.`,
        ]
      : []),
    ...(unknown > 0
      ? [
          `The blocks of ${unknown} tables were not looked at: this release does not know their form.`,
        ]
      : []),
  ];
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
    throw incomplete(`${join(path, name)} is missing or empty.`);
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
  throw incomplete(`${join(path, BACKUP_FILE)} lists no table: it was not copied completely.`);
}

/** The tables that the backup lists: lines that begin with `file:`. */
export function tablesIn(backup: string): TableFile[] {
  const files = new Map(readMetadata(backup).map((file) => [file.name, file]));
  return [...files.values()].filter(({ name }) => name.endsWith('.wt') && !name.includes('..'));
}

function absent(error: unknown): undefined {
  if (isMissing(error)) return undefined;
  throw error;
}
