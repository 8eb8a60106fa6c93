import { lstat, readdir, realpath, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { QuiesceError } from '../errors.ts';
import type { PrepareOptions, PrepareOutcome } from '../engines/restore-module.ts';
import {
  describeErrno,
  isErrno,
  ownerLike,
  removeDurably,
  writeDurably,
} from '../lib/durable-files.ts';
import { type Receipt, receiptSchema } from '../receipt/receipt.ts';
import type { RestoreMark } from '../receipt/restore-mark.ts';
import { COPY_FILE, RECEIPT_FILE, ReceiptVolume, VOLUME_FOLDER } from '../receipt/volume.ts';
import { readRegular } from '../lib/regular-file.ts';
import { checkArchitecture } from './architecture.ts';
import { LARGEST_RECEIPT, readGivenReceipt } from '../receipt/read.ts';
import { judgedBefore, keepOnVolume } from './record.ts';
import { leaveLive, type LoadRestore, untouched } from './live-volume.ts';
import { withoutReceipt } from './view.ts';

export type { PrepareOutcome, PrepareProgress } from '../engines/restore-module.ts';

interface PrepareRequest extends PrepareOptions {
  readonly dataDir: string;
  /** The final receipt, for a freeze whose receipt on the volume lacks facts known only at its end. */
  readonly receiptFile?: string | undefined;
  /** The mark of the pod. `undefined`: whoever calls knows that this is a copy. */
  readonly restoreMark?: RestoreMark;
  /** Refuse a restored volume that has no receipt. */
  readonly requireReceipt?: boolean | undefined;
  readonly load: LoadRestore;
}

/**
 * Prepares a restored copy of the data for the first start of its server, following the receipt in its
 * `.quiesce/receipt.json`. Without a receipt it changes nothing and says so.
 */
export async function prepareRestore(
  request: PrepareRequest,
  signal: AbortSignal,
): Promise<PrepareOutcome> {
  const dataDir = await existingFolder(request.dataDir);
  const { restoreMark } = request;
  if (restoreMark !== undefined) {
    const live = await leaveLive({ ...request, dataDir, restoreMark }, () => readReceipt(dataDir));
    if (live !== null) return live;
  }
  const own = await readReceipt(dataDir);
  if (own === null && restoreMark === null) return nothingToDo(request);
  const given =
    request.receiptFile === undefined ? null : await readGivenReceipt(request.receiptFile);
  if (own === null) {
    if (given !== null) await refuseOutside(dataDir, given);
    if (request.requireReceipt) await requireJudged(dataDir, request);
    return nothingToDo(request);
  }
  // With a mark, only a copy gets to here.
  const noted = restoreMark !== undefined && !request.dryRun;
  if (noted) await markAsCopy(dataDir, own);
  if (given !== null) checkSame(own, given);
  const receipt = given ?? own;
  checkPromise(receipt);
  const engine = await request.load(receipt.engine.name);
  if (!engine) {
    throw new QuiesceError(
      'RESTORE_RECEIPT_INVALID',
      `The receipt is of the engine "${receipt.engine.name}", which this release does not support.`,
      { hint: 'Use the release of quiesce that made the backup, or a later one.' },
    );
  }
  try {
    const bound = engine.boundToArchitecture === true;
    const foreign = bound ? await checkArchitecture(dataDir, receipt, request.dryRun) : null;
    const prepared = await engine.prepareRestore(receipt, dataDir, request, signal);
    const outcome =
      foreign === null ? prepared : { ...prepared, notes: [...prepared.notes, foreign] };
    if (given !== null && outcome.outcome === 'prepared' && !request.dryRun) {
      await replaceReceipt(dataDir, given);
    }
    if (noted) await removeDurably(join(dataDir, VOLUME_FOLDER, COPY_FILE)).catch(() => undefined);
    return outcome;
  } catch (error) {
    throw asRestoreError(error);
  }
}

function nothingToDo({ dryRun, dataDir }: PrepareRequest): PrepareOutcome {
  return untouched(dryRun, {
    outcome: 'nothing-to-do',
    message: `${dataDir} has no ${VOLUME_FOLDER}/${RECEIPT_FILE}: there is nothing to prepare, and nothing was changed or proven.`,
  });
}

async function existingFolder(path: string): Promise<string> {
  try {
    if ((await stat(path)).isDirectory()) return await realpath(path);
  } catch (error) {
    if (!isMissingOrWrongType(error)) throw asRestoreError(error);
  }
  throw new QuiesceError('USAGE', `--data: ${path} is not a folder.`, {
    field: '--data',
    hint: 'Give the mount path of the restored volume: the value that QUIESCE_DATA_DIR had.',
  });
}

async function readReceipt(dataDir: string): Promise<Receipt | null> {
  const path = join(dataDir, VOLUME_FOLDER, RECEIPT_FILE);
  let text: string;
  try {
    const folder = await lstat(dirname(path));
    if (!folder.isDirectory()) throw invalid(path, `${VOLUME_FOLDER} is not a folder`);
    const info = await lstat(path);
    if (!info.isFile() || info.size > LARGEST_RECEIPT)
      throw invalid(path, 'it is not a receipt file');
    text = await readRegular(path);
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return null;
    if (error instanceof QuiesceError) throw error;
    throw asRestoreError(error);
  }
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    throw invalid(path, 'it is not JSON');
  }
  const parsed = receiptSchema.safeParse(json);
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0];
  throw invalid(path, `${issue?.path.join('.') || 'it'}: ${issue?.message ?? 'not a receipt'}`);
}

