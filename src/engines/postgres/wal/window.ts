import { BlockSet } from '../data-dir/block-set.ts';
import { blockRefs, type BlockRef, readRelation, type RelationKey } from './block-refs.ts';
import * as format from './format.ts';
import type { WalRecord } from './record.ts';
import { readTransactionEnd } from './transaction-record.ts';

/** No WAL is before this: its first segment is never used. Fake LSNs of an index build are smaller. */
export const FIRST_LSN = 1 << 20;

const MAIN = 0;

/** A multixact, and the first of its members. */
export interface MultiPosition {
  readonly multi: number;
  readonly offset: number;
}

/**
 * What recovery will change in the data files: everything that WAL from the start of recovery to
 * its end names. A checkpoint has written and synced all changes before that, so a page that is not
 * named here is on disk as it was then.
 */
export class RecoveryWindow {
  readonly #start: number;
  readonly #major: number;
  readonly #named = new Map<RelationKey, Map<number, BlockSet>>();
  /** Blocks of a main fork up to here are made by recovery, from an image or from nothing. */
  readonly #made = new Map<RelationKey, number>();
  readonly #needed = new Map<RelationKey, number>();
  /** Created, cut or dropped in the window: nothing is known about their size. */
  readonly #changed = new Set<RelationKey>();
  readonly #created = new Set<RelationKey>();
  readonly #changedDatabases = new Set<number>();
  readonly #prepared = new Set<number>();
  #oldestCommit: number | null = null;
  /** A record was longer than the part that is kept. */
  #unread = false;
  /** The oldest transaction whose status is kept, where WAL cuts `pg_xact`. */
  oldestXid: number | null = null;
  /** The same for `pg_multixact`. */
  oldestMulti: MultiPosition | null = null;
  /** The oldest one that recovery makes. */
  madeMulti: MultiPosition | null = null;

  /** @param start the checkpoint at whose redo position all earlier changes are on disk. */
  constructor(start: number, major: number) {
    this.#start = start;
    this.#major = major;
  }

  /** Blocks of this fork that recovery changes. */
  named(relation: RelationKey, fork: number): BlockSet | undefined {
    return this.#named.get(relation)?.get(fork);
  }

