import { BlockSet } from '../../data-dir/block-set.ts';
import { BTREE, HEAP, type LiveRelation } from '../../data-dir/catalog.ts';
import { forEachCommitted } from '../../data-dir/heap-page.ts';
import {
  hasSoundHeader,
  isNew,
  isReservedHashPage,
  isZero,
  pageChecksum,
} from '../../data-dir/page.ts';
import type { ScannedPage } from '../../data-dir/page-scan.ts';
import { MAIN_FORK } from '../../data-dir/relation-files.ts';
import type { TransactionStatus } from '../../data-dir/slru.ts';
import { pageLsn, type RelationKey } from '../../wal/block-refs.ts';
import { isOlder, type RecoveryWindow } from '../../wal/window.ts';
import { readPointers } from './btree.ts';
import type { BehindPages } from './behind.ts';
import { describe, startsWithPage } from './files.ts';
import type { KnownRelations } from './known.ts';

export interface PageAhead {
  /** Relative to PGDATA. */
  readonly file: string;
  /** Number of the block within the fork. */
  readonly block: number;
  readonly lsn: number;
}

export interface JudgeFacts {
  /** The end of valid WAL in the copy. */
  readonly walEnd: number;
  readonly blockSize: number;
  readonly checksums: boolean;
  readonly window: RecoveryWindow;
  readonly behind: BehindPages;
  readonly relations: KnownRelations;
  readonly certain: ReadonlySet<RelationKey>;
  readonly status: TransactionStatus;
  /** Older transactions have no status any more. */
  readonly oldestXid: number;
  /** The first transaction that was not assigned at the last checkpoint. */
  readonly nextXid: number;
}

/**
 * Judges pages one by one, and keeps what several of them say together.
 *
 * PostgreSQL writes WAL before the data it describes (documentation, chapter "Write-Ahead
 * Logging"), so an atomic copy never has a page that is newer than its WAL. Only a new relation may:
 * the makers of an index, or of a rewritten table, write its pages past the buffers, and nobody sees
 * it before its commit, which waits for its WAL. So does a concurrent build, whose index is not valid
 * until then. A page that recovery does not change was complete on disk when WAL began.
 */
export class PageJudge {
  readonly #facts: JudgeFacts;
  /** The page furthest ahead of WAL; `null` if there is none. */
  worst: PageAhead | null = null;
  pagesAhead = 0;
  /** Pages without content that recovery does not fill. */
  zeroPages = 0;
  /** The first thing that is wrong. */
  damage: string | null = null;
  /** Zero pages that recovery does not make, by relation. */
  readonly zero = new Map<RelationKey, BlockSet>();
  /** Blocks that pages of an index point at. */
  readonly pointed = new Map<RelationKey, BlockSet>();

  constructor(facts: JudgeFacts) {
    this.#facts = facts;
  }

  visit(page: ScannedPage): void {
    const { bytes, at, file, block } = page;
    const lsn = pageLsn(bytes, at);
    if (lsn > this.#facts.walEnd) {
      if (!this.#facts.certain.has(file.relation)) return;
      if (isReservedHashPage(bytes, at, this.#facts.blockSize)) return;
      this.pagesAhead += 1;
      if (lsn > (this.worst?.lsn ?? 0)) this.worst = { file: file.path, block, lsn };
      return;
    }
    this.#facts.behind.visit(page, lsn);
    if (this.#facts.window.named(file.relation, file.fork)?.has(block) === true) return;
    const fresh = isNew(bytes, at);
    if (fresh && file.fork === MAIN_FORK) this.zeroPages += 1;
    const relation = this.#facts.relations.get(file.relation);
    if (relation === undefined) return;
    if (fresh) this.#judgeNew(page, relation);
    else this.#judgeUsed(page, relation);
  }

  #judgeNew({ words, at, file, block }: ScannedPage, relation: LiveRelation): void {
    if (!isZero(words, at / 4, this.#facts.blockSize / 4)) {
      this.#say(file.path, block, relation, 'has content, but no page begins there');
    } else if (file.fork === MAIN_FORK) {
      if (block === 0 && startsWithPage(relation)) {
        this.#say(file.path, block, relation, 'is zero, but it was written when that was made');
      }
      setOf(this.zero, relation.key).add(block);
    }
  }

  #judgeUsed({ bytes, words, at, file, block }: ScannedPage, relation: LiveRelation): void {
    const { blockSize, checksums } = this.#facts;
    if (!hasSoundHeader(bytes, at, blockSize)) {
      this.#say(file.path, block, relation, 'has a header that no server accepts');
      return;
    }
    if (checksums && pageChecksum(words, at / 4, blockSize, block) !== bytes.readUInt16LE(at + 8)) {
      this.#say(file.path, block, relation, 'does not have the checksum that it says');
      return;
    }
    if (file.fork !== MAIN_FORK) return;
    if (relation.access === HEAP) this.#judgeRows(bytes, at, file.path, block, relation);
    if (relation.access === BTREE) this.#keepPointers(bytes, at, relation);
  }

  /** A row says that its transaction committed only after `pg_xact` said so (heapam_visibility.c). */
  #judgeRows(bytes: Buffer, at: number, path: string, block: number, relation: LiveRelation): void {
    const { status, window, oldestXid, nextXid, blockSize } = this.#facts;
    forEachCommitted(bytes, at, blockSize, (xid) => {
      if (this.damage !== null || status.committed(xid)) return;
      if (isOlder(xid, oldestXid) || !isOlder(xid, nextXid) || !window.endedBefore(xid)) return;
      const log = status.log.nameOf(Math.floor(xid / status.perPage));
      this.damage = `${log} does not know that transaction ${xid} committed, but rows of ${describe(relation)} say so (${path} block ${block})`;
    });
  }

  #keepPointers(bytes: Buffer, at: number, { key, indexed }: LiveRelation): void {
    const own = setOf(this.pointed, key);
    const table = indexed === null ? undefined : setOf(this.pointed, indexed);
    readPointers(bytes, at, this.#facts.blockSize, {
      sibling: (block) => own.add(block),
      row: (block) => table?.add(block),
    });
  }

  #say(path: string, block: number, relation: LiveRelation, why: string): void {
    this.damage ??= `${path} block ${block}, of ${describe(relation)}, ${why}`;
  }
}

function setOf(map: Map<RelationKey, BlockSet>, key: RelationKey): BlockSet {
  let set = map.get(key);
  if (set === undefined) map.set(key, (set = new BlockSet()));
  return set;
}
