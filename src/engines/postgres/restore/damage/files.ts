import { join } from 'node:path';
import { openRegular } from '../../../../lib/regular-file.ts';
import type { LiveRelation } from '../../data-dir/catalog.ts';
import { isNew } from '../../data-dir/page.ts';
import {
  blocksOf,
  MAIN_FORK,
  type RelationFiles,
  type SegmentFile,
} from '../../data-dir/relation-files.ts';
import { pageLsn } from '../../wal/block-refs.ts';
import { FIRST_LSN, type RecoveryWindow } from '../../wal/window.ts';

export interface FileShape {
  readonly pgdata: string;
  readonly blockSize: number;
  /** Blocks in a full segment. */
  readonly segmentBlocks: number;
  readonly window: RecoveryWindow;
}

/** Access methods of PostgreSQL itself: each writes the first page when it makes an index. */
const INDEXES: ReadonlySet<number> = new Set([403, 405, 783, 2742, 3580, 4000]);

export function startsWithPage({ kind, access, indexed }: LiveRelation): boolean {
  return kind === 'S' || (kind === 'i' && indexed !== null && INDEXES.has(access));
}

/**
 * Looks at the sizes of the files of a relation that existed when recovery's WAL began, and whose
 * size WAL does not change from outside. All its blocks of that moment were synced.
 *
 * @returns what is wrong, or `null`.
 */
export async function findBrokenFiles(
  shape: FileShape,
  relation: LiveRelation,
  path: string,
  files: RelationFiles | undefined,
): Promise<string | null> {
  const what = describe(relation);
  const segments = files?.forks.get(MAIN_FORK) ?? [];
  if (segments[0]?.segment !== 0) return `${path}, the file of ${what}, is missing`;
  const named = shape.window.named(relation.key, MAIN_FORK);
  if (startsWithPage(relation) && segments[0].size < shape.blockSize && named?.has(0) !== true) {
    return `${path}, the file of ${what}, is empty (${segments[0].size} bytes)`;
  }
  const gap = await findGap(shape, relation, segments);
  if (gap !== null) return `${gap}: it belongs to ${what}`;
  return await findCutPage(shape, relation, segments);
}

export function describe({ kind, name, oid }: LiveRelation): string {
  const word = kind === 'i' ? 'index' : kind === 'S' ? 'sequence' : 'table';
  return `${word} ${name} (${oid})`;
}

/**
 * A server ends a relation at the first segment that is not full. In a block device's copy a file
 * that grew after the checkpoint may be shorter than it was, so only a page behind the gap that
 * recovery does not make proves that the gap was filled.
 */
async function findGap(
  shape: FileShape,
  { key }: LiveRelation,
  segments: readonly SegmentFile[],
): Promise<string | null> {
  const { blockSize, segmentBlocks } = shape;
  const reached = Math.floor(blocksOf(segments, blockSize, segmentBlocks) / segmentBlocks);
  for (const one of segments.filter(({ segment }) => segment > reached)) {
    const block = await oldPage(shape, key, one);
    if (block === null) continue;
    const short = segments.find(({ segment }) => segment === reached);
    const base = segments[0]?.path ?? '';
    const name = reached === 0 ? base : `${base}.${reached}`;
    const why =
      short === undefined
        ? 'is missing'
        : `has ${short.size} bytes, less than a segment of ${segmentBlocks * blockSize}`;
    return `${name} ${why}, but ${one.path} has pages from before the freeze`;
  }
  return null;
}

const SAMPLE_BYTES = 1 << 20;

/** A page at the beginning or the end of a segment that recovery does not make. */
async function oldPage(
  { pgdata, blockSize, segmentBlocks, window }: FileShape,
  key: string,
  { path, segment, size }: SegmentFile,
): Promise<number | null> {
  const named = window.named(key, MAIN_FORK);
  const pages = Math.floor(size / blockSize);
  const file = await openRegular(join(pgdata, path));
  try {
    const buffer = Buffer.alloc(SAMPLE_BYTES);
    const last = Math.max(0, pages - SAMPLE_BYTES / blockSize);
    for (const start of last === 0 ? [0] : [0, last]) {
      const { bytesRead } = await file.read(buffer, 0, buffer.length, start * blockSize);
      for (let at = 0; at + blockSize <= bytesRead; at += blockSize) {
        const block = segment * segmentBlocks + start + at / blockSize;
        if (!isNew(buffer, at) && named?.has(block) !== true) return block;
      }
    }
    return null;
  } finally {
    await file.close();
  }
}

/**
 * A file that ends within a page. A server adds whole pages, and zeros first, so the beginning of a
 * page with content was once followed by its end.
 */
async function findCutPage(
  { pgdata, blockSize, segmentBlocks, window }: FileShape,
  relation: LiveRelation,
  segments: readonly SegmentFile[],
): Promise<string | null> {
  for (const { path, segment, size } of segments) {
    const rest = size % blockSize;
    const block = segment * segmentBlocks + Math.floor(size / blockSize);
    if (rest < 8 || window.named(relation.key, MAIN_FORK)?.has(block) === true) continue;
    const file = await openRegular(join(pgdata, path));
    try {
      const head = Buffer.alloc(8);
      await file.read(head, 0, head.length, size - rest);
      if (pageLsn(head, 0) < FIRST_LSN) continue;
      return `${path} ends within block ${block}, of which ${rest} of ${blockSize} bytes are left: it belongs to ${describe(relation)}`;
    } finally {
      await file.close();
    }
  }
  return null;
}
