import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { openRegular } from '../../../lib/regular-file.ts';
import { crc32c } from '../wal/crc32c.ts';

/** `DBState` of pg_control.h, in that order and in the words of `pg_controldata`. */
const STATES = [
  'starting up',
  'shut down',
  'shut down in recovery',
  'shutting down',
  'in crash recovery',
  'in archive recovery',
  'in production',
] as const;
export type ClusterState = (typeof STATES)[number];

/**
 * The content of `global/pg_control`, with its checksum verified. LSNs are bytes since the
 * beginning of the WAL.
 */
export interface ControlFile {
  readonly systemIdentifier: string;
  /** `pg_control_version`: 1300 for PostgreSQL 13–16, 1700 for 17, 1800 for 18. */
  readonly version: number;
  readonly state: ClusterState;
  /** Start of the last checkpoint record (on a standby: the last restartpoint's). */
  readonly checkpointLsn: bigint;
  /** Where recovery begins without a label. */
  readonly redoLsn: bigint;
  /** `ThisTimeLineID` of that checkpoint. */
  readonly timeline: number;
  /** Recovery must reach this before the data is consistent; 0 on a primary. */
  readonly minRecoveryPoint: bigint;
  readonly minRecoveryPointTimeline: number;
  /** 0 unless recovery from a label is in progress. */
  readonly backupStartLsn: bigint;
  readonly backupEndLsn: bigint;
  readonly backupEndRequired: boolean;
  /** Bytes. */
  readonly blockSize: number;
  readonly walBlockSize: number;
  readonly walSegmentSize: number;
  readonly dataChecksums: boolean;
  /** Blocks in a full segment of a relation's file. */
  readonly relationSegmentBlocks: number;
  /** Of the last checkpoint: the first transaction number that was not assigned yet. */
  readonly nextXid: number;
  /** How often transaction numbers had gone round. */
  readonly xidEpoch: number;
  /** The oldest transaction whose status may be needed. */
  readonly oldestXid: number;
  readonly nextMulti: number;
  readonly nextMultiOffset: number;
  readonly oldestMulti: number;
}

/** `pg_control` is cut short, torn, damaged, or of a version whose layout is unknown. */
export class ControlFileError extends Error {
  override readonly name = 'ControlFileError';
}

/**
 * Offset of the trailing checksum, by `pg_control_version`. All other fields read here have the
 * same offset in every version: 18 added a flag after `data_checksum_version` only (struct
 * ControlFileData in pg_control.h; the tests compare with pg_control_*() on 13–18).
 */
const CRC_OFFSET: Readonly<Record<number, number>> = { 1300: 288, 1700: 288, 1800: 292 };
const LARGEST = 296;
const TORN_RETRIES = 5;

/**
 * Reads `global/pg_control`, also of a live server: repeats a read that an update tore.
 *
 * @throws ControlFileError, or the system's error where the file cannot be opened.
 */
export async function readControlFile(pgdata: string): Promise<ControlFile> {
  for (let attempt = 1; ; attempt += 1) {
    const bytes = await readHead(pgdata, LARGEST);
    try {
      return parseControlFile(bytes);
    } catch (error) {
      if (attempt >= TORN_RETRIES) throw error;
      await sleep(20);
    }
  }
}

/** Decodes the bytes of a `pg_control`; throws {@link ControlFileError}. */
export function parseControlFile(bytes: Buffer): ControlFile {
  if (bytes.length < LARGEST) throw new ControlFileError('pg_control is cut short');
  const version = bytes.readUInt32LE(8);
  const crcOffset = CRC_OFFSET[version];
  if (crcOffset === undefined) {
    throw new ControlFileError(
      `pg_control has version ${version}; quiesce knows ${Object.keys(CRC_OFFSET).join(', ')} (PostgreSQL 13–18)`,
    );
  }
  if (crc32c(bytes, 0, crcOffset) !== bytes.readUInt32LE(crcOffset)) {
    throw new ControlFileError('pg_control is damaged: its checksum does not match');
  }
  const state = STATES[bytes.readUInt32LE(16)];
  if (state === undefined)
    throw new ControlFileError('pg_control contains an unknown cluster state');
  return {
    systemIdentifier: bytes.readBigUInt64LE(0).toString(),
    version,
    state,
    checkpointLsn: bytes.readBigUInt64LE(32),
    redoLsn: bytes.readBigUInt64LE(40),
    timeline: bytes.readUInt32LE(48),
    minRecoveryPoint: bytes.readBigUInt64LE(136),
    minRecoveryPointTimeline: bytes.readUInt32LE(144),
    backupStartLsn: bytes.readBigUInt64LE(152),
    backupEndLsn: bytes.readBigUInt64LE(160),
    backupEndRequired: bytes.readUInt8(168) !== 0,
    blockSize: bytes.readUInt32LE(216),
    walBlockSize: bytes.readUInt32LE(224),
    walSegmentSize: bytes.readUInt32LE(228),
    dataChecksums: bytes.readUInt32LE(252) !== 0,
    relationSegmentBlocks: bytes.readUInt32LE(220),
    nextXid: bytes.readUInt32LE(64),
    xidEpoch: bytes.readUInt32LE(68),
    oldestXid: bytes.readUInt32LE(84),
    nextMulti: bytes.readUInt32LE(76),
    nextMultiOffset: bytes.readUInt32LE(80),
    oldestMulti: bytes.readUInt32LE(92),
  };
}

/**
 * The system identifier alone, from the first 8 bytes. They never change in the life of a cluster,
 * so a comparison needs no checksum.
 */
export async function readSystemIdentifier(pgdata: string): Promise<string> {
  return (await readHead(pgdata, 8)).readBigUInt64LE(0).toString();
}

async function readHead(pgdata: string, length: number): Promise<Buffer> {
  const file = await openRegular(join(pgdata, 'global', 'pg_control'));
  try {
    const { bytesRead, buffer } = await file.read(Buffer.alloc(length), 0, length, 0);
    if (bytesRead < length) throw new ControlFileError('pg_control is cut short');
    return buffer;
  } finally {
    await file.close();
  }
}
