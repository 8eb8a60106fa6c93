const HEADER = 24;
const NORMAL = 1;

/** Bits of `t_infomask` (htup_details.h). */
const XMIN_COMMITTED = 0x0100;
const XMIN_FROZEN = 0x0300;
const XMAX_COMMITTED = 0x0400;
const XMAX_INVALID = 0x0800;
const XMAX_IS_MULTI = 0x1000;
/** Smaller numbers are not of transactions: bootstrap and frozen rows. */
const FIRST_NORMAL = 3;

/** Calls back for each stored item of a page, with its place in `bytes` and its length. */
export function forEachItem(
  bytes: Buffer,
  page: number,
  size: number,
  visit: (at: number, length: number, number: number) => void,
): void {
  const lower = Math.min(bytes.readUInt16LE(page + 12), size);
  for (let at = HEADER, number = 1; at + 4 <= lower; at += 4, number += 1) {
    const item = bytes.readUInt32LE(page + at);
    if (((item >>> 15) & 3) !== NORMAL) continue;
    const offset = item & 0x7fff;
    const length = item >>> 17;
    if (offset >= HEADER && offset + length <= size) visit(page + offset, length, number);
  }
}

/** A version of a row, in the buffer of its page. */
export interface RowVersion {
  /** Where its columns begin. */
  readonly data: number;
  readonly end: number;
  readonly xmin: number;
  /** Visible to everybody, whatever `pg_xact` says. */
  readonly frozen: boolean;
  /** The page itself says that the transaction of the row committed. */
  readonly hinted: boolean;
  /** No transaction has deleted, changed or locked it. */
  readonly untouched: boolean;
}

export function readRowVersion(bytes: Buffer, at: number, length: number): RowVersion | undefined {
  const header = length >= HEADER ? bytes.readUInt8(at + 22) : 0;
  if (header < 23 || header > length) return undefined;
  const mask = bytes.readUInt16LE(at + 20);
  const xmin = bytes.readUInt32LE(at);
  return {
    data: at + header,
    end: at + length,
    xmin,
    frozen: (mask & XMIN_FROZEN) === XMIN_FROZEN || (xmin > 0 && xmin < FIRST_NORMAL),
    hinted: (mask & XMIN_FROZEN) === XMIN_COMMITTED,
    untouched: bytes.readUInt32LE(at + 4) === 0 || (mask & XMAX_INVALID) !== 0,
  };
}

/** Calls back for each transaction that the rows of a page say committed. */
export function forEachCommitted(
  bytes: Buffer,
  page: number,
  size: number,
  visit: (xid: number) => void,
): void {
  let last = 0;
  const say = (xid: number): void => {
    if (xid === last || xid < FIRST_NORMAL) return;
    last = xid;
    visit(xid);
  };
  forEachItem(bytes, page, size, (at, length) => {
    if (length < HEADER) return;
    const mask = bytes.readUInt16LE(at + 20);
    if ((mask & XMIN_FROZEN) === XMIN_COMMITTED) say(bytes.readUInt32LE(at));
    if ((mask & (XMAX_COMMITTED | XMAX_IS_MULTI)) === XMAX_COMMITTED) {
      say(bytes.readUInt32LE(at + 4));
    }
  });
}
