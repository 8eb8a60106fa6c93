import { MARKER_PREFIX } from '../receipt.ts';
import {
  mainData,
  readLogicalMessage,
  readLsn,
  RM_LOGICALMSG,
  RM_XACT,
  RM_XLOG,
  XACT_COMMIT,
  XLOG_BACKUP_END,
  XLOG_CHECKPOINT_ONLINE,
  XLOG_CHECKPOINT_SHUTDOWN,
  XLOG_END_OF_RECOVERY,
} from './format.ts';
import type { WalRecord } from './record.ts';

export interface MarkerIdentity {
  /** The id of the freeze. */
  readonly id: string;
  /** End of the marker record. */
  readonly lsn: number;
}

/** What to look for among the records of a walk. */
export interface Wanted {
  readonly marker: MarkerIdentity | null;
  /** The start position that the record of the backup's end must contain. */
  readonly backupStart: number;
  /** Start of the checkpoint record to which pg_control points. */
  readonly checkpoint: number;
  /**
   * A shutdown checkpoint or an end of recovery after this means that a server was started again.
   */
  readonly restartsAfter: number;
}

/** Collects, record by record, what a walk proves. */
export class WalEvidence {
  readonly #wanted: Wanted;
  #markerXid = 0;
  /**
   * End of the marker's commit record. Not `null` means that the marker's transaction was
   * committed.
   */
  markerCommit: number | null = null;
  /** End of the record that ends the backup begun at `backupStart`. */
  backupEnd: number | null = null;
  checkpointSeen = false;
  /** Where the WAL first shows that a server was started again. */
  restart: number | null = null;

  constructor(wanted: Wanted) {
    this.#wanted = wanted;
  }

  /** The walk met the marker record itself. Whether it counts, {@link markerCommit} shows. */
  get markerSeen(): boolean {
    return this.#markerXid !== 0;
  }

  see(record: WalRecord): void {
    if (record.rmgr === RM_XLOG) this.#seeXlog(record);
    else if (record.rmgr === RM_XACT) this.#seeXact(record);
    else if (record.rmgr === RM_LOGICALMSG) this.#seeMessage(record);
  }

  #seeXlog(record: WalRecord): void {
    const kind = record.info & 0xf0;
    if (record.start === this.#wanted.checkpoint) {
      this.checkpointSeen = kind === XLOG_CHECKPOINT_ONLINE || kind === XLOG_CHECKPOINT_SHUTDOWN;
    }
    if (kind === XLOG_CHECKPOINT_SHUTDOWN || kind === XLOG_END_OF_RECOVERY) {
      if (record.start > this.#wanted.restartsAfter) this.restart ??= record.start;
    } else if (kind === XLOG_BACKUP_END) {
      const data = mainData(record.head);
      if (data?.length === 8 && readLsn(data, 0) === this.#wanted.backupStart) {
        this.backupEnd ??= record.end;
      }
    }
  }

  #seeXact(record: WalRecord): void {
    if (this.#markerXid === 0 || record.xid !== this.#markerXid) return;
    if ((record.info & 0x70) === XACT_COMMIT) this.markerCommit ??= record.end;
  }

  #seeMessage(record: WalRecord): void {
    const { marker } = this.#wanted;
    if (!marker || record.end !== marker.lsn || record.xid === 0) return;
    const data = mainData(record.head);
    const message = data && readLogicalMessage(data);
    if (!message?.transactional) return;
    if (message.prefix !== MARKER_PREFIX || message.content !== marker.id) return;
    this.#markerXid = record.xid;
  }
}
