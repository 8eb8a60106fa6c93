/**
 * The WAL's layout on disk, PostgreSQL 13–18, little-endian (xlog_internal.h, xlogrecord.h). LSNs are
 * plain numbers here: exact below {@link LSN_LIMIT}, 8 PiB of WAL.
 */

/** `XLOG_PAGE_MAGIC` by major version (measured on 13–18). */
export const PAGE_MAGIC: Readonly<Record<number, number>> = {
  13: 0xd106,
  14: 0xd10d,
  15: 0xd110,
  16: 0xd113,
  17: 0xd116,
  18: 0xd118,
};

/** Positions beyond this are not exact as numbers. No cluster has written that much. */
export const LSN_LIMIT = 2 ** 53 - 2 ** 40;

const SHORT_HEADER = 24;
const LONG_HEADER = 40;

const FIRST_IS_CONTRECORD = 0x0001;
const HAS_LONG_HEADER = 0x0002;
const FIRST_IS_OVERWRITE_CONTRECORD = 0x0008;

export interface PageHeader {
  readonly magic: number;
  readonly timeline: number;
  /** The LSN of the page's first byte. In a recycled segment it is an older one. */
  readonly address: number;
  /** Bytes still to come of a record begun on an earlier page, including those on this page. */
  readonly remaining: number;
  readonly continues: boolean;
  /** The record begun on an earlier page was never finished, because of a crash. */
  readonly overwrites: boolean;
  /** Bytes. */
  readonly size: number;
  /** Only in the first page of a segment. */
  readonly long: LongHeader | null;
}

export interface LongHeader {
  readonly systemIdentifier: string;
  readonly segmentSize: number;
  readonly blockSize: number;
}

export function readPageHeader(bytes: Buffer, at: number): PageHeader {
  const info = bytes.readUInt16LE(at + 2);
  const isLong = (info & HAS_LONG_HEADER) !== 0;
  return {
    magic: bytes.readUInt16LE(at),
    timeline: bytes.readUInt32LE(at + 4),
    address: readLsn(bytes, at + 8),
    remaining: bytes.readUInt32LE(at + 16),
    continues: (info & FIRST_IS_CONTRECORD) !== 0,
    overwrites: (info & FIRST_IS_OVERWRITE_CONTRECORD) !== 0,
    size: isLong ? LONG_HEADER : SHORT_HEADER,
    long: isLong
      ? {
          systemIdentifier: bytes.readBigUInt64LE(at + 24).toString(),
          segmentSize: bytes.readUInt32LE(at + 32),
          blockSize: bytes.readUInt32LE(at + 36),
        }
      : null,
  };
}

/** Exact below {@link LSN_LIMIT}; a larger value is rounded and equals no valid position. */
export function readLsn(bytes: Buffer, at: number): number {
  return bytes.readUInt32LE(at + 4) * 0x1_0000_0000 + bytes.readUInt32LE(at);
}

/** Records begin at multiples of 8 (MAXALIGN). */
export function align8(position: number): number {
  return Math.ceil(position / 8) * 8;
}

/** Bytes of `XLogRecord`. */
export const RECORD_HEADER = 24;
/** Offset of its checksum, which covers the data and then the header up to here. */
export const RECORD_CRC = 20;

export const RM_XLOG = 0;
export const RM_XACT = 1;
export const RM_SMGR = 2;
export const RM_CLOG = 3;
export const RM_DBASE = 4;
export const RM_MULTIXACT = 6;
export const RM_RELMAP = 7;
export const RM_HEAP2 = 9;
export const RM_HEAP = 10;
export const RM_BTREE = 11;
export const RM_HASH = 12;
export const RM_GIN = 13;
export const RM_GIST = 14;
export const RM_SEQ = 15;
export const RM_SPGIST = 16;
export const RM_BRIN = 17;
export const RM_GENERIC = 20;
export const RM_LOGICALMSG = 21;

/** Kinds of RM_XLOG records: `info & 0xf0`. */
export const XLOG_CHECKPOINT_SHUTDOWN = 0x00;
export const XLOG_CHECKPOINT_ONLINE = 0x10;
export const XLOG_SWITCH = 0x40;
export const XLOG_BACKUP_END = 0x50;
export const XLOG_END_OF_RECOVERY = 0x90;
export const XLOG_FPI_FOR_HINT = 0xa0;
export const XLOG_FPI = 0xb0;

/** Kinds of RM_HEAP2 and RM_HEAP records: `info & 0x70`. */
export const HEAP2_VISIBLE = 0x40;
export const HEAP_INPLACE = 0x70;

/** Kinds of RM_XACT records: `info & 0x70`. */
export const XACT_COMMIT = 0x00;
export const XACT_PREPARE = 0x10;
export const XACT_ABORT = 0x20;
export const XACT_COMMIT_PREPARED = 0x30;
export const XACT_ABORT_PREPARED = 0x40;

/** A kind of RM_SMGR records: `info & 0xf0`. */
export const SMGR_CREATE = 0x10;
export const SMGR_TRUNCATE = 0x20;

/** A kind of RM_MULTIXACT records: `info & 0x70`. */
export const MULTIXACT_CREATE = 0x20;

const BLOCK_ID_DATA_SHORT = 255;
const BLOCK_ID_DATA_LONG = 254;
const BLOCK_ID_ORIGIN = 253;
const BLOCK_ID_TOPLEVEL_XID = 252;

/**
 * The main data of a record that refers to no data page; `undefined` where the record does, or
 * where its data is not completely in `head`.
 *
 * @param head the record from its first byte on.
 */
export function mainData(head: Buffer): Buffer | undefined {
  let at = RECORD_HEADER;
  for (;;) {
    const id = head[at];
    if (id === BLOCK_ID_ORIGIN) at += 3;
    else if (id === BLOCK_ID_TOPLEVEL_XID) at += 5;
    else if (id === BLOCK_ID_DATA_SHORT && at + 2 <= head.length) {
      return slice(head, at + 2, head.readUInt8(at + 1));
    } else if (id === BLOCK_ID_DATA_LONG && at + 5 <= head.length) {
      return slice(head, at + 5, head.readUInt32LE(at + 1));
    } else return undefined;
  }
}

function slice(bytes: Buffer, at: number, length: number): Buffer | undefined {
  return at + length <= bytes.length ? bytes.subarray(at, at + length) : undefined;
}

export interface LogicalMessage {
  readonly transactional: boolean;
  readonly prefix: string;
  readonly content: string;
}

/** Decodes `xl_logical_message`; `undefined` where its sizes do not add up. */
export function readLogicalMessage(data: Buffer): LogicalMessage | undefined {
  const header = 24;
  if (data.length < header) return undefined;
  // The size of the prefix includes its closing zero byte.
  const prefixEnd = header + Number(data.readBigUInt64LE(8));
  const end = prefixEnd + Number(data.readBigUInt64LE(16));
  if (prefixEnd <= header || end !== data.length) return undefined;
  return {
    transactional: data.readUInt8(4) !== 0,
    prefix: data.toString('utf8', header, prefixEnd - 1),
    content: data.toString('utf8', prefixEnd, end),
  };
}
