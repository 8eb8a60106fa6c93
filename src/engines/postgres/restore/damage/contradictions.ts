import { join } from 'node:path';
import { openRegular } from '../../../../lib/regular-file.ts';
import type { BlockSet } from '../../data-dir/block-set.ts';
import { HEAP, type LiveRelation } from '../../data-dir/catalog.ts';
import { isNew } from '../../data-dir/page.ts';
import {
  blocksOf,
  FSM_FORK,
  MAIN_FORK,
  type RelationFiles,
  type SegmentFile,
  VM_FORK,
} from '../../data-dir/relation-files.ts';
import { describe, type FileShape } from './files.ts';
import type { PageJudge } from './judge.ts';

const PAGE_HEADER = 24;
/** Blocks in one byte of a visibility map, two bits each (visibilitymap.c). */
const BLOCKS_PER_BYTE = 4;

/**
 * Free space maps are not in WAL, so one may be ahead of pages that a crash took back. Not of as
 * many as these: their rows would have to be of the last moments before the crash.
 */
const FSM_DOUBTS = 32;
/** Values of a free space map that only a page with rows gets; an unused one has 0 or 255. */
const FSM_USED = { from: 1, to: 254 };

/**
 * Compares what the pages of one relation say about each other, where recovery changes none of
 * them. Zero pages alone are legal: a crash leaves them where a relation had just been extended.
 *
 * @returns what is wrong, or `null`.
 */
export async function findContradiction(
  shape: FileShape,
  relation: LiveRelation,
  files: RelationFiles,
  judge: PageJudge,
): Promise<string | null> {
  const { blockSize, segmentBlocks, window } = shape;
  const main = files.forks.get(MAIN_FORK) ?? [];
  const blocks = blocksOf(main, blockSize, segmentBlocks);
  const named = window.named(relation.key, MAIN_FORK);
  const zero = judge.zero.get(relation.key);
  const lost = (block: number): string | undefined => {
    if (named?.has(block) === true) return undefined;
    if (block >= blocks) return `has ${blocks} blocks`;
    return zero?.has(block) === true ? 'has zeros there' : undefined;
  };
  const told = (block: number, by: string, why: string): string =>
    `${main[0]?.path ?? ''}, the file of ${describe(relation)}, ${why}, but ${by} block ${block}`;
  for (const block of judge.pointed.get(relation.key) ?? []) {
    const why = lost(block);
    if (why !== undefined) return told(block, 'an index points at', why);
  }
  if (relation.access !== HEAP) return null;
  const visible = await firstVisible(shape, files.forks.get(VM_FORK) ?? [], lost);
  if (visible !== null) {
    return told(visible, 'its visibility map knows rows in', lost(visible) ?? '');
  }
  const used = await countUsed(shape, files.forks.get(FSM_FORK) ?? [], zero);
  if (used.count < FSM_DOUBTS) return null;
  return told(
    used.first,
    `its free space map knows rows in ${used.count} such blocks, first in`,
    'has zeros',
  );
}

/** The first block that is lost, although its bits are set: only a page with a header gets them. */
async function firstVisible(
  { pgdata, blockSize }: FileShape,
  segments: readonly SegmentFile[],
  lost: (block: number) => string | undefined,
): Promise<number | null> {
  const perPage = (blockSize - PAGE_HEADER) * BLOCKS_PER_BYTE;
  let first = 0;
  for (const { path, size } of segments) {
    for await (const page of pagesOf(join(pgdata, path), size, blockSize)) {
      for (let at = PAGE_HEADER; !isNew(page, 0) && at < blockSize; at += 1) {
        const byte = page[at] as number;
        if (byte === 0) continue;
        for (let bit = 0; bit < BLOCKS_PER_BYTE; bit += 1) {
          if (((byte >> (bit * 2)) & 3) === 0) continue;
          const block = first + (at - PAGE_HEADER) * BLOCKS_PER_BYTE + bit;
          if (lost(block) !== undefined) return block;
        }
      }
      first += perPage;
    }
  }
  return null;
}

/** Zero blocks that a free space map says were used (fsm_internals.h; freespace.c). */
async function countUsed(
  { pgdata, blockSize }: FileShape,
  segments: readonly SegmentFile[],
  zero: BlockSet | undefined,
): Promise<{ readonly count: number; readonly first: number }> {
  const nothing = { count: 0, first: 0 };
  const [file] = segments;
  if (file === undefined || zero === undefined || zero.size < FSM_DOUBTS) return nothing;
  const nodes = blockSize / 2 - 1;
  const leaves = blockSize - PAGE_HEADER - 4 - nodes;
  const handle = await openRegular(join(pgdata, file.path));
  try {
    const page = Buffer.alloc(blockSize);
    let loaded = -1;
    let { count, first } = nothing;
    for (const block of zero) {
      const leaf = Math.floor(block / leaves);
      if (leaf !== loaded) {
        const position = physicalLeaf(leaf, leaves) * blockSize;
        const { bytesRead } = await handle.read(page, 0, blockSize, position);
        if (bytesRead < blockSize) break;
        loaded = leaf;
      }
      const value = page[PAGE_HEADER + 4 + nodes + (block % leaves)] as number;
      if (value < FSM_USED.from || value > FSM_USED.to) continue;
      if (count === 0) first = block;
      count += 1;
    }
    return { count, first };
  } finally {
    await handle.close();
  }
}

/** The page of a leaf in the file, after the pages of the two levels above (fsm_logical_to_physical). */
function physicalLeaf(leaf: number, leaves: number): number {
  let pages = 0;
  for (let level = 0, index = leaf; level < 3; level += 1) {
    pages += index + 1;
    index = Math.floor(index / leaves);
  }
  return pages - 1;
}

async function* pagesOf(path: string, size: number, blockSize: number): AsyncGenerator<Buffer> {
  const file = await openRegular(path);
  try {
    const page = Buffer.alloc(blockSize);
    for (let position = 0; position + blockSize <= size; position += blockSize) {
      const { bytesRead } = await file.read(page, 0, blockSize, position);
      if (bytesRead < blockSize) return;
      yield page;
    }
  } finally {
    await file.close();
  }
}
