import { HASH } from '../../data-dir/catalog.ts';
import type { BlockPositions } from '../../data-dir/block-positions.ts';
import { isNew } from '../../data-dir/page.ts';
import type { ScannedPage } from '../../data-dir/page-scan.ts';
import { blocksOf, MAIN_FORK, type RelationFiles, VM_FORK } from '../../data-dir/relation-files.ts';
import type { RelationKey } from '../../wal/block-refs.ts';
import { printLsn } from '../../wal/segments.ts';
import type { WrittenPages } from '../../wal/written-pages.ts';
import type { KnownRelations } from './known.ts';

interface Known {
  readonly files: ReadonlyMap<RelationKey, RelationFiles>;
  readonly relations: KnownRelations;
  readonly certain: ReadonlySet<RelationKey>;
  readonly blockSize: number;
  readonly segmentBlocks: number;
}

/**
 * Looks for what the checkpoint in pg_control wrote and the copy lacks: its files were copied before
 * that checkpoint, pg_control after. Recovery as after a crash would start behind the WAL that has the
 * changes, and lose them without a word.
 */
export class BehindPages {
  readonly #written: WrittenPages;
  readonly #known: Known;
  readonly #judged: ReadonlySet<RelationKey>;
  #count = 0;
  #first: string | null = null;

  constructor(written: WrittenPages, known: Known) {
    this.#written = written;
    this.#known = known;
    const judged = written.judged(known.certain);
    this.#judged = new Set(judged.filter((key) => known.files.get(key)?.unlogged !== true));
  }

  /** Blocks that must be looked at. */
  required(relation: RelationKey, fork: number): BlockPositions | undefined {
    return this.#judged.has(relation) ? this.#written.blocks(relation, fork) : undefined;
  }

  visit({ file, block, bytes, at }: ScannedPage, lsn: number): void {
    if (!this.#judged.has(file.relation)) return;
    const least = this.#written.position(file.relation, file.fork, block);
    if (lsn >= least) return;
    if (isNew(bytes, at) && this.#mayBeReserved(file.relation)) return;
    this.#add(
      `${file.path} block ${block} is at ${printLsn(lsn)}, but WAL changed it at ${printLsn(least)}`,
    );
  }

  /** What is behind, or `null`, once all required pages were looked at. */
  find(): string | null {
    for (const key of this.#judged) this.#findMissing(key);
    if (this.#first === null) return null;
    return this.#count === 1 ? this.#first : `${this.#first} (the first of ${this.#count} pages)`;
  }

  #findMissing(key: RelationKey): void {
    const { files, blockSize, segmentBlocks } = this.#known;
    // Files that the end of a transaction removed are not there, and the record cannot be read.
    if (this.#written.unread || this.#mayBeReserved(key)) return;
    for (const fork of [MAIN_FORK, VM_FORK]) {
      const segments = files.get(key)?.forks.get(fork);
      const blocks = blocksOf(segments, blockSize, segmentBlocks);
      for (const block of this.#written.blocks(key, fork)?.between(blocks, Infinity) ?? []) {
        const path = segments?.[0]?.path ?? `fork ${fork} of relation ${key}`;
        const least = printLsn(this.#written.position(key, fork, block));
        this.#add(`${path} has ${blocks} blocks, but WAL changed block ${block} at ${least}`);
      }
    }
  }

  #add(what: string): void {
    this.#count += 1;
    this.#first ??= what;
  }

  /** Those of a hash index are written past the buffers, after their WAL (hashpage.c). */
  #mayBeReserved(key: RelationKey): boolean {
    return this.#known.relations.get(key)?.access === HASH;
  }
}
