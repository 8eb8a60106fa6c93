import { CRC_START, crcFinish, crcUpdate } from '../../../lib/crc32c.ts';
import { checkPage } from './check-page.ts';
import {
  align8,
  LSN_LIMIT,
  type PageHeader,
  readLsn,
  readPageHeader,
  RECORD_CRC,
  RECORD_HEADER,
  RM_XLOG,
  XLOG_SWITCH,
} from './format.ts';
import { HEAD, RecordAssembler, ReadRecord, type WalRecord } from './record.ts';
import { EndOfWal, printLsn, SegmentReader, type WalLocation } from './segments.ts';

export interface WalkResult {
  /** End of the last valid record; the start position if there was none. */
  readonly endLsn: number;
  readonly records: number;
  /** Why the walk ended, with segment file and LSN. */
  readonly ended: string;
}

interface WalkOptions {
  /** LSN of a record's first byte. */
  readonly start: number;
  /** Called for each record in order; `true` ends the walk. */
  readonly visit: (record: WalRecord) => boolean;
  /** Called now and then with the position reached. */
  readonly onProgress?: (position: number) => void;
}

/**
 * Reads records from a position to the end of valid WAL, as recovery would: page addresses,
 * timelines, links between records and every checksum must be right. Uses a megabyte of memory,
 * whatever the size of WAL and records.
 *
 * Rejects only with the system's errors and the signal's reason. Anything wrong with the WAL counts
 * as its end.
 */
export async function walkWal(
  location: WalLocation,
  options: WalkOptions,
  signal: AbortSignal,
): Promise<WalkResult> {
  const walker = new Walker(location, signal);
  try {
    return await walker.walk(options);
  } finally {
    await walker.close();
  }
}

/**
 * The first record that begins in the segment of a position; `undefined` where the segment's file
 * is missing, belongs to other WAL, or contains only the middle of a record.
 */
export async function firstRecordIn(
  location: WalLocation,
  position: number,
  signal: AbortSignal,
): Promise<number | undefined> {
  const walker = new Walker(location, signal);
  try {
    return await walker.firstRecord(position - (position % location.segmentSize));
  } catch (error) {
    if (error instanceof EndOfWal) return undefined;
    throw error;
  } finally {
    await walker.close();
  }
}

class Walker {
  readonly #location: WalLocation;
  readonly #signal: AbortSignal;
  readonly #reader: SegmentReader;
  readonly #scratch = Buffer.alloc(HEAD);
  /** The page entered last. Its header was checked. */
  #pageStart = -1;
  #pageEnd = -1;
  #page: PageHeader | undefined;
  #timeline = 0;
  #position = 0;
  /** Start of the record before `#position`; -1 where it is unknown. */
  #previous = -1;
  #progress: ((position: number) => void) | undefined;

  constructor(location: WalLocation, signal: AbortSignal) {
    this.#location = location;
    this.#signal = signal;
    this.#reader = new SegmentReader(location);
  }

