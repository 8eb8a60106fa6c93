import type { PrepareOptions } from '../../restore-module.ts';
import type { ControlFile } from '../data-dir/control-file.ts';
import { formatLsn, parseLsn, segmentFileName } from '../lsn.ts';
import { WalEvidence } from '../wal/evidence.ts';
import { locateWal } from '../wal/prove-marker.ts';
import { printLsn, type WalLocation } from '../wal/segments.ts';
import { firstRecordIn, type WalkResult, walkWal } from '../wal/walk.ts';
import { RecoveryWindow } from '../wal/window.ts';
import { Written } from '../wal/written.ts';
import { needsLabel, type ReceiptClaims } from './receipt-claims.ts';
import { dataPast, incomplete } from './errors.ts';

/** The WAL of a copy, read from the start of its backup to its end. */
export interface Walk {
  readonly from: number;
  readonly result: WalkResult;
  readonly evidence: WalEvidence;
  readonly window: RecoveryWindow;
  readonly written: Written;
}

/**
 * Reads the WAL of a copy.
 *
 * @throws QuiesceError `RESTORE_DATA_PAST` or `RESTORE_INCOMPLETE` unless it is complete from the start
 * to the promised position.
 */
export async function readWal(
  pgdata: string,
  claims: ReceiptClaims,
  control: ControlFile,
  options: PrepareOptions,
  signal: AbortSignal,
): Promise<Walk> {
  checkControl(claims, control);
  const location = await locate(pgdata, claims);
  const walk = await walkFromStart(location, claims, control, options, signal);
  checkWalk(claims, control, walk);
  return walk;
}

function checkControl({ position, restore }: ReceiptClaims, control: ControlFile): void {
  if (control.walSegmentSize !== restore.wal.segmentSize) {
    throw incomplete(
      `pg_control has WAL segments of ${control.walSegmentSize} bytes, the receipt ${restore.wal.segmentSize}.`,
    );
  }
  if (control.checkpointLsn < parseLsn(position.checkpointLsn)) {
    throw incomplete(
      `pg_control is older than the freeze: its checkpoint is at ${formatLsn(control.checkpointLsn)}, the freeze's at ${position.checkpointLsn}. The files were copied at different moments.`,
    );
  }
}

async function locate(pgdata: string, claims: ReceiptClaims): Promise<WalLocation> {
  const { systemIdentifier, position, restore } = claims;
  const { segmentSize } = restore.wal;
  try {
    const wanted = { timeline: position.timeline, systemIdentifier, segmentSize };
    // A running primary never changes its timeline.
    const fixed = claims.isStandby ? {} : { serverTimeline: position.timeline };
    return await locateWal(pgdata, { ...wanted, ...fixed });
  } catch (error) {
    throw incomplete(
      `The history of timeline ${position.timeline} cannot be read: ${String(error)}.`,
    );
  }
}

/**
 * With a label, recovery starts at the freeze's checkpoint. Without one it starts at pg_control's.
 * A checkpoint during the hold may have removed the WAL before that one. The walk then begins as
 * early as the copy allows.
 */
async function walkFromStart(
  location: WalLocation,
  claims: ReceiptClaims,
  control: ControlFile,
  options: PrepareOptions,
  signal: AbortSignal,
): Promise<Walk> {
  const start = Number(parseLsn(claims.position.startLsn));
  const walk = (from: number): Promise<Walk> =>
    walkFrom(location, claims, control, from, options, signal);
  const first = await walk(start);
  const redo = Number(control.redoLsn);
  if (claims.mode !== 'crash-consistent' || first.result.records > 0 || redo <= start) return first;
  const { markerLsn } = claims.position;
  const marker = markerLsn === null ? Infinity : Number(parseLsn(markerLsn));
  if (redo < marker) return await walk(redo);
  const early = await firstRecordIn(location, marker - 1, signal);
  const second = early !== undefined && early < marker ? await walk(early) : first;
  return second.result.records > 0 ? second : await walk(redo);
}