/** Checks that the given receipt is of the same freeze, and that this freeze held to its end. */
function checkSame(own: Receipt, given: Receipt): void {
  const requireSame = (what: string, here: unknown, there: unknown): void => {
    if (JSON.stringify(here) === JSON.stringify(there)) return;
    throw new QuiesceError(
      'RESTORE_RECEIPT_INVALID',
      `--receipt is not the final receipt of the freeze in which this volume was cut: its ${what} is ${JSON.stringify(there)}, the volume's is ${JSON.stringify(here)}.`,
      { hint: `Give the receipt that the thaw of ${own.id} printed.`, field: '--receipt' },
    );
  };
  requireSame('id', own.id, given.id);
  requireSame('engine', own.engine, given.engine);
  requireSame('mode', own.mode, given.mode);
  requireSame('start', own.frozenAt, given.frozenAt);
  requireSame('first position', own.position?.['startLsn'], given.position?.['startLsn']);
  if (given.verdict !== 'consistent') {
    throw new QuiesceError(
      'RESTORE_RECEIPT_INVALID',
      `The given receipt of ${given.id} promises nothing: its verdict is ${given.verdict} (${given.reasons.join(', ') || 'it was not thawed yet'}).`,
      { hint: 'Use another backup.', field: '--receipt' },
    );
  }
}

/** A receipt proves nothing about a volume that does not carry it, unless the volume was verified before. */
async function refuseOutside(dataDir: string, given: Receipt): Promise<void> {
  const verified = join(dataDir, VOLUME_FOLDER, `restored-${given.id}.json`);
  if (await stat(verified).catch(() => undefined)) return;
  throw new QuiesceError(
    'RESTORE_INCOMPLETE',
    `${dataDir} has no ${VOLUME_FOLDER}/${RECEIPT_FILE}, so it was not cut between the freeze and the thaw of ${given.id}.`,
    { hint: 'Use another backup.' },
  );
}

/**
 * Refuses data without a receipt, unless this restore was judged on the volume before: then its receipt has
 * become `restored-ID.json`. A pod that was not restored may have an empty volume.
 */
async function requireJudged(
  dataDir: string,
  { restoreMark: mark, dryRun }: PrepareRequest,
): Promise<void> {
  if (mark === null || mark === '') return;
  const volume = new ReceiptVolume(dataDir);
  if (mark !== undefined) {
    if (await judgedBefore(volume, mark)) return;
    if (!dryRun) await noteDoubt(volume, dataDir, mark);
  }
  const who = mark === undefined ? '' : ` that the restore ${mark} made`;
  throw new QuiesceError(
    'RESTORE_NO_RECEIPT',
    `${dataDir} is a volume${who} without ${VOLUME_FOLDER}/${RECEIPT_FILE}: nothing proves that its data is whole.`,
  );
}