  async walk({ start, visit, onProgress }: WalkOptions): Promise<WalkResult> {
    this.#position = start;
    this.#progress = onProgress;
    let records = 0;
    let ended = '';
    try {
      for (;;) {
        // Almost every record is on the current page. Those take no turn of the event loop.
        const record = this.#onThisPage() ?? (await this.#next());
        records += 1;
        this.#previous = record.start;
        this.#position = record.end;
        if (visit(record)) {
          ended = `the walk was ended at ${printLsn(record.end)}`;
          break;
        }
      }
    } catch (error) {
      if (!(error instanceof EndOfWal)) throw error;
      const at = printLsn(this.#position);
      ended = `${this.#reader.fileNameAt(this.#position)} at ${at}: ${error.message}`;
    }
    return { endLsn: this.#position, records, ended };
  }

  async firstRecord(segmentStart: number): Promise<number | undefined> {
    const { blockSize, segmentSize } = this.#location;
    for (let at = segmentStart; at < segmentStart + segmentSize; at += blockSize) {
      const page = await this.#enter(at);
      const space = blockSize - page.size;
      if (!page.continues) return at + page.size;
      if (page.remaining < space) return at + page.size + align8(page.remaining);
    }
    return undefined;
  }

  close(): Promise<void> {
    return this.#reader.close();
  }

  async #next(): Promise<WalRecord> {
    const { blockSize } = this.#location;
    if (this.#position > LSN_LIMIT) throw new EndOfWal('the position is beyond 8 PiB of WAL');
    const inPage = this.#position % blockSize;
    const pageStart = this.#position - inPage;
    if (pageStart !== this.#pageStart) await this.#enter(pageStart);
    const header = this.#page?.size ?? 0;
    if (inPage === 0) {
      if (this.#page?.continues) throw new EndOfWal('a record continues here that never began');
      this.#position += header;
    } else if (inPage < header || inPage % 8 !== 0) throw new EndOfWal('no record can begin here');
    return this.#onThisPage() ?? (await this.#across());
  }

  /** The record at the position, if it is on the current page and not at its beginning. */
  #onThisPage(): WalRecord | undefined {
    const room = this.#pageEnd - this.#position;
    if (room <= 0 || this.#position <= this.#pageStart) return undefined;
    const { bytes } = this.#reader;
    const at = this.#reader.offsetOf(this.#position);
    const length = this.#lengthAt(at);
    if (length > room) return undefined;
    const crc = crcUpdate(CRC_START, bytes, at + RECORD_HEADER, length - RECORD_HEADER);
    return this.#record(bytes, at, length, crc, align8(this.#position + length));
  }

  #lengthAt(at: number): number {
    const end = this.#reader.span?.end ?? 0;
    if (this.#position >= end) throw new EndOfWal(`the timeline was left at ${printLsn(end)}`);
    const length = this.#reader.bytes.readUInt32LE(at);
    if (length === 0) throw new EndOfWal('no record begins here (its length is 0)');
    if (length < RECORD_HEADER) throw new EndOfWal(`a record cannot be ${length} bytes`);
    return length;
  }

  /** A record that continues on later pages, perhaps in later segments. */
  async #across(): Promise<WalRecord> {
    const { blockSize } = this.#location;
    const at = this.#reader.offsetOf(this.#position);
    const length = this.#lengthAt(at);
    const first = this.#pageEnd - this.#position;
    const assembler = new RecordAssembler(this.#scratch);
    assembler.add(this.#reader.bytes, at, first);
    let remaining = length - first;
    while (remaining > 0) {
      const pageStart = this.#pageEnd;
      const page = await this.#enter(pageStart);
      if (page.overwrites) {
        this.#position = pageStart;
        return this.#next();
      }
      if (!page.continues || page.remaining !== remaining) {
        throw new EndOfWal(
          `a record of ${length} bytes begins here and does not continue at ${printLsn(pageStart)}`,
        );
      }
      const part = Math.min(remaining, blockSize - page.size);
      assembler.add(this.#reader.bytes, this.#reader.offsetOf(pageStart) + page.size, part);
      remaining -= part;
      if (remaining === 0) {
        const end = align8(pageStart + page.size + part);
        return this.#record(this.#scratch, 0, length, assembler.crc, end);
      }
    }
    throw new EndOfWal('a record is empty');
  }

  #record(
    bytes: Buffer,
    at: number,
    length: number,
    dataCrc: number,
    alignedEnd: number,
  ): WalRecord {
    const crc = crcFinish(crcUpdate(dataCrc, bytes, at, RECORD_CRC));
    if (crc !== bytes.readUInt32LE(at + RECORD_CRC)) {
      throw new EndOfWal('the checksum of the record does not match');
    }
    const previous = readLsn(bytes, at + 8);
    if (this.#previous === -1 ? previous >= this.#position : previous !== this.#previous) {
      throw new EndOfWal(
        `the record follows one at ${printLsn(previous)}, not the one before it (it belongs to older WAL)`,
      );
    }
    const spanEnd = this.#reader.span?.end ?? 0;
    if (alignedEnd > spanEnd) throw new EndOfWal(`the timeline was left at ${printLsn(spanEnd)}`);
    const info = bytes.readUInt8(at + 16);
    const rmgr = bytes.readUInt8(at + 17);
    const isSwitch = rmgr === RM_XLOG && (info & 0xf0) === XLOG_SWITCH;
    const { segmentSize } = this.#location;
    // The rest of the segment after a switch is unused.
    const end = isSwitch ? Math.ceil(alignedEnd / segmentSize) * segmentSize : alignedEnd;
    const xid = bytes.readUInt32LE(at + 4);
    return new ReadRecord(this.#position, end, xid, rmgr, info, bytes, at, length);
  }

  /**
   * Makes a page the current one.
   *
   * @throws EndOfWal unless its header is the right one for that page.
   */
  async #enter(pageStart: number): Promise<PageHeader> {
    if (!this.#reader.holds(pageStart)) {
      await this.#reader.load(pageStart, this.#signal);
      this.#progress?.(pageStart);
    }
    const page = readPageHeader(this.#reader.bytes, this.#reader.offsetOf(pageStart));
    const newest = this.#reader.span?.timeline ?? 0;
    checkPage(page, pageStart, this.#location, { atLeast: this.#timeline, atMost: newest });
    this.#pageStart = pageStart;
    this.#pageEnd = pageStart + this.#location.blockSize;
    this.#page = page;
    this.#timeline = page.timeline;
    return page;
  }
}
