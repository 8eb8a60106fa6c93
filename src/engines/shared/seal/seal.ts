import type { Breach, FreezeContext, OwnFiles } from '../../engine.ts';
import { withDeadline } from '../../../lib/deadline.ts';
import { SealFailures, notSynced } from './failures.ts';
import { Kept, type KeptFile, roomForDescriptors } from './kept.ts';
import { Known } from './known.ts';
import { Lanes } from './lanes.ts';
import { LIMITS } from './limits.ts';
import { Look, type LookTools } from './look.ts';
import { syncKept } from './sync-file.ts';
import { Unsynced } from './unsynced.ts';

/** Reason code of a freeze whose receipt lists files in `unsynced`. */
const REASON = 'files-not-synced';

/**
 * Makes durable, for one engine, the files on the data volume that the engine does not sync. A snapshot of
 * a block device holds no page cache: a line that was added to a configuration seconds before would come
 * back as NUL bytes, and the server would not start.
 *
 * What Linux promises: fsync(2) writes the dirty pages of a file whoever wrote them, through any
 * descriptor. An error of writing them back is reported once to each descriptor that was open at that time,
 * and to one opened later only if nobody has seen it yet (errseq_t; `fsync(2)`, "Errors"; since 4.16).
 * Descriptors from the first look therefore stay open until the thaw.
 *
 * Why not one syncfs: it is faster where there are many clean files (`bench/seal.ts`: 100,000 in
 * milliseconds instead of half a minute), but it also writes the pages of the database, names no file,
 * reports errors only since Linux 5.8, does not reach the server of a FUSE file system, and Node cannot
 * call it. A file that an earlier freeze has synced is not synced again until it changes.
 */
export class Sealer {
  readonly #ownFiles: OwnFiles;
  readonly #dataDir: string;
  readonly #known = new Known();
  readonly #failures = new SealFailures();
  readonly #lanes = new Lanes();

  constructor(dataDir: string, ownFiles: OwnFiles) {
    this.#dataDir = dataDir;
    this.#ownFiles = ownFiles;
  }

  /** The seal of one freeze. `close` it at the end. */
  async begin(context: FreezeContext, signal: AbortSignal): Promise<Seal> {
    const { copy } = context;
    const tools = {
      walk: {
        root: this.#dataDir,
        ownFiles: this.#ownFiles,
        acrossVolumes: copy === 'volumes',
      },
      known: this.#known,
      failures: this.#failures,
      lanes: this.#lanes,
      kept: new Kept(await roomForDescriptors()),
      signal,
      progress: (files: number) =>
        context.progress(`syncing files outside of the database: ${files} looked at`),
    };
    return new Seal(tools, () => context.remainingMs?.() ?? Number.POSITIVE_INFINITY);
  }
}

export class Seal {
  readonly #tools: LookTools;
  readonly #remainingMs: () => number;
  #unsynced = new Unsynced();
  readonly #onAbort = (): void => this.close();

  constructor(tools: LookTools, remainingMs: () => number) {
    this.#tools = tools;
    this.#remainingMs = remainingMs;
    const { signal } = tools;
    if (signal.aborted) this.close();
    else signal.addEventListener('abort', this.#onAbort, { once: true });
  }

  /** From now on an abort of the freeze closes nothing: the hold is in place, and its release does. */
  outliveSignal(): void {
    this.#tools.signal.removeEventListener('abort', this.#onAbort);
  }

  /**
   * The long part, before the hold.
   *
   * @throws QuiesceError VOLUME_NOT_SYNCED
   */
  async first(): Promise<void> {
    const until = this.#until(LIMITS.firstMs);
    let look = await new Look(this.#tools, { ...until, recentFirst: true }).run();
    if (look.left > 0) look = await new Look(this.#tools, { ...until, recentFirst: false }).run();
    this.#unsynced = look.unsynced;
  }

  /**
   * The short part: what is new or has changed since. Files that changed within the last seconds are synced
   * again, because a clock that ticks slowly may hide another change.
   *
   * @throws QuiesceError VOLUME_NOT_SYNCED
   */
  async again(): Promise<void> {
    const until = this.#until(LIMITS.againMs);
    const look = await new Look(this.#tools, { ...until, recentFirst: false }).run();
    // A listing that did not end does not show that what the first one named has been synced.
    if (!look.complete) look.unsynced.addNamed(this.#unsynced);
    this.#unsynced = look.unsynced;
  }

  #until(ms: number): { syncUntil: number; listUntil: number } {
    const share = Math.max(0, this.#remainingMs() * LIMITS.share);
    const syncUntil = performance.now() + Math.min(ms, share);
    return { syncUntil, listUntil: syncUntil + Math.min(LIMITS.listMs, share) };
  }

  get unsynced(): readonly string[] {
    return this.#unsynced.list;
  }

  /** What limits the promise of the freeze. */
  get limits(): readonly Breach[] {
    return this.#unsynced.none ? [] : [{ code: REASON, note: this.#unsynced.note }];
  }

  /**
   * Syncs the kept files again: an error since then means that a write to one of them was lost. Bounded in
   * time; a call that hangs here proves nothing against the copy, whose files were on the disk before.
   */
  async check(): Promise<readonly Breach[]> {
    const found: Breach[] = [];
    const { kept, lanes } = this.#tools;
    const files = kept.files.values();
    const until = performance.now() + LIMITS.checkMs;
    const work = async (): Promise<void> => {
      for (const file of files) {
        if (performance.now() > until) return;
        const breach = await lanes.on(file.name, () => checkFile(file));
        if (breach) found.push(breach);
      }
    };
    const working = Promise.all(Array.from({ length: lanes.free }, () => lanes.run(work)));
    await withDeadline(LIMITS.checkMs, working).catch(() => undefined);
    return found.slice(0, 1);
  }

  close(): void {
    this.outliveSignal();
    this.#tools.kept.close();
  }
}

async function checkFile({ fd, name }: KeptFile): Promise<Breach | undefined> {
  const outcome = await syncKept(fd);
  if (outcome.type !== 'failed') return undefined;
  return { code: 'write-failed', note: notSynced(name, outcome.error).message };
}
