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

/** What a PostgreSQL receipt promises of a copy, checked for contradictions. */
export interface ReceiptClaims {
  readonly id: string;
  readonly mode: (typeof MODES)[number];
  readonly isStandby: boolean;
  readonly systemIdentifier: string;
  /** Major version of the server. */
  readonly major: number;
  readonly frozenAt: Date;
  /** The end of the lease as the receipt on the volume has it, renewals left out. */
  readonly expiresAt: Date | null;
  readonly position: PostgresPosition;
  readonly restore: PostgresRestore;
}

/** For which way to copy each mode keeps its promise. */
const COPIES_OF: Readonly<Record<(typeof MODES)[number], readonly string[]>> = {
  sealed: ['snapshot'],
  'crash-consistent': ['snapshot'],
  staged: ['files'],
  open: ['volumes'],
  // Files of a standby that stands still may be copied one by one, too.
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
      `The receipt is for a copy made as "${receipt.copy}"; the mode ${mode} holds for a copy made as "${COPIES_OF[mode].join('" or "')}" only.`,
    );
  }
  const { role, identity, version } = receipt.engine;
  if (role !== 'primary' && role !== 'standby') {
    throw receiptInvalid(`The receipt has an unknown role: ${role}.`);
  }
  const { systemIdentifier } = identity;
  if (systemIdentifier === undefined || receipt.frozenAt === null) {
    throw receiptInvalid('The receipt does not say of which system it is, or when it was frozen.');
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

function checkWhole({ id, mode, isStandby, position, restore }: ReceiptClaims): void {
  const { segmentSize } = restore.wal;
  if (segmentSize < 1 << 20 || segmentSize > 1 << 30 || (segmentSize & (segmentSize - 1)) !== 0) {
    throw receiptInvalid(`The receipt names an impossible WAL segment size: ${segmentSize}.`);
  }
  if (mode === 'open' && restore.backupLabel === null) {
    throw incomplete(
      `The receipt of ${id} on the volume was written while the backup was open: its label did not exist yet, and without the label this copy would start and be corrupt.`,
      `Give the final receipt, the one that quiesce thaw printed (quiesce receipts keeps it, too): --receipt FILE`,
    );
  }
  if (!isStandby && position.markerLsn === null) {
    throw receiptInvalid('The receipt is of a primary and names no marker.');
  }
  if (mode === 'replica-paused' && !isStandby) {
    throw receiptInvalid('The receipt is of a paused replica and says that it was a primary.');
  }
  checkOrder(position, isStandby);
  if (mode === 'crash-consistent') return;
  if (restore.backupLabel === null || position.stopLsn === null) {
    throw receiptInvalid(`The receipt is of a ${mode} freeze and lacks its label or its end.`);
  }
  if (mode === 'staged' && (restore.staged === undefined || restore.dataDirectory === null)) {
    throw receiptInvalid('The receipt does not say where its staged backup lies.');
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

/** As of any freeze: a receipt that names an earlier end would promise less than the freeze did. */
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
 * What a freeze writes, line by line. Another BACKUP METHOD would make the server start without
 * looking for the end of the backup, corrupt or not.
 */
const WHOLE_LABEL =
  /^START WAL LOCATION: .+\nCHECKPOINT LOCATION: .+\nBACKUP METHOD: streamed\nBACKUP FROM: .+\nSTART TIME: .+\nLABEL: .*\nSTART TIMELINE: \d+\n$/;

export interface Label {
  readonly start: bigint;
  readonly checkpoint: bigint;
  readonly timeline: number;
  readonly fromStandby: boolean;
}

/** The lines of a `backup_label` that recovery goes by; `undefined` where it is none. */
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
