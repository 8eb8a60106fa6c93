import type { ControlFile } from '../../data-dir/control-file.ts';
import { filesToScan, type ScanResult, scanPages } from '../../data-dir/page-scan.ts';
import {
  blocksOf,
  listRelations,
  MAIN_FORK,
  type RelationFiles,
} from '../../data-dir/relation-files.ts';
import { TransactionStatus } from '../../data-dir/slru.ts';
import { findBrokenStateFile } from '../../data-dir/state-files.ts';
import type { RelationKey } from '../../wal/block-refs.ts';
import { formatLsn } from '../../lsn.ts';
import { printLsn } from '../../wal/segments.ts';
import type { RecoveryWindow } from '../../wal/window.ts';
import type { Written } from '../../wal/written.ts';
import { incomplete } from '../errors.ts';
import { BehindPages } from './behind.ts';
import { findBehindState } from './behind-state.ts';
import { findContradiction } from './contradictions.ts';
import type { FileShape } from './files.ts';
import { PageJudge } from './judge.ts';
import { type KnownRelations, readCatalogs } from './known.ts';
import { findBrokenLog, oldestKept } from './logs.ts';

export interface Inspection {
  readonly pages: ScanResult;
  /** Pages without content that recovery does not fill, of those looked at. */
  readonly zeroPages: number;
}

export interface InspectRequest {
  readonly pgdata: string;
  readonly major: number;
  readonly control: ControlFile;
  readonly window: RecoveryWindow;
  readonly written: Written;
  /** The end of valid WAL in the copy, and why it ends there. */
  readonly walEnd: number;
  readonly walEnded: string;
  /** For pages, in milliseconds; `null` for as long as it takes. */
  readonly limitMs: number | null;
  readonly onProgress?: ((looked: number, total: number) => void) | undefined;
}

/**
 * Looks for damage inside the copy: what its files say that cannot all be true, given what recovery
 * is going to change. Every check accepts whatever a crash may leave.
 *
 * @throws QuiesceError RESTORE_INCOMPLETE
 */
export async function inspectCopy(
  request: InspectRequest,
  signal: AbortSignal,
): Promise<Inspection> {
  const { pgdata, major, control, window, written } = request;
  const { blockSize, relationSegmentBlocks: segmentBlocks } = control;
  const shape: FileShape = { pgdata, blockSize, segmentBlocks, window };
  const files = await listRelations(pgdata, major);
  const status = new TransactionStatus(pgdata, blockSize);
  const wrong =
    (await findBrokenStateFile(pgdata, (xid) => window.wasPrepared(xid))) ??
    (await findBrokenLog(pgdata, control, window, status));
  const { relations, certain, broken } = await readCatalogs(
    { pgdata, major, blockSize, files, status },
    shape,
    signal,
  );
  const known = { files, relations, certain, blockSize, segmentBlocks };
  const behind = new BehindPages(written.pages, known);
  const oldestXid = oldestKept(control, window);
  const { dataChecksums: checksums, nextXid } = control;
  const facts = { ...request, behind, blockSize, relations, certain, status };
  const judge = new PageJudge({ ...facts, checksums, oldestXid, nextXid });
  const { limitMs, onProgress } = request;
  const named = window.named.bind(window);
  const required = behind.required.bind(behind);
  const scan = { blockSize, limitMs, required, named, onProgress, visit: judge.visit.bind(judge) };
  const toScan = filesToScan(files.values(), blockSize, segmentBlocks);
  const pages = await scanPages(pgdata, toScan, scan, signal);
  refuseAhead(judge, request);
  const source = { pgdata, major, control, status, oldestXid };
  refuseBehind(behind.find() ?? (await findBehindState(source, written)), control);
  refuse(wrong ?? broken ?? findShort(shape, files, relations) ?? judge.damage);
  for (const [key, relation] of relations) {
    const found = files.get(key);
    if (found !== undefined) refuse(await findContradiction(shape, relation, found, judge));
  }
  return { pages, zeroPages: judge.zeroPages };
}

/** Such a page says best what happened to the copy, so it comes before all other damage. */
function refuseAhead({ worst, pagesAhead }: PageJudge, { walEnd, walEnded }: InspectRequest): void {
  if (worst === null) return;
  throw incomplete(
    `${pagesAhead} pages are ahead of WAL, the furthest is ${worst.file} block ${worst.block} at ${printLsn(worst.lsn)}, while WAL ends at ${printLsn(walEnd)}: ${walEnded}.`,
    'WAL is missing or the files were copied at different moments: use another backup.',
  );
}

function refuseBehind(what: string | null, { redoLsn }: ControlFile): void {
  if (what === null) return;
  throw incomplete(
    `The copy is behind the checkpoint in pg_control, which began at ${formatLsn(redoLsn)}: ${what}. The files were copied at different moments.`,
    'Recovery would begin at that checkpoint and not see what is missing: use another backup, and a driver whose snapshots are atomic.',
  );
}

function refuse(damage: string | null): void {
  if (damage === null) return;
  throw incomplete(
    `The copy is damaged: ${damage}.`,
    'A server would start on it and lose or misread rows, or stop later: use another backup.',
  );
}

/** A file that is shorter than the WAL needs it: recovery would fill the rest with zeros, or stop. */
function findShort(
  { window, blockSize, segmentBlocks }: FileShape,
  files: ReadonlyMap<RelationKey, RelationFiles>,
  relations: KnownRelations,
): string | null {
  for (const key of window.relations) {
    const needed = window.needed(key);
    const segments = files.get(key)?.forks.get(MAIN_FORK);
    const blocks = blocksOf(segments, blockSize, segmentBlocks);
    if (needed <= blocks) continue;
    // The files of a transaction that was rolled back go before the record of it is on disk.
    const gone = blocks === 0 && !relations.has(key);
    if (gone || files.get(key)?.unlogged === true) continue;
    const path = segments?.[0]?.path ?? `The main file of relation ${key}`;
    return `${path} has ${blocks} blocks, but WAL changes block ${needed - 1}, which was in the file before`;
  }
  return null;
}
