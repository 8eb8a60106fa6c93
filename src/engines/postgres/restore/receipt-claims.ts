import type { Receipt } from '../../../receipt/receipt.ts';
import { invalid, promisedIn } from '../../shared/promised.ts';
import { parseLsn } from '../lsn.ts';
import {
  MODES,
  type PostgresPosition,
  type PostgresRestore,
  positionSchema,
  restoreSchema,
} from '../receipt.ts';
import { incomplete, receiptInvalid } from './errors.ts';

/** What a PostgreSQL receipt promises about a copy, checked for contradictions. */
export interface ReceiptClaims {
  readonly id: string;
  readonly mode: (typeof MODES)[number];
  readonly isStandby: boolean;
  readonly systemIdentifier: string;
  /** Major version of the server. */
  readonly major: number;
  readonly frozenAt: Date;
  /** The end of the lease as the receipt on the volume has it, without renewals. */
  readonly expiresAt: Date | null;
  readonly position: PostgresPosition;
  readonly restore: PostgresRestore;
}

/** The copy methods for which each mode keeps its promise. */
const COPIES_OF: Readonly<Record<(typeof MODES)[number], readonly string[]>> = {
  sealed: ['snapshot'],
  'crash-consistent': ['snapshot'],
  staged: ['files'],
  open: ['volumes'],
  // The files of a standby whose replay is paused may also be copied one by one.
  'replica-paused': ['snapshot', 'files'],
};

/** @throws QuiesceError `RESTORE_RECEIPT_INVALID`. */
export function readClaims(receipt: Receipt): ReceiptClaims {
  const schemas = { position: positionSchema, restore: restoreSchema };
  const { position, restore } = promisedIn(receipt, 'postgres', schemas, invalid);
  const mode = MODES.find((known) => known === receipt.mode);
  if (mode === undefined) throw receiptInvalid(`The receipt has an unknown mode: ${receipt.mode}.`);
  if (!COPIES_OF[mode].includes(receipt.copy)) {
    throw receiptInvalid(
      `The receipt is for a copy made as "${receipt.copy}"; the mode ${mode} is valid only for a copy made as "${COPIES_OF[mode].join('" or "')}".`,
    );
  }
  const { role, identity, version } = receipt.engine;
  if (role !== 'primary' && role !== 'standby') {
    throw receiptInvalid(`The receipt has an unknown role: ${role}.`);
  }
  const { systemIdentifier } = identity;
  if (systemIdentifier === undefined || receipt.frozenAt === null) {
    throw receiptInvalid(
      'The receipt does not say which system it belongs to, or when the system was frozen.',
    );
  }
  const claims: ReceiptClaims = {
    id: receipt.id,
    mode,
    isStandby: role === 'standby',
    systemIdentifier,
    major: Number.parseInt(version ?? '', 10),
    frozenAt: new Date(receipt.frozenAt),
    expiresAt: receipt.expiresAt === null ? null : new Date(receipt.expiresAt),
    position,
    restore,
  };
  checkWhole(claims);
  return claims;
}

/**
 * Whether recovery of the copy starts from the label, or as after a crash.
 *
 * A primary's sealed copy is cut after the end of its backup, and so must recover as after a crash.
 * With the label, PostgreSQL takes it for consistent at that end. From there on it stops at any
 * record about a page that is not in the copy, although a later record removes that page: a table that
 * was dropped, emptied or shortened before the cut is enough (xlogutils.c, log_invalid_page). It would
 * also accept a recovery target before the cut, where pages are newer than the rest. Recovery after a
 * crash takes a copy for consistent at the end of WAL (xlog.c, StartupXLOG, names atomic snapshots).
 * A standby's copy knows the right position itself: `minRecoveryPoint` of its pg_control.
 */
export function needsLabel({ mode, isStandby }: ReceiptClaims): boolean {
  return mode !== 'crash-consistent' && (mode !== 'sealed' || isStandby);
}

