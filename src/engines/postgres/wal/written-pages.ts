import { BlockPositions } from '../data-dir/block-positions.ts';
import { blockRefs, readRelation, type RelationKey } from './block-refs.ts';
import { droppedInPlace } from './database-in-place.ts';
import * as format from './format.ts';
import type { WalRecord } from './record.ts';
import { setsPosition } from './sets-position.ts';
import { readTransactionEnd } from './transaction-record.ts';

const MAIN = 0;
const VISIBILITY = 2;
/** All positions are multiples of it. */
const UNIT = 8;
const LARGEST = 2 ** 32 - 1;
const SHARED = '1664/0/';

export interface Reach {
  /** Of the WAL that is read. */
  readonly from: number;
  /** The redo position of the checkpoint in pg_control. */
  readonly redo: number;
  readonly major: number;
  readonly blockSize: number;
}

/** The position that each page must have since the checkpoint in pg_control has written it. */
export class WrittenPages {
  readonly #reach: Reach;
  readonly #pages = new Map<RelationKey, Map<number, BlockPositions>>();
  /** The transaction that made a file, by relation. */
  readonly #makers = new Map<RelationKey, number>();
  readonly #madeBy = new Map<number, RelationKey[]>();
  readonly #made = new Set<RelationKey>();
  readonly #droppedDatabases = new Set<number>();
  /** A record does not show whether it begins the drop of a database. */
  #anyDropped = false;
  /** A record of dropped files was longer than the part that is kept. */
  unread = false;

  constructor(reach: Reach) {
    this.#reach = reach;
  }

  see(record: WalRecord): void {
    const { rmgr, info } = record;
    if (rmgr === format.RM_XACT) this.#seeTransaction(record);
    else if (rmgr === format.RM_SMGR) this.#seeFile(record);
    else if (rmgr === format.RM_DBASE) this.#seeDatabase(record);
    else {
      if (rmgr === format.RM_HEAP && (info & 0x70) === format.HEAP_INPLACE)
        this.#seeInPlace(record);
      if (record.start < this.#reach.redo) this.#seePages(record);
    }
  }

  /** Relations that must have pages from that time, of those that certainly exist. */
  judged(certain: ReadonlySet<RelationKey>): RelationKey[] {
    return [...this.#pages.keys()].filter(
      (key) => (certain.has(key) || this.#made.has(key)) && !this.isDropped(databaseOf(key)),
    );
  }

  /** Blocks that must have pages from that time. */
  blocks(relation: RelationKey, fork: number): BlockPositions | undefined {
    return this.#pages.get(relation)?.get(fork);
  }

  /** The least position that a page must have. */
  position(relation: RelationKey, fork: number, block: number): number {
    const units = this.blocks(relation, fork)?.get(block) ?? 0;
    return units === 0 ? 0 : this.#reach.from + units * UNIT;
  }

  /** Whether the drop of a database may have begun. The shared catalogs have the number 0. */
  isDropped(database: number): boolean {
    return database !== 0 && (this.#anyDropped || this.#droppedDatabases.has(database));
  }

  #seePages(record: WalRecord): void {
    const { from, major } = this.#reach;
    const units = Math.min((record.end - from) / UNIT, LARGEST);
    for (const ref of blockRefs(record.head, major)) {
      const { relation, fork, block } = ref;
      if (!setsPosition(record, ref)) continue;
      // A concurrent build writes past the buffers, and commits long after its file was made.
      const maker = this.#makers.get(relation);
      if (record.rmgr === format.RM_XLOG && maker !== undefined && maker !== record.xid) continue;
      let forks = this.#pages.get(relation);
      if (forks === undefined) this.#pages.set(relation, (forks = new Map()));
      let blocks = forks.get(fork);
      if (blocks === undefined) forks.set(fork, (blocks = new BlockPositions()));
      blocks.set(block, units);
    }
  }

  #seeFile({ head, info, xid }: WalRecord): void {
    const data = format.mainData(head);
    const kind = info & 0xf0;
    if (data !== undefined && kind === format.SMGR_CREATE) {
      const relation = readRelation(data, 0);
      if (data.readUInt32LE(12) !== MAIN) return;
      this.#pages.delete(relation);
      this.#makers.set(relation, xid);
      this.#madeBy.set(xid, [...(this.#madeBy.get(xid) ?? []), relation]);
    } else if (data !== undefined && kind === format.SMGR_TRUNCATE) {
      const forks = this.#pages.get(readRelation(data, 4));
      forks?.get(MAIN)?.cut(data.readUInt32LE(0));
      forks?.delete(VISIBILITY);
    }
  }

  #seeDatabase({ head }: WalRecord): void {
    const database = format.mainData(head)?.readUInt32LE(0);
    for (const key of this.#pages.keys()) {
      if (database === undefined || databaseOf(key) === database) this.#pages.delete(key);
    }
  }

  #seeTransaction({ head, info, xid }: WalRecord): void {
    const kind = info & 0x70;
    const commit = kind === format.XACT_COMMIT || kind === format.XACT_COMMIT_PREPARED;
    const abort = kind === format.XACT_ABORT || kind === format.XACT_ABORT_PREPARED;
    if (!commit && !abort) return;
    const end = readTransactionEnd(format.mainData(head), info, this.#reach.major);
    if (end === undefined) this.unread = true;
    for (const relation of end?.dropped ?? []) this.#pages.delete(relation);
    if (!commit) return;
    for (const one of [xid, ...(end?.xids ?? [])]) {
      for (const relation of this.#madeBy.get(one) ?? []) this.#made.add(relation);
    }
  }

  /** Of the shared catalogs only pg_database has rows that change in place. */
  #seeInPlace({ head }: WalRecord): void {
    const ref = blockRefs(head, this.#reach.major)[0];
    if (ref === undefined || !ref.relation.startsWith(SHARED)) return;
    const database = droppedInPlace(head, ref, this.#reach);
    if (database === undefined) this.#anyDropped = true;
    else if (database !== null) this.#droppedDatabases.add(database);
  }
}

function databaseOf(key: RelationKey): number {
  return Number(key.split('/')[1]);
}
