import { access } from 'node:fs/promises';
import { join } from 'node:path';
import { QuiesceError } from '../../../errors.ts';
import { isErrno, ownerLike, removeDurably, writeDurably } from '../../../lib/durable-files.ts';
import type { Receipt } from '../../../receipt/receipt.ts';
import { VOLUME_FOLDER } from '../../../receipt/volume.ts';
import type { PrepareOptions, PrepareOutcome } from '../../restore-module.ts';
import {
  alreadyPrepared,
  keepPrepared,
  outcomeOf,
  wasPrepared,
} from '../../shared/prepared-copy.ts';
import { checkLinks, locateData, readMajor, readOwnControl } from './find-pgdata.ts';
import { filesToPlace, findMisplaced } from './label-files.ts';
import { checkVolumes } from './tablespace-links.ts';
import { hasRun } from './already-started.ts';
import { readIfThere } from '../../../lib/regular-file.ts';
import { checkOwner } from './check-owner.ts';
import { type ReceiptClaims, readClaims } from './receipt-claims.ts';
import { coverage, notesOnPages, preparedRecord } from './prepared.ts';
import { type CopyProof, proveCopy } from './prove-copy.ts';
import { dataPast, incomplete, receiptInvalid } from './errors.ts';
import { blocksStart, type PidFile, readPidFile, runningOnWal, runningServer } from './running.ts';
import { isSwapHalfDone, prepareStagedCopy } from './staged-copy.ts';

/**
 * The documentation of pg_basebackup and of file system backups: only on the same architecture. Alignment,
 * the format of floating-point numbers and the sign of `char`, which orders text in some indexes, differ.
 */
export const boundToArchitecture = true;

/** A copy that is being prepared. */
interface Copy {
  readonly claims: ReceiptClaims;
  readonly dataDir: string;
  readonly pgdata: string;
  readonly pidFile: PidFile | null;
  /**
   * Name in PGDATA → content: the files that must exist at the first start. The label comes last.
   */
  readonly files: ReadonlyMap<string, string>;
}

/**
 * Prepares a restored PostgreSQL copy for its first start; see `RestoreModule` for the contract.
 *
 * A refusal changes nothing. A write that fails midway leaves only proven files, and the next run
 * continues from there.
 */
export async function prepareRestore(
  receipt: Receipt,
  dataDir: string,
  options: PrepareOptions,
  signal: AbortSignal,
): Promise<PrepareOutcome> {
  const claims = readClaims(receipt);
  const { restore, systemIdentifier } = claims;
  if (claims.mode === 'staged') {
    const outcome = await prepareStagedCopy(claims, dataDir, options, signal);
    if (outcome !== null) return outcome;
  }
  const pgdata = await locateData(dataDir, restore.dataDirectory, systemIdentifier);
  const control = await readOwnControl(pgdata, systemIdentifier);
  const folder = join(dataDir, VOLUME_FOLDER);
  const files = await filesToPlace(folder, pgdata, claims);
  const copy: Copy = { claims, dataDir, pgdata, files, pidFile: await readPidFile(pgdata) };
  await checkVersion(copy);

  const run = await hasRun(pgdata, claims, control, copy.pidFile);
  const before = await wasPrepared(dataDir, claims.id);
  if (before && run !== null && !(await labelInPlace(copy)))
    return alreadyPrepared(aboutOf(copy, options));
  if (claims.mode === 'open') await checkVolumes(pgdata, claims);
  const running =
    (await runningServer(pgdata, copy.pidFile)) ??
    (claims.mode === 'open' ? await runningOnWal(pgdata) : null);
  if (running !== null) throw new QuiesceError('RESTORE_SERVER_RUNNING', running);
  if (run !== null) {
    // A server that was stopped before it read the label has replayed nothing: it will read it next time.
    if (before) return alreadyPrepared(aboutOf(copy, options));
    throw dataPast(`A server has run on this copy: ${run}.`);
  }
  if (!options.dryRun) await checkOwner(pgdata, folder);
  if (claims.mode !== 'open') await checkLinks(dataDir, pgdata, restore.tablespaceMap);
  const misplaced = await findMisplaced(pgdata, files, restore);

  let proof: CopyProof;
  try {
    proof = await proveCopy(pgdata, claims, control, options, signal);
  } catch (error) {
    const past = error instanceof QuiesceError && error.code === 'RESTORE_DATA_PAST';
    if (past && before && !(await labelInPlace(copy)))
      return alreadyPrepared(aboutOf(copy, options));
    throw error;
  }
  signal.throwIfAborted();
  if (coverage(claims, proof) === 'checkpoint' && copy.pidFile?.startedAt == null) {
    throw incomplete(
      'WAL no longer holds the marker, and without postmaster.pid nothing proves that the frozen server, and not one started on this copy, made the checkpoint after it.',
    );
  }
  return await placeFiles(copy, misplaced, proof, options);
}