async function walkFrom(
  location: WalLocation,
  claims: ReceiptClaims,
  control: ControlFile,
  from: number,
  { onProgress }: PrepareOptions,
  signal: AbortSignal,
): Promise<Walk> {
  const { id, position, isStandby } = claims;
  const start = Number(parseLsn(position.startLsn));
  const evidence = new WalEvidence({
    marker: position.markerLsn === null ? null : { id, lsn: Number(parseLsn(position.markerLsn)) },
    backupStart: start,
    checkpoint: Number(control.checkpointLsn),
    // A standby's WAL is its primary's, and the primary may restart at any time.
    restartsAfter: isStandby ? Infinity : start,
  });
  const { major } = claims;
  // Recovery changes nothing that only earlier WAL names: what is wrong there stays wrong.
  const recovery = needsLabel(claims) ? start : Math.max(start, Number(control.redoLsn));
  const window = new RecoveryWindow(recovery, major);
  // A standby writes its pages at other moments than the WAL of its primary says.
  const redo = isStandby ? from : recovery;
  const written = new Written({ from, redo, major, blockSize: control.blockSize });
  const visit = (record: Parameters<WalEvidence['see']>[0]): boolean => {
    evidence.see(record);
    written.see(record);
    if (record.start >= recovery) window.see(record);
    return false;
  };
  const report = (position: number): void =>
    onProgress?.({ step: 'reading WAL', done: (position - from) >> 20, total: 0, unit: 'MB' });
  const result = await walkWal(location, { start: from, visit, onProgress: report }, signal);
  return { from, result, evidence, window, written };
}

function checkWalk(claims: ReceiptClaims, control: ControlFile, walk: Walk): void {
  const { evidence, result } = walk;
  if (evidence.restart !== null) {
    throw dataPast(
      `A server was started on this data after the freeze: WAL shows it at ${printLsn(evidence.restart)}.`,
    );
  }
  for (const [lsn, what] of requiredPositions(claims, control)) {
    if (result.endLsn < Number(lsn)) {
      throw incomplete(
        `WAL ends at ${printLsn(result.endLsn)}, before ${what} at ${formatLsn(lsn)}: ${result.ended}.`,
      );
    }
  }
  const where = `WAL was read from ${printLsn(walk.from)} to ${printLsn(result.endLsn)}`;
  if (control.checkpointLsn >= BigInt(walk.from) && !evidence.checkpointSeen) {
    const at = formatLsn(control.checkpointLsn);
    throw incomplete(`The checkpoint in pg_control, at ${at}, is not in WAL: ${result.ended}.`);
  }
  if (claims.isStandby) return;
  if (claims.mode !== 'crash-consistent' && evidence.backupEnd === null) {
    const at = claims.position.stopLsn;
    throw incomplete(`${where}, and the end of the backup at ${at} is not in it.`);
  }
  checkMarker(claims, control, walk, where);
}

function checkMarker(
  { position, restore }: ReceiptClaims,
  control: ControlFile,
  { evidence, result, from }: Walk,
  where: string,
): void {
  if (evidence.markerCommit !== null || position.markerLsn === null) return;
  const marker = parseLsn(position.markerLsn);
  // A checkpoint of the same run of the server, begun after the marker, has put everything before
  // it into the data files. That WAL is no longer needed.
  if (BigInt(from) > marker && control.redoLsn > marker) return;
  const segment = segmentFileName(
    position.timeline,
    (marker - 1n) / BigInt(restore.wal.segmentSize),
    restore.wal.segmentSize,
  );
  const what = evidence.markerSeen ? 'its commit' : 'it';
  throw incomplete(
    `The marker of the freeze belongs in ${segment} and ends at ${position.markerLsn}; ${where}, and ${what} is not there: ${result.ended}.`,
  );
}

function requiredPositions(
  { position, isStandby }: ReceiptClaims,
  control: ControlFile,
): [bigint, string][] {
  const required: [bigint, string][] = [];
  if (position.stopLsn !== null)
    required.push([parseLsn(position.stopLsn), 'the end of the backup']);
  required.push([parseLsn(position.lsn), isStandby ? 'the promised position' : 'the marker']);
  required.push([control.checkpointLsn + 1n, "pg_control's checkpoint"]);
  required.push([control.minRecoveryPoint, "pg_control's minimum recovery point"]);
  return required;
}
