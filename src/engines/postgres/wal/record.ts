import { CRC_START, crcUpdate } from './crc32c.ts';
import { RECORD_HEADER } from './format.ts';

/** One record whose checksum matched. Valid only while the visitor runs. */
export interface WalRecord {
  /** LSN of its first byte. */
  readonly start: number;
  /** The LSN that PostgreSQL reports for it: the byte after it, aligned to 8. */
  readonly end: number;
  readonly xid: number;
  readonly rmgr: number;
  readonly info: number;
  /** The record from its first byte on, at most {@link HEAD} bytes. */
  readonly head: Buffer;
  /** Whether `head` is the whole record. */
  readonly whole: boolean;
}

/**
 * Enough for a marker, for the headers of all pages that a record names, and for the images of some
 * of them; a commit names five thousand dropped files in it.
 */
export const HEAD = 64 << 10;

/** A record inside the buffer it was read into. */
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

  get whole(): boolean {
    return this.#length <= HEAD;
  }

  /** Made on demand: few records are inspected. */
  get head(): Buffer {
    return this.#bytes.subarray(this.#at, this.#at + Math.min(this.#length, HEAD));
  }
}

/** Collects the head and the checksum of a record that arrives in parts. */
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
