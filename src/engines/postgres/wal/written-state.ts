import { BlockPositions } from '../data-dir/block-positions.ts';
import { BlockSet } from '../data-dir/block-set.ts';
import * as format from './format.ts';
import type { WalRecord } from './record.ts';
import { readTransactionEnd } from './transaction-record.ts';

/** What `pg_filenode.map` of a database may contain. */
export interface MapVersions {
  readonly space: number;
  readonly database: number;
  /** As the checkpoint found it, and as later WAL makes it. */
  readonly contents: Buffer[];
}

/** What the checkpoint in pg_control has written besides pages: outcomes of transactions and the like. */
export class WrittenState {
  readonly #redo: number;
  readonly #major: number;
  /** Transactions that committed: the checkpoint waited for their status (DELAY_CHKPT_START). */
  readonly commits = new BlockSet();
  /** Prepared transactions that no record ends. */
  readonly prepared = new Set<number>();
  /** The first member of each multixact. */
  readonly multis = new BlockPositions();
  readonly maps = new Map<number, MapVersions>();
  /**
   * By transaction: a multixact is in its log once the same transaction writes its next record. No
   * checkpoint waits for it (multixact.c, MultiXactIdCreateFromMembers).
   */
  readonly #newMultis = new Map<number, [multi: number, offset: number]>();

  constructor(redo: number, major: number) {
    this.#redo = redo;
    this.#major = major;
  }

  see(record: WalRecord): void {
    const { rmgr, xid, start } = record;
    const made = start < this.#redo ? this.#newMultis.get(xid) : undefined;
    if (made !== undefined) {
      this.multis.set(...made);
      this.#newMultis.delete(xid);
    }
    if (rmgr === format.RM_XACT) this.#seeTransaction(record);
    else if (rmgr === format.RM_RELMAP) this.#seeMap(record);
    else if (rmgr === format.RM_MULTIXACT && start < this.#redo) this.#seeMulti(record);
    else if (rmgr === format.RM_DBASE) {
      this.maps.delete(format.mainData(record.head)?.readUInt32LE(0) ?? 0);
    }
  }

  #seeTransaction({ start, end, head, info, xid }: WalRecord): void {
    const kind = info & 0x70;
    if (kind === format.XACT_PREPARE && end <= this.#redo) this.prepared.add(xid);
    const commit = kind === format.XACT_COMMIT || kind === format.XACT_COMMIT_PREPARED;
    const endsPrepared =
      kind === format.XACT_COMMIT_PREPARED || kind === format.XACT_ABORT_PREPARED;
    if (!endsPrepared && (!commit || start >= this.#redo)) return;
    const ended = readTransactionEnd(format.mainData(head), info, this.#major);
    if (ended === undefined && endsPrepared) this.prepared.clear();
    for (const one of [xid, ...(ended?.xids ?? [])]) {
      if (endsPrepared) this.prepared.delete(one);
      if (commit && start < this.#redo && one !== 0) this.commits.add(one);
    }
  }

  #seeMulti({ head, info, xid }: WalRecord): void {
    const data = format.mainData(head);
    if ((info & 0x70) !== format.MULTIXACT_CREATE || data === undefined || xid === 0) return;
    this.#newMultis.set(xid, [data.readUInt32LE(0), data.readUInt32LE(4)]);
  }

  #seeMap({ start, head }: WalRecord): void {
    const data = format.mainData(head);
    if (data === undefined || data.length < 12) return;
    const database = data.readUInt32LE(0);
    const content = Buffer.from(data.subarray(12, 12 + data.readUInt32LE(8)));
    if (start >= this.#redo) this.maps.get(database)?.contents.push(content);
    else this.maps.set(database, { space: data.readUInt32LE(4), database, contents: [content] });
  }
}