/** Only a staged backup is moved, file by file; every other write is atomic and harmless alone. */
export async function isHalfDone(receipt: Receipt, dataDir: string): Promise<boolean> {
  return receipt.mode === 'staged' && (await isSwapHalfDone(readClaims(receipt), dataDir));
}

function aboutOf({ claims, pgdata }: Copy, { dryRun }: PrepareOptions) {
  return { dryRun, id: claims.id, engine: 'postgres', dataDirectory: pgdata };
}

async function checkVersion({ pgdata, claims }: Copy): Promise<void> {
  const major = await readMajor(pgdata);
  if (major !== claims.major) {
    throw receiptInvalid(
      `The receipt is for PostgreSQL ${claims.major}, but ${pgdata} belongs to PostgreSQL ${major}.`,
    );
  }
}

async function labelInPlace({ pgdata, files }: Copy): Promise<boolean> {
  const label = files.get('backup_label');
  return label !== undefined && (await readIfThere(join(pgdata, 'backup_label'))) === label;
}

async function placeFiles(
  copy: Copy,
  misplaced: readonly string[],
  proof: CopyProof,
  options: PrepareOptions,
): Promise<PrepareOutcome> {
  const { dataDir, pgdata, files, pidFile, claims } = copy;
  const blocks = pidFile !== null && (await blocksStart(pgdata, pidFile));
  const removed = [...misplaced, ...(blocks ? ['postmaster.pid'] : [])];
  if (!options.dryRun) {
    for (const [name, content] of files) await putInPlace(pgdata, name, content);
    for (const name of removed) await removeDurably(join(pgdata, name));
    await keepPrepared(dataDir, preparedRecord(claims, proof));
  }
  return outcomeOf(aboutOf(copy, options), {
    placed: [...files.keys()],
    removed,
    proof: { ...proof, pages: { ...proof.pages } },
    notes: [...(await notesFor(copy, blocks)), ...notesOnPages(proof)],
    message: sentence(copy, proof, options.dryRun),
  });
}

async function putInPlace(pgdata: string, name: string, content: string): Promise<void> {
  const path = join(pgdata, name);
  if ((await readIfThere(path)) === content) return;
  await writeDurably(path, content, { mode: 0o600, ...(await ownerLike(pgdata)) });
}

function sentence({ claims, pgdata, files }: Copy, proof: CopyProof, dryRun: boolean): string {
  const names = [...files.keys()].toReversed().join(' and ');
  const put =
    names === ''
      ? 'needs no further file'
      : dryRun
        ? `would get ${names}`
        : `has ${names} in place`;
  const marker = claims.isStandby
    ? 'past the promised position'
    : proof.markerFound
      ? 'with the marker'
      : 'from a checkpoint after the marker';
  return `The copy of freeze ${claims.id} in ${pgdata} ${put}: its WAL is whole from ${proof.walFrom} to ${proof.walEnd} (${proof.records} records), ${marker}, and none of ${proof.pages.looked} of ${proof.pages.total} pages is ahead of it or damaged.`;
}

async function notesFor(
  { claims, pgdata, pidFile, files }: Copy,
  blocks: boolean,
): Promise<string[]> {
  const notes: string[] = [];
  if (await exists(join(pgdata, 'standby.signal'))) {
    notes.push(
      'It will start as a standby that follows its primary_conninfo; remove standby.signal to start it standalone.',
    );
  } else if (await exists(join(pgdata, 'recovery.signal'))) {
    notes.push(
      'It will start with a recovery from the archive, which needs restore_command and may go on past the freeze; remove recovery.signal to start it in the frozen state.',
    );
  }
  if (claims.mode === 'crash-consistent') {
    notes.push('The freeze was crash-consistent: the server recovers as after a crash.');
  }
  const map = files.get('tablespace_map');
  if (map !== undefined && map !== claims.restore.tablespaceMap) {
    notes.push(
      'tablespace_map has the paths of the tablespaces as the links in pg_tblspc now have them.',
    );
  }
  if (blocks) {
    notes.push(
      `postmaster.pid was copied with the data and names process ${pidFile?.pid}, which runs here but is not a server of this data: the file would stop the server from starting.`,
    );
  }
  return notes;
}

async function exists(path: string): Promise<boolean> {
  return await access(path).then(
    () => true,
    (error: unknown) => !isErrno(error, 'ENOENT'),
  );
}
