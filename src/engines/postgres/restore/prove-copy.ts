import { SCAN_MS } from '../../../defaults.ts';
import type { PrepareOptions } from '../../restore-module.ts';
import type { ControlFile } from '../data-dir/control-file.ts';
import { printLsn } from '../wal/segments.ts';
import { type Inspection, inspectCopy } from './damage/inspect.ts';
import { readWal, type Walk } from './read-wal.ts';
import type { ReceiptClaims } from './receipt-claims.ts';

/** What WAL alone proves. */
export interface WalProof {
  readonly walFrom: string;
  /** The end of valid WAL in the copy. */
  readonly walEnd: string;
  readonly records: number;
  /** False on a standby, and where the data files already contain everything that is promised. */
  readonly markerFound: boolean;
}

export interface CopyProof extends WalProof, Inspection {}

/**
 * Proves from files alone that recovery of this copy reaches what the receipt promises: its WAL is
 * complete up to there, no server has run on it, no page is ahead of WAL, and nothing inside
 * contradicts the rest.
 *
 * @throws QuiesceError `RESTORE_DATA_PAST` or `RESTORE_INCOMPLETE`.
 */
export async function proveCopy(
  pgdata: string,
  claims: ReceiptClaims,
  control: ControlFile,
  options: PrepareOptions,
  signal: AbortSignal,
): Promise<CopyProof> {
  const walk = await readWal(pgdata, claims, control, options, signal);
  const { onProgress, scanMs = SCAN_MS } = options;
  const { window, written, result } = walk;
  const inspection = await inspectCopy(
    {
      pgdata,
      major: claims.major,
      control,
      window,
      written,
      walEnd: result.endLsn,
      walEnded: result.ended,
      limitMs: scanMs,
      onProgress: (done, total) =>
        onProgress?.({ step: 'checking pages', done, total, unit: 'pages' }),
    },
    signal,
  );
  return { ...summary(walk), ...inspection };
}

/**
 * The part of the proof that concerns WAL alone: complete from the start to the promised position.
 */
export async function proveWal(
  pgdata: string,
  claims: ReceiptClaims,
  control: ControlFile,
  signal: AbortSignal,
): Promise<WalProof> {
  return summary(await readWal(pgdata, claims, control, { dryRun: true }, signal));
}

function summary({ from, result, evidence }: Walk): WalProof {
  return {
    walFrom: printLsn(from),
    walEnd: printLsn(result.endLsn),
    records: result.records,
    markerFound: evidence.markerCommit !== null,
  };
}
