import type { BlockRef } from './block-refs.ts';
import * as format from './format.ts';
import type { WalRecord } from './record.ts';

const MAIN = 0;
const VISIBILITY = 2;

/** Resource managers whose records give their position to every page that they name. */
const ALWAYS: ReadonlySet<number> = new Set([
  format.RM_HEAP,
  format.RM_BTREE,
  format.RM_GIN,
  format.RM_GIST,
  format.RM_SEQ,
  format.RM_SPGIST,
  format.RM_BRIN,
  format.RM_GENERIC,
]);

/**
 * Whether the server certainly gave the position of this record to the page. Not so: the heap page of
 * a record about the visibility map, without checksums (visibilitymap.c, visibilitymap_set); a bucket
 * of a hash index that is named only for its lock, which has neither image nor data (hash_xlog.c); an
 * image for a hint, if the page was changed in the meantime (bufmgr.c, MarkBufferDirtyHint); a copied
 * page that is new (xloginsert.c, log_newpage).
 */
export function setsPosition({ rmgr, info }: WalRecord, ref: BlockRef): boolean {
  if (ref.fork !== MAIN && ref.fork !== VISIBILITY) return false;
  if (rmgr === format.RM_XLOG) return (info & 0xf0) === format.XLOG_FPI && ref.hole !== null;
  if (rmgr === format.RM_HEAP2) {
    return (info & 0x70) !== format.HEAP2_VISIBLE || ref.fork === VISIBILITY;
  }
  if (rmgr === format.RM_HASH) return ref.rebuilt || ref.imageLength + ref.dataLength > 0;
  return ALWAYS.has(rmgr);
}
