import { realpath } from 'node:fs/promises';
import { basename, dirname, isAbsolute, join } from 'node:path';
import { QuiesceError } from '../../../errors.ts';
import { isErrno } from '../../../lib/durable-files.ts';
import { VOLUME_FOLDER } from '../../../receipt/volume.ts';
import type { PrepareOptions, PrepareOutcome } from '../../restore-module.ts';
import { keepPrepared, outcomeOf, wasPrepared } from '../../shared/prepared-copy.ts';
import { ControlFileError, readControlFile } from '../data-dir/control-file.ts';
import { BASE, isFolder, isStagingName, removeStaging } from '../freeze/staged/folder.ts';
import { compareStaged, readManifest } from '../freeze/staged/manifest.ts';
import { isInside } from '../../../lib/paths.ts';
import { checkLinks, readMajor, readOwnControl } from './find-pgdata.ts';
import { checkOwner } from './check-owner.ts';
import { type ReceiptClaims } from './receipt-claims.ts';
import { notesOnPages, preparedRecord } from './prepared.ts';
import { type CopyProof, proveCopy } from './prove-copy.ts';
import { dataPast, incomplete, receiptInvalid } from './errors.ts';
import { type PidFile, readPidFile, runningServer } from './running.ts';
import { makeData, readSwap, type Swap, swapIn } from './swap.ts';
import { startedSince } from './already-started.ts';

interface StagedCopy {
  readonly claims: ReceiptClaims;
  readonly dataDir: string;
  readonly pgdata: string;
  /** `.quiesce/<name>`. */
  readonly staging: string;
  readonly manifestSha: string;
  readonly pidFile: PidFile | null;
}

/**
 * Prepares a copy that was made file by file. Its PGDATA was copied while the server wrote and is
 * worth nothing. The staged backup in the copy is proven, file by file and record by record, and
 * then put in its place.
 *
 * @returns `null` where an earlier run has put it in place: PGDATA is then an ordinary copy.
 */
export async function prepareStagedCopy(
  claims: ReceiptClaims,
  dataDir: string,
  options: PrepareOptions,
  signal: AbortSignal,
): Promise<PrepareOutcome | null> {
  const copy = await openCopy(claims, dataDir);
  const { pgdata, staging } = copy;
  const begun = await readSwap(staging);
  if (begun === null && !(await isFolder(staging))) {
    if (await wasPrepared(dataDir, claims.id)) return null;
  }
  const running = await runningServer(pgdata, copy.pidFile);
  if (running !== null) throw new QuiesceError('RESTORE_SERVER_RUNNING', running);
  if (begun !== null) {
    if (!options.dryRun) await putInPlace(copy, begun);
    return outcome(copy, null, options);
  }
  const run = await serverHasRun(copy, signal);
  if (run !== null) {
    throw dataPast(
      `A server has run on this copy: ${run}. Putting the staged backup in place would remove what it wrote.`,
    );
  }
  const proof = await proveStaged(copy, options, signal);
  signal.throwIfAborted();
  if (!options.dryRun) {
    await checkOwner(pgdata, join(dataDir, VOLUME_FOLDER));
    await putInPlace(copy, { phase: 'clearing', prepared: preparedRecord(claims, proof) });
  }
  return outcome(copy, proof, options);
}

async function openCopy(claims: ReceiptClaims, dataDir: string): Promise<StagedCopy> {
  const { staged, dataDirectory } = claims.restore;
  const named = dataDirectory ?? '';
  const name = basename(staged?.folder ?? '');
  if (staged?.folder !== `${VOLUME_FOLDER}/${name}` || !isStagingName(name)) {
    throw receiptInvalid(
      `The receipt names a folder that is not a staged backup: ${staged?.folder}.`,
    );
  }
  if (named === '' || isAbsolute(named) || named.split(/[/\\]/).includes('..')) {
    throw receiptInvalid(`The receipt names a data directory outside the volume: ${named}.`);
  }
  const staging = join(dataDir, staged.folder);
  const wanted = join(dataDir, named);
  const pgdata = await realpath(wanted).catch((error: unknown) => {
    if (isErrno(error, 'ENOENT')) return wanted;
    throw error;
  });
  if (!isInside(pgdata, dataDir) || isInside(pgdata, join(dataDir, VOLUME_FOLDER))) {
    throw receiptInvalid(`${wanted}: the data directory leads out of the volume, to ${pgdata}.`);
  }
  const pidFile = await readPidFile(pgdata);
  return { claims, dataDir, pgdata, staging, manifestSha: staged.manifest, pidFile };
}