function checkWhole({ id, mode, isStandby, position, restore }: ReceiptClaims): void {
  const { segmentSize } = restore.wal;
  if (segmentSize < 1 << 20 || segmentSize > 1 << 30 || (segmentSize & (segmentSize - 1)) !== 0) {
    throw receiptInvalid(`The receipt has an impossible WAL segment size: ${segmentSize}.`);
  }
  if (mode === 'open' && restore.backupLabel === null) {
    throw incomplete(
      `The receipt of ${id} on the volume was written while the backup was open: its label did not exist yet, and without the label a server would start on this copy and its data would be corrupt.`,
      `Give the final receipt with --receipt FILE: quiesce thaw printed it, and quiesce receipts keeps it.`,
    );
  }
  if (!isStandby && position.markerLsn === null) {
    throw receiptInvalid('The receipt is for a primary and has no marker.');
  }
  if (mode === 'replica-paused' && !isStandby) {
    throw receiptInvalid('The receipt is for a paused replica, but its role is primary.');
  }
  checkOrder(position, isStandby);
  if (mode === 'crash-consistent') return;
  if (restore.backupLabel === null || position.stopLsn === null) {
    throw receiptInvalid(
      `The receipt is for a ${mode} freeze and lacks its label or its end position.`,
    );
  }
  if (mode === 'staged' && (restore.staged === undefined || restore.dataDirectory === null)) {
    throw receiptInvalid('The receipt does not say where its staged backup is.');
  }
  const label = readLabel(restore.backupLabel);
  const same =
    label !== undefined &&
    label.start === parseLsn(position.startLsn) &&
    label.checkpoint === parseLsn(position.checkpointLsn) &&
    label.timeline === position.timeline &&
    label.fromStandby === isStandby &&
    WHOLE_LABEL.test(restore.backupLabel);
  if (!same) throw receiptInvalid('The label in the receipt contradicts its position or role.');
}

/**
 * The order that the positions of any freeze have. A receipt with an earlier end would promise less
 * than the freeze did.
 */
function checkOrder(position: PostgresPosition, isStandby: boolean): void {
  const at = (lsn: string | null): bigint => parseLsn(lsn ?? position.lsn);
  const [start, end] = [at(position.startLsn), at(position.lsn)];
  const inside = [position.checkpointLsn, position.markerLsn, position.stopLsn].map(at);
  const late = isStandby ? [] : inside;
  if (end < start || inside.some((lsn) => lsn < start) || late.some((lsn) => lsn > end)) {
    throw receiptInvalid('The positions in the receipt contradict each other.');
  }
}

/**
 * The label that a freeze writes, line by line. Another BACKUP METHOD would make the server start
 * without looking for the end of the backup, whether corrupt or not.
 */
const WHOLE_LABEL =
  /^START WAL LOCATION: .+\nCHECKPOINT LOCATION: .+\nBACKUP METHOD: streamed\nBACKUP FROM: .+\nSTART TIME: .+\nLABEL: .*\nSTART TIMELINE: \d+\n$/;

export interface Label {
  readonly start: bigint;
  readonly checkpoint: bigint;
  readonly timeline: number;
  readonly fromStandby: boolean;
}

/** The lines of a `backup_label` that recovery uses; `undefined` where the text is not a label. */
export function readLabel(text: string): Label | undefined {
  const start = /^START WAL LOCATION: ([0-9A-F]{1,8}\/[0-9A-F]{1,8}) \(file [0-9A-F]{24}\)$/m.exec(
    text,
  )?.[1];
  const checkpoint = /^CHECKPOINT LOCATION: ([0-9A-F]{1,8}\/[0-9A-F]{1,8})$/m.exec(text)?.[1];
  const from = /^BACKUP FROM: (primary|master|standby)$/m.exec(text)?.[1];
  const timeline = /^START TIMELINE: (\d+)$/m.exec(text)?.[1];
  if (!start || !checkpoint || !from || !timeline || !text.endsWith('\n')) return undefined;
  return {
    start: parseLsn(start),
    checkpoint: parseLsn(checkpoint),
    timeline: Number(timeline),
    fromStandby: from === 'standby',
  };
}
