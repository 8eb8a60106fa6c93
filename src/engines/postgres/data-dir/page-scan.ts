import type { FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import { openRegular } from '../../../lib/regular-file.ts';
import type { RelationKey } from '../wal/block-refs.ts';
import { BlockSet } from './block-set.ts';
import { MAIN_FORK, type RelationFiles, VM_FORK } from './relation-files.ts';

/** A segment of a relation's fork. */
export interface ScanFile {
  readonly relation: RelationKey;
  readonly fork: number;
  /** Relative to PGDATA. */
  readonly path: string;
  /** The number in the fork of its first block. */
  readonly firstBlock: number;
  readonly pages: number;
}

/** A page in the buffer it was read into. Valid only while the visitor runs. */
export interface ScannedPage {
  readonly file: ScanFile;
  /** Its number in the fork. */
  readonly block: number;
  readonly bytes: Buffer;
  /** The same memory as `bytes`. */
  readonly words: Int32Array;
  /** Offset of the page in `bytes`. */
  readonly at: number;
}

type Blocks = (
  relation: RelationKey,
  fork: number,
) => { between(start: number, end: number): Iterable<number> } | undefined;

export interface ScanRequest {
  /** Bytes, `BLCKSZ`. */
  readonly blockSize: number;
  /** Milliseconds; `null` for as long as it takes. */
  readonly limitMs: number | null;
  /** Blocks to look at before all others, whatever the limit. */
  readonly required?: Blocks | undefined;
  /** Blocks to look at first. */
  readonly named: Blocks;
  readonly visit: (page: ScannedPage) => void;
  readonly onProgress?: ((looked: number, total: number) => void) | undefined;
}

export interface ScanResult {
  readonly looked: number;
  readonly total: number;
}

const CHUNK = 1 << 20;

/**
 * Main forks and visibility maps, without unlogged relations, whose pages carry no real positions.
 * Free space maps are not WAL-logged.
 */
export function filesToScan(
  relations: Iterable<RelationFiles>,
  blockSize: number,
  segmentBlocks: number,
): ScanFile[] {
  const files: ScanFile[] = [];
  for (const { key, forks, unlogged } of relations) {
    if (unlogged) continue;
    for (const fork of [MAIN_FORK, VM_FORK]) {
      for (const { path, segment, size } of forks.get(fork) ?? []) {
        const pages = Math.floor(size / blockSize);
        const firstBlock = segment * segmentBlocks;
        if (pages > 0) files.push({ relation: key, fork, path, firstBlock, pages });
      }
    }
  }
  return files;
}

/**
 * Looks at pages until all are seen or the time is up: first at those that are required, however long
 * it takes, then at those that WAL names, at the first and last megabyte of every file, and at the
 * rest. Nothing that the copy says about times has a part in it.
 */
export async function scanPages(
  pgdata: string,
  files: readonly ScanFile[],
  request: ScanRequest,
  signal: AbortSignal,
): Promise<ScanResult> {
  const scan = new Scan(pgdata, files, request, signal);
  const { required = () => undefined, named, limitMs } = request;
  const until = limitMs === null ? Infinity : performance.now() + limitMs;
  const plans: [Plan, number][] = [
    [runsOf(required), Infinity],
    [runsOf(named), until],
    [ends, until],
    [everything, until],
  ];
  for (const [plan, end] of plans) {
    for (const file of files) {
      if (!(await scan.look(file, plan, end))) return scan.result;
    }
  }
  return scan.result;
}

/** Pages from `start` to before `end`, counted in the file. */
type Run = readonly [start: number, end: number];
type Plan = (file: ScanFile, request: ScanRequest) => Iterable<Run>;

/** Reading a few pages more is cheaper than another read. */
const LARGEST_GAP = 8;

function runsOf(blocks: Blocks): Plan {
  return function* ({ relation, fork, firstBlock, pages }, { blockSize }) {
    const longest = CHUNK / blockSize;
    let run: [number, number] | undefined;
    for (const block of blocks(relation, fork)?.between(firstBlock, firstBlock + pages) ?? []) {
      const page = block - firstBlock;
      if (run !== undefined && page < run[1] + LARGEST_GAP && page < run[0] + longest) {
        run[1] = page + 1;
        continue;
      }
      if (run !== undefined) yield run;
      run = [page, page + 1];
    }
    if (run !== undefined) yield run;
  };
}

function* ends({ pages }: ScanFile, { blockSize }: ScanRequest): Generator<Run> {
  const chunk = CHUNK / blockSize;
  yield [0, Math.min(chunk, pages)];
  if (pages > chunk) yield [Math.max(chunk, pages - chunk), pages];
}

function* everything({ pages }: ScanFile, { blockSize }: ScanRequest): Generator<Run> {
  const chunk = CHUNK / blockSize;
  for (let start = 0; start < pages; start += chunk) yield [start, Math.min(start + chunk, pages)];
}

class Scan {
  readonly #pgdata: string;
  readonly #request: ScanRequest;
  readonly #signal: AbortSignal;
  /** Of files that were looked at in part. */
  readonly #seen = new Map<ScanFile, BlockSet>();
  readonly #done = new Set<ScanFile>();
  readonly #bytes: Buffer;
  readonly #words: Int32Array;
  readonly #total: number;
  #looked = 0;

  constructor(
    pgdata: string,
    files: readonly ScanFile[],
    request: ScanRequest,
    signal: AbortSignal,
  ) {
    this.#pgdata = pgdata;
    this.#request = request;
    this.#signal = signal;
    const memory = new ArrayBuffer(Math.max(CHUNK, request.blockSize));
    this.#bytes = Buffer.from(memory);
    this.#words = new Int32Array(memory);
    this.#total = files.reduce((sum, { pages }) => sum + pages, 0);
  }

  get result(): ScanResult {
    return { looked: this.#looked, total: this.#total };
  }

  /** @returns false where the time is up. */
  async look(file: ScanFile, plan: Plan, until: number): Promise<boolean> {
    if (this.#done.has(file)) return true;
    const seen = this.#seen.get(file) ?? new BlockSet();
    let handle: FileHandle | undefined;
    try {
      for (const [start, end] of plan(file, this.#request)) {
        this.#signal.throwIfAborted();
        if (performance.now() >= until) return false;
        if (seen.hasAll(start, end)) continue;
        handle ??= await openRegular(join(this.#pgdata, file.path));
        await this.#read(file, handle, start, end, seen);
      }
      return true;
    } finally {
      await handle?.close();
      this.#keep(file, seen);
    }
  }

  #keep(file: ScanFile, seen: BlockSet): void {
    if (seen.size < file.pages) {
      if (seen.size > 0) this.#seen.set(file, seen);
      return;
    }
    this.#seen.delete(file);
    this.#done.add(file);
  }

  async #read(
    file: ScanFile,
    handle: FileHandle,
    start: number,
    end: number,
    seen: BlockSet,
  ): Promise<void> {
    const { blockSize, visit, onProgress } = this.#request;
    const length = (end - start) * blockSize;
    const { bytesRead } = await handle.read(this.#bytes, 0, length, start * blockSize);
    for (let at = 0, page = start; at + blockSize <= bytesRead; at += blockSize, page += 1) {
      if (!seen.add(page)) continue;
      this.#looked += 1;
      visit({ file, block: file.firstBlock + page, bytes: this.#bytes, words: this.#words, at });
    }
    onProgress?.(this.#looked, this.#total);
  }
}