  /** Blocks that recovery can only change if they are in the main fork's files; 0 for none. */
  needed(relation: RelationKey): number {
    return this.judges(relation) ? (this.#needed.get(relation) ?? 0) : 0;
  }

  /** All relations whose size WAL tells something about. */
  get relations(): Iterable<RelationKey> {
    return this.#needed.keys();
  }

  /** Whether the size of a relation's files was the same when recovery's WAL began. */
  judges(relation: RelationKey): boolean {
    if (this.#unread || this.#changed.has(relation)) return false;
    return !this.#changedDatabases.has(Number(relation.split('/')[1]));
  }

  /** Whether the file of a relation was made in the window. */
  created(relation: RelationKey): boolean {
    return this.#created.has(relation);
  }

  /** Whether a transaction that committed did so before the window. */
  endedBefore(xid: number): boolean {
    return !this.#unread && (this.#oldestCommit === null || isOlder(xid, this.#oldestCommit));
  }

  wasPrepared(xid: number): boolean {
    return this.#unread || this.#prepared.has(xid);
  }

  see(record: WalRecord): void {
    const { rmgr } = record;
    if (rmgr === format.RM_XACT) this.#seeTransaction(record);
    else if (rmgr === format.RM_SMGR) this.#seeFile(record);
    else if (rmgr === format.RM_DBASE) this.#seeDatabase(record);
    else if (rmgr === format.RM_CLOG) this.#seeStatus(record);
    else if (rmgr === format.RM_MULTIXACT) this.#seeMulti(record);
    else for (const ref of blockRefs(record.head, this.#major)) this.#seeBlock(ref, record);
  }

  #seeBlock(ref: BlockRef, record: WalRecord): void {
    const { relation, fork, block } = ref;
    let forks = this.#named.get(relation);
    if (forks === undefined) this.#named.set(relation, (forks = new Map()));
    let blocks = forks.get(fork);
    if (blocks === undefined) forks.set(fork, (blocks = new BlockSet()));
    blocks.add(block);
    if (fork !== MAIN) return;
    if (this.#mustExist(ref, record)) {
      this.#needed.set(relation, Math.max(this.#needed.get(relation) ?? 0, block + 1));
    }
    if (ref.rebuilt) this.#made.set(relation, Math.max(this.#made.get(relation) ?? 0, block + 1));
  }

  /**
   * Recovery stops at a change to a page that neither exists nor was made before (xlogutils.c,
   * log_invalid_page). An image makes its page, but if the page in it was last changed before the
   * window, the file already had that page. Images that a copy of a whole file leaves (XLOG_FPI) may
   * have the position of another file's page; an extension's own records are not known.
   */
  #mustExist({ relation, block, rebuilt, before }: BlockRef, { rmgr, info }: WalRecord): boolean {
    const hint = rmgr === format.RM_XLOG && (info & 0xf0) === format.XLOG_FPI_FOR_HINT;
    const inPlace = rmgr >= format.RM_HEAP2 && rmgr <= format.RM_BRIN;
    if (!rebuilt) return inPlace && block >= (this.#made.get(relation) ?? 0);
    return (hint || inPlace) && before !== null && before >= FIRST_LSN && before < this.#start;
  }

  #seeFile({ head, info }: WalRecord): void {
    const data = format.mainData(head);
    if (data === undefined) return;
    const kind = info & 0xf0;
    const created = kind === format.SMGR_CREATE;
    if (!created && kind !== format.SMGR_TRUNCATE) return;
    const relation = readRelation(data, created ? 0 : 4);
    this.#changed.add(relation);
    if (created) this.#created.add(relation);
  }

  #seeDatabase({ head }: WalRecord): void {
    const data = format.mainData(head);
    if (data === undefined || data.length < 4) this.#unread = true;
    else this.#changedDatabases.add(data.readUInt32LE(0));
  }

  #seeTransaction({ head, info, xid }: WalRecord): void {
    const kind = info & 0x70;
    const data = format.mainData(head);
    if (kind === format.XACT_PREPARE) {
      // A long one is longer than what is kept; its number is in the record's header too.
      this.#prepared.add(xid);
      return;
    }
    const commit = kind === format.XACT_COMMIT || kind === format.XACT_COMMIT_PREPARED;
    const abort = kind === format.XACT_ABORT || kind === format.XACT_ABORT_PREPARED;
    if (!commit && !abort) return;
    const end = readTransactionEnd(data, info, this.#major);
    if (end === undefined) this.#unread = true;
    for (const relation of end?.dropped ?? []) this.#changed.add(relation);
    if (!commit) return;
    for (const one of [xid, ...(end?.xids ?? [])]) {
      if (one !== 0 && (this.#oldestCommit === null || isOlder(one, this.#oldestCommit))) {
        this.#oldestCommit = one;
      }
    }
  }

  #seeStatus({ head, info }: WalRecord): void {
    const data = format.mainData(head);
    if ((info & 0xf0) !== 0x10 || data === undefined || data.length < 12) return;
    this.oldestXid = data.readUInt32LE(data.length - 8);
  }

  #seeMulti({ head, info }: WalRecord): void {
    const data = format.mainData(head);
    const kind = info & 0x70;
    if (kind === 0x20 && data !== undefined && data.length >= 8) {
      const made = { multi: data.readUInt32LE(0), offset: data.readUInt32LE(4) };
      if (this.madeMulti === null || isOlder(made.multi, this.madeMulti.multi)) {
        this.madeMulti = made;
      }
    }
    if (kind !== 0x30 || data === undefined || data.length < 20) return;
    this.oldestMulti = { multi: data.readUInt32LE(8), offset: data.readUInt32LE(16) };
  }
}

/** Transaction numbers go round; half of them are older than a given one (transam.h). */
export function isOlder(xid: number, than: number): boolean {
  return ((xid - than) | 0) < 0;
}
