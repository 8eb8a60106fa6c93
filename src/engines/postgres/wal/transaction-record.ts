import { type RelationKey, readRelation } from './block-refs.ts';

/** What the record of a commit or an abort says (xact.h, ParseCommitRecord). */
export interface TransactionEnd {
  /** The transaction, where it is a prepared one, and its subtransactions. */
  readonly xids: readonly number[];
  /** Files that were dropped at the end. */
  readonly dropped: readonly RelationKey[];
}

const HAS_INFO = 0x80;
const DATABASE = 1;
const SUBTRANSACTIONS = 2;
const RELATIONS = 4;
const INVALIDATIONS = 8;
const TWO_PHASE = 16;
const STATISTICS = 256;

/** `undefined` where the record is longer than the part that is kept, or cannot be understood. */
export function readTransactionEnd(
  data: Buffer | undefined,
  info: number,
  major: number,
): TransactionEnd | undefined {
  if (data === undefined) return undefined;
  try {
    return parse(data, info, major);
  } catch (error) {
    if (error instanceof RangeError) return undefined;
    throw error;
  }
}

function parse(data: Buffer, info: number, major: number): TransactionEnd {
  const xids: number[] = [];
  const dropped: RelationKey[] = [];
  // The time of the end comes first.
  let at = 8;
  if ((info & HAS_INFO) === 0) return { xids, dropped };
  const flags = data.readUInt32LE(at);
  at += 4;
  if ((flags & DATABASE) !== 0) at += 8;
  const items = (flag: number, size: number, read?: (at: number) => void): void => {
    if ((flags & flag) === 0) return;
    const count = data.readUInt32LE(at);
    at += 4;
    if (at + count * size > data.length) throw new RangeError('the record is cut');
    for (let index = 0; index < count; index += 1) read?.(at + index * size);
    at += count * size;
  };
  items(SUBTRANSACTIONS, 4, (place) => xids.push(data.readUInt32LE(place)));
  items(RELATIONS, 12, (place) => dropped.push(readRelation(data, place)));
  items(STATISTICS, major >= 18 ? 16 : 12);
  items(INVALIDATIONS, 16);
  if ((flags & TWO_PHASE) !== 0) xids.push(data.readUInt32LE(at));
  return { xids, dropped };
}
