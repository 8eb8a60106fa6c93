import { RECORD_HEADER } from './format.ts';

/** A file of a relation without its forks and segments: `tablespace/database/file number`. */
export type RelationKey = string;

export function relationKey(tablespace: number, database: number, file: number): RelationKey {
  return `${tablespace}/${database}/${file}`;
}

/** `RelFileNode` (16+: `RelFileLocator`): three numbers of four bytes. */
export function readRelation(bytes: Buffer, at: number): RelationKey {
  return relationKey(
    bytes.readUInt32LE(at),
    bytes.readUInt32LE(at + 4),
    bytes.readUInt32LE(at + 8),
  );
}

/** What the headers of a record say about a page. */
interface Header {
  readonly relation: RelationKey;
  /** 0 main, 1 free space map, 2 visibility map, 3 init. */
  readonly fork: number;
  readonly block: number;
  /** Recovery makes the page anew, from an image or from nothing. */
  readonly rebuilt: boolean;
  readonly imageLength: number;
  /** Where the image leaves out the free space of the page; `null` without an image that does. */
  readonly hole: number | null;
  readonly plainImage: boolean;
  readonly dataLength: number;
}

export interface BlockRef extends Header {
  /**
   * The LSN of the page before this record, as its image has it; `null` without an image, or where
   * the image cannot be read (it is compressed, or beyond the part of the record that is kept).
   */
  readonly before: number | null;
  /** Where in the record its image begins; its data follows. */
  readonly at: number;
}

const LAST_BLOCK_ID = 32;
const FORK_MASK = 0x0f;
const HAS_IMAGE = 0x10;
const WILL_INIT = 0x40;
const SAME_RELATION = 0x80;
const HAS_HOLE = 0x01;

/** `bimg_info` by major version: 15 replaced one kind of compression by three (xlogrecord.h). */
function imageBits(major: number): { readonly apply: number; readonly compressed: number } {
  return major >= 15 ? { apply: 0x02, compressed: 0x1c } : { apply: 0x04, compressed: 0x02 };
}

/**
 * The pages that a record names (xlogrecord.h, XLogRecordBlockHeader). The checksum of the record
 * matched, so its lengths are right.
 *
 * @param head the record from its first byte on; its headers are complete in it.
 */
export function blockRefs(head: Buffer, major: number): BlockRef[] {
  const headers: Header[] = [];
  const length = head.readUInt32LE(0);
  let at = RECORD_HEADER;
  let data = 0;
  // The headers end where only the data that they announce is left; its first byte may be anything.
  while (length - at > data && (head[at] as number) <= LAST_BLOCK_ID) {
    at = readHeader(head, at, major, headers);
    const last = headers.at(-1);
    data += (last?.imageLength ?? 0) + (last?.dataLength ?? 0);
  }
  if (headers.length === 0) return [];
  if (length - at > data) at = afterHeaders(head, at);
  return headers.map((header) => {
    const readable = header.plainImage && at + 8 <= head.length;
    const ref = { ...header, before: readable ? pageLsn(head, at) : null, at };
    at += header.imageLength + header.dataLength;
    return ref;
  });
}

function readHeader(head: Buffer, start: number, major: number, into: Header[]): number {
  const flags = head.readUInt8(start + 1);
  const dataLength = head.readUInt16LE(start + 2);
  let at = start + 4;
  let imageLength = 0;
  let plainImage = false;
  let hole: number | null = null;
  let rebuilt = (flags & WILL_INIT) !== 0;
  if ((flags & HAS_IMAGE) !== 0) {
    const { apply, compressed } = imageBits(major);
    const info = head.readUInt8(at + 4);
    imageLength = head.readUInt16LE(at);
    plainImage = (info & compressed) === 0;
    if ((info & HAS_HOLE) !== 0) hole = head.readUInt16LE(at + 2);
    rebuilt ||= (info & apply) !== 0;
    at += !plainImage && hole !== null ? 7 : 5;
  }
  const same = (flags & SAME_RELATION) !== 0;
  const relation = same ? (into.at(-1)?.relation ?? '') : readRelation(head, at);
  if (!same) at += 12;
  const block = head.readUInt32LE(at);
  into.push({
    relation,
    fork: flags & FORK_MASK,
    block,
    rebuilt,
    imageLength,
    hole,
    plainImage,
    dataLength,
  });
  return at + 4;
}

/** Skips the short headers between those of the blocks and the data. */
function afterHeaders(head: Buffer, start: number): number {
  let at = start;
  for (;;) {
    const id = head[at];
    if (id === 253) at += 3;
    else if (id === 252) at += 5;
    else if (id === 255) return at + 2;
    else if (id === 254) return at + 5;
    else return at;
  }
}

/** `pd_lsn`: the high half first (bufpage.h, PageXLogRecPtr). */
export function pageLsn(bytes: Buffer, at: number): number {
  return bytes.readUInt32LE(at) * 0x1_0000_0000 + bytes.readUInt32LE(at + 4);
}
