import { CRC_START, crcUpdate } from './crc32c.ts';
import { RECORD_HEADER } from './format.ts';

/** One record whose checksum matched. Valid only while the visitor runs. */
export interface WalRecord {
  /** LSN of its first byte. */
  readonly start: number;
  /** The LSN PostgreSQL gives out for it: the byte behind it, aligned to 8. */
  readonly end: number;
  readonly xid: number;
  readonly rmgr: number;
  readonly info: number;
  /** The record from its first byte on, at most {@link HEAD} bytes. */
  readonly head: Buffer;
}

/** Enough for any record that is looked into: a marker with the longest id is below 250 bytes. */
export const HEAD = 512;

/** A record in the bytes it was read into. */
export class ReadRecord implements WalRecord {
  readonly start: number;
  readonly end: number;
  readonly xid: number;
  readonly rmgr: number;
  readonly info: number;
  readonly #bytes: Buffer;
  readonly #at: number;
  readonly #length: number;

  constructor(
    start: number,
    end: number,
    xid: number,
    rmgr: number,
    info: number,
    bytes: Buffer,
    at: number,
    length: number,
  ) {
    this.start = start;
    this.end = end;
    this.xid = xid;
    this.rmgr = rmgr;
    this.info = info;
    this.#bytes = bytes;
    this.#at = at;
    this.#length = length;
  }

  /** Made when asked for: few records are looked into. */
  get head(): Buffer {
    return this.#bytes.subarray(this.#at, this.#at + Math.min(this.#length, HEAD));
  }
}

/** Gathers the head and the checksum of a record that comes in parts. */
export class RecordAssembler {
  readonly #scratch: Buffer;
  #length = 0;
  crc = CRC_START;

  constructor(scratch: Buffer) {
    this.#scratch = scratch;
  }

  add(bytes: Buffer, at: number, length: number): void {
    if (this.#length < HEAD) bytes.copy(this.#scratch, this.#length, at, at + length);
    const header = Math.min(Math.max(RECORD_HEADER - this.#length, 0), length);
    this.crc = crcUpdate(this.crc, bytes, at + header, length - header);
    this.#length += length;
  }
}
