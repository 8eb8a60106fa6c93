import type { FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import { isErrno } from '../../../lib/durable-files.ts';
import { openRegular } from '../../../lib/regular-file.ts';
import { formatLsn, segmentFileName } from '../lsn.ts';
import type { TimelineSpan } from './timeline.ts';

/** Where the WAL of one server is and how it must look. */
export interface WalLocation {
  readonly pgdata: string;
  readonly systemIdentifier: string;
  /** Bytes. */
  readonly segmentSize: number;
  /** Bytes, `XLOG_BLCKSZ`. */
  readonly blockSize: number;
  /** `XLOG_PAGE_MAGIC` of the server's major version. */
  readonly magic: number;
  /** The server's history, oldest first. */
  readonly spans: readonly TimelineSpan[];
}

/** Thrown where valid WAL ends. Never leaves the walk. */
export class EndOfWal extends Error {
  override readonly name = 'EndOfWal';
}

const CHUNK = 1 << 20;

/** Reads WAL pages, segment by segment, a megabyte at a time. */
export class SegmentReader {
  readonly #location: WalLocation;
  readonly #chunk: Buffer;
  #chunkStart = -1;
  #chunkEnd = -1;
  #file: FileHandle | undefined;
  #segment = -1;
  #span: TimelineSpan | undefined;

  constructor(location: WalLocation) {
    this.#location = location;
    this.#chunk = Buffer.alloc(Math.min(CHUNK, location.segmentSize));
  }

  /** The bytes loaded last. The next load reuses the buffer. */
  get bytes(): Buffer {
    return this.#chunk;
  }

  /** The part of the history to which the current segment file belongs. */
  get span(): TimelineSpan | undefined {
    return this.#span;
  }

  holds(position: number): boolean {
    return position >= this.#chunkStart && position < this.#chunkEnd;
  }

  /** The offset of this position in `bytes`. Valid only while {@link holds}. */
  offsetOf(position: number): number {
    return position - this.#chunkStart;
  }

  /**
   * Loads the megabyte around a position.
   *
   * @throws EndOfWal where there is no such WAL.
   */
  async load(position: number, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    const { segmentSize } = this.#location;
    await this.#openSegment(Math.floor(position / segmentSize));
    const inSegment = position % segmentSize;
    const start = inSegment - (inSegment % this.#chunk.length);
    const length = Math.min(this.#chunk.length, segmentSize - start);
    this.#chunkEnd = -1;
    await this.#fill(start, length);
    this.#chunkStart = position - inSegment + start;
    this.#chunkEnd = this.#chunkStart + length;
  }

  async #fill(start: number, length: number): Promise<void> {
    let got = 0;
    while (got < length) {
      const { bytesRead } = (await this.#file?.read(
        this.#chunk,
        got,
        length - got,
        start + got,
      )) ?? { bytesRead: 0 };
      if (bytesRead === 0) {
        throw new EndOfWal(`the file is ${start + got} bytes, shorter than a segment`);
      }
      got += bytesRead;
    }
  }

  /**
   * Opens the segment of the newest timeline that reaches into it and has a file, as recovery does.
   * At a switch the new timeline begins with a copy of the old one's segment.
   */
  async #openSegment(segment: number): Promise<void> {
    if (segment === this.#segment) return;
    await this.close();
    const { pgdata, segmentSize, spans } = this.#location;
    for (const span of spans.toReversed()) {
      if (Math.floor(span.begin / segmentSize) > segment) continue;
      const path = join(pgdata, 'pg_wal', this.#nameOf(segment, span));
      try {
        this.#file = await openRegular(path);
      } catch (error) {
        if (isErrno(error, 'ENOENT')) continue;
        throw error;
      }
      this.#segment = segment;
      this.#span = span;
      return;
    }
    throw new EndOfWal('there is no such file');
  }

  /** The name of the file that holds a position, or should hold it. */
  fileNameAt(position: number): string {
    const { segmentSize, spans } = this.#location;
    const segment = Math.floor(position / segmentSize);
    const span =
      segment === this.#segment
        ? this.#span
        : spans.findLast((candidate) => candidate.begin <= position);
    return this.#nameOf(segment, span ?? { timeline: 0, begin: 0, end: 0 });
  }

  #nameOf(segment: number, span: TimelineSpan): string {
    return segmentFileName(span.timeline, BigInt(segment), this.#location.segmentSize);
  }

  async close(): Promise<void> {
    const file = this.#file;
    this.#file = undefined;
    this.#segment = -1;
    this.#chunkEnd = -1;
    await file?.close();
  }
}

/** Prints a position of the reader. */
export function printLsn(position: number): string {
  return formatLsn(BigInt(position));
}