/**
 * Tells the sidecar of a later pod, which may have lost its label, that the data is not proven. Not on an
 * empty volume: initdb refuses a folder with anything in it.
 */
async function noteDoubt(volume: ReceiptVolume, dataDir: string, mark: string): Promise<void> {
  const isEmpty = (await readdir(dataDir)).every((name) => name === 'lost+found');
  if (!isEmpty)
    await keepOnVolume(volume, { view: withoutReceipt(mark, true, false), settled: null });
}

/**
 * Notes on the volume that it is a copy, until that copy is proven: a pod that is made again after a refusal
 * has lost its label, and the copy must not pass for the live volume of a pod that died while frozen.
 */
async function markAsCopy(dataDir: string, { id, frozenAt }: Receipt): Promise<void> {
  const folder = join(dataDir, VOLUME_FOLDER);
  try {
    const text = `${JSON.stringify({ id, frozenAt }, null, 2)}\n`;
    await writeDurably(join(folder, COPY_FILE), text, {
      mode: 0o644,
      ...(await ownerLike(folder)),
    });
  } catch {
    // The copy cannot be written to. What that means for it, the engine says.
  }
}

/** Puts the whole promise into the copy, for later runs and for the verification at start. */
async function replaceReceipt(dataDir: string, given: Receipt): Promise<void> {
  const folder = join(dataDir, VOLUME_FOLDER);
  const owner = await ownerLike(folder);
  const text = `${JSON.stringify(given, null, 2)}\n`;
  await writeDurably(join(folder, RECEIPT_FILE), text, { mode: 0o644, ...owner });
}

/** Refuses a receipt that is not of a hold in place: it promises nothing about the copy. */
function checkPromise(receipt: Receipt): void {
  const why =
    receipt.verdict === 'inconsistent'
      ? `its verdict is inconsistent (${receipt.reasons.join(', ') || 'no reason given'})`
      : receipt.frozenAt === null
        ? 'its hold was never in place'
        : undefined;
  if (why !== undefined) {
    throw new QuiesceError(
      'RESTORE_RECEIPT_INVALID',
      `The receipt of ${receipt.id} promises nothing: ${why}.`,
      { hint: 'Use another backup.' },
    );
  }
}

function invalid(path: string, why: string): QuiesceError {
  return new QuiesceError('RESTORE_RECEIPT_INVALID', `${path} cannot be used: ${why}.`);
}

const UNREADABLE = ['EACCES', 'EPERM', 'EROFS', 'EIO', 'ENOSPC', 'EDQUOT'];
/** Error codes for a file or folder that is missing, or that is of another type. */
const MISSING_OR_WRONG_TYPE = ['ENOENT', 'ENOTDIR', 'EISDIR', 'ELOOP', 'ENXIO', 'EFTYPE'];

function isMissingOrWrongType(error: unknown): boolean {
  return MISSING_OR_WRONG_TYPE.some((code) => isErrno(error, code));
}

/** Turns a system error about the copy's files into a `RESTORE_…` error; returns any other unchanged. */
export function asRestoreError(error: unknown): unknown {
  if (isMissingOrWrongType(error)) {
    const path = (error as NodeJS.ErrnoException).path ?? 'A file of the copy';
    return new QuiesceError(
      'RESTORE_INCOMPLETE',
      `${path} is missing or of the wrong type: ${(error as NodeJS.ErrnoException).code}.`,
      { cause: error },
    );
  }
  if (!UNREADABLE.some((code) => isErrno(error, code))) return error;
  const path = (error as NodeJS.ErrnoException).path;
  const where = path === undefined ? 'The restored data' : path;
  return new QuiesceError('RESTORE_UNWRITABLE', `${where}: ${describeErrno(error)}.`, {
    cause: error,
  });
}