/**
 * Whether a server was started on the files that were copied live. The frozen server may have been
 * restarted while the copy was made, so a later start alone proves nothing: it must be after the
 * lease, or after the copy's own files were made.
 *
 * @returns why, or `null`.
 */
async function serverHasRun(
  { pgdata, claims, pidFile, staging }: StagedCopy,
  signal: AbortSignal,
): Promise<string | null> {
  signal.throwIfAborted();
  const since = await startedSince(staging, claims, pidFile);
  if (since !== null) return since;
  if (pidFile !== null) return null;
  // Without postmaster.pid the last server was shut down, or the copy lost the file.
  try {
    const { state, systemIdentifier } = await readControlFile(pgdata);
    const ended = state === 'shut down' || state === 'shut down in recovery';
    if (ended && systemIdentifier === claims.systemIdentifier) {
      return `pg_control says "${state}" and there is no postmaster.pid`;
    }
    return null;
  } catch (error) {
    // A pg_control that was copied live may be torn or missing.
    if (error instanceof ControlFileError || isErrno(error, 'ENOENT')) return null;
    throw error;
  }
}

async function proveStaged(
  { staging, claims, manifestSha, dataDir }: StagedCopy,
  options: PrepareOptions,
  signal: AbortSignal,
): Promise<CopyProof> {
  const hint =
    'The copy began before the freeze, went on after the thaw, or was damaged: use another backup.';
  if (!(await isFolder(staging))) throw incomplete(`${staging} is missing.`, hint);
  const manifest = await readManifest(staging, manifestSha);
  if (typeof manifest === 'string') throw incomplete(`${manifest}.`, hint);
  const total = manifest.files.reduce((sum, { size }) => sum + size, 0) >> 20;
  const report = (bytes: number): void =>
    options.onProgress?.({ step: 'comparing files', done: bytes >> 20, total, unit: 'MB' });
  const difference = await compareStaged(staging, manifest, true, signal, report);
  if (difference !== null) throw incomplete(`${difference}.`, hint);
  const base = join(staging, BASE);
  const control = await readOwnControl(base, claims.systemIdentifier);
  const major = await readMajor(base);
  if (major !== claims.major) {
    throw receiptInvalid(
      `The receipt is for PostgreSQL ${claims.major}, but ${base} belongs to PostgreSQL ${major}.`,
    );
  }
  await checkLinks(dataDir, base, claims.restore.tablespaceMap);
  return await proveCopy(base, claims, control, options, signal);
}

/**
 * Writes `prepared.json` before the staged backup is removed: at any moment one of the two shows
 * what was done.
 */
async function putInPlace({ dataDir, pgdata, staging }: StagedCopy, swap: Swap): Promise<void> {
  await makeData(pgdata, staging);
  await swapIn(pgdata, staging, swap);
  await keepPrepared(dataDir, swap.prepared);
  await removeStaging(staging);
}

function outcome(
  { claims, pgdata, staging }: StagedCopy,
  proof: CopyProof | null,
  { dryRun }: PrepareOptions,
): PrepareOutcome {
  const label = claims.restore.tablespaceMap === null ? [] : ['tablespace_map'];
  const put = dryRun ? 'would be' : 'is';
  const proven =
    proof === null
      ? 'an earlier run proved it and began to put it in place'
      : `every file is as it was staged, and its WAL is whole from ${proof.walFrom} to ${proof.walEnd} (${proof.records} records)`;
  const copy = { dryRun, id: claims.id, engine: 'postgres', dataDirectory: pgdata };
  return outcomeOf(copy, {
    placed: [...label, 'backup_label'],
    proof: proof === null ? null : { ...proof, pages: { ...proof.pages } },
    notes: [
      'The files that were copied while the server wrote are removed.',
      ...(proof === null ? [] : notesOnPages(proof)),
    ],
    message: `The staged backup of freeze ${claims.id} (${basename(dirname(staging))}/${basename(staging)}) ${put} in place in ${pgdata}: ${proven}.`,
  });
}
