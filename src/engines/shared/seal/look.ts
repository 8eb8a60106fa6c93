import type { Stats } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { isErrno } from '../../../lib/durable-files.ts';
import { unlessAborted } from '../../../lib/deadline.ts';
import type { SealFailures } from './failures.ts';
import type { Kept } from './kept.ts';
import { hashOf, type Known } from './known.ts';
import type { Lanes } from './lanes.ts';
import { LIMITS } from './limits.ts';
import { isDiskError, type Outcome, syncFile, syncKept } from './sync-file.ts';
import { Unsynced } from './unsynced.ts';
import { type Found, type Hidden, type Place, Walk, type WalkOptions } from './walk.ts';

const GRACE_MS = 100;
const LOOK_EVERY_MS = 10;

/** What one look after another knows, and what it uses. */
export interface LookTools {
  readonly walk: WalkOptions;
  readonly known: Known;
  readonly failures: SealFailures;
  readonly lanes: Lanes;
  readonly kept: Kept;
  readonly signal: AbortSignal;
  /** Reports how many files were looked at. */
  progress(files: number): void;
}

export interface LookOptions {
  /** Until then files are synced, on the clock of `performance.now()`; afterwards they are only named. */
  readonly syncUntil: number;
  /** Until then. */
  readonly listUntil: number;
  /** In a large volume leaves files for the next look that did not change lately. */
  readonly recentFirst: boolean;
}

/**
 * One look at the volume: syncs every file that is not known to be on the disk.
 *
 * @throws QuiesceError VOLUME_NOT_SYNCED where data is known not to be on the disk
 */
export class Look {
  /** What this look could not sync. */
  readonly unsynced = new Unsynced();
  /** Files that were left for the next look. */
  left = 0;
  /** The listing reached its end. */
  complete = false;
  readonly #tools: LookTools;
  readonly #options: LookOptions;
  readonly #walk: Walk;
  readonly #places: AsyncGenerator<Place | Hidden>;
  /** Files whose earlier fsync has not returned. */
  readonly #behind = new Set<Place>();
  #count = 0;
  #stopped = false;

  constructor(tools: LookTools, options: LookOptions) {
    this.#tools = tools;
    this.#options = options;
    this.#walk = new Walk(tools.walk);
    this.#places = this.#walk.places();
  }

  async run(): Promise<this> {
    const { lanes, signal } = this.#tools;
    const free = lanes.free;
    if (free === 0) this.unsynced.addRest('an earlier fsync on this volume has not returned');
    const working = Promise.all(Array.from({ length: free }, () => lanes.run(() => this.#work())));
    let timer: NodeJS.Timeout | undefined;
    const over = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, Math.max(0, this.#options.listUntil - performance.now()));
    });
    try {
      await unlessAborted(Promise.race([working, over]), signal);
      this.#stopped = true;
      // Calls that do not hang end now, and free their lanes for the next look.
      await unlessAborted(
        Promise.race([working, sleep(GRACE_MS, undefined, { ref: false })]),
        signal,
      );
      if (!this.complete && free > 0) this.unsynced.addRest('the listing did not end in time');
      const behind = [...this.#behind].map(({ name }) => name);
      for (const name of [...lanes.busy, ...behind]) {
        this.unsynced.add(name, 'its fsync has not returned');
      }
      return this;
    } finally {
      clearTimeout(timer);
      this.#stopped = true;
      // Not awaited: a listing that hangs would hold it up.
      void this.#places.return(undefined).catch(() => undefined);
    }
  }

  /** One lane: takes one entry after the other. */
  async #work(): Promise<void> {
    while (!this.#stopped) {
      const { value, done } = await this.#places.next();
      if (done === true) {
        this.complete = true;
        return await this.#afterOthers();
      }
      if (this.#stopped) return;
      if (!value.folder) this.#count += 1;
      if (this.#count % 1_000 === 0) this.#tools.progress(this.#count);
      if (this.#count > LIMITS.files) {
        this.unsynced.addRest(`only the first ${LIMITS.files} were looked at`);
        this.#stopped = true;
        return;
      }
      await this.#one(value);
    }
  }

  /**
   * Syncs the files of which an fsync of an ended freeze was still running: that one may have begun before
   * the last change.
   */
  async #afterOthers(): Promise<void> {
    for (const place of this.#behind) {
      while (this.#tools.lanes.isBusy(place.name)) {
        if (this.#stopped || performance.now() > this.#options.syncUntil) return;
        await sleep(LOOK_EVERY_MS);
      }
      if (this.#behind.delete(place) && !this.#stopped) await this.#one(place);
    }
  }

  async #one(place: Place | Hidden): Promise<void> {
    const { known, lanes, failures } = this.#tools;
    if ('error' in place) return this.#hidden(place, place.error, undefined);
    if (lanes.isBusy(place.name)) return void this.#behind.add(place);
    let found: Found | undefined;
    try {
      found = await this.#walk.inspect(place);
    } catch (error) {
      return this.#hidden(place, error, undefined);
    }
    if (found === undefined) return;
    failures.require(found);
    if (known.has(found.info)) return;
    if (this.#options.recentFirst && !this.#isFirst(found.info)) {
      this.left += 1;
    } else if (performance.now() > this.#options.syncUntil) {
      this.unsynced.add(found.name, 'not reached in time');
    } else {
      this.#note(found, await lanes.on(found.name, () => this.#sync(found)));
    }
  }

  #isFirst({ ctimeMs }: Stats): boolean {
    return this.#count <= LIMITS.inAnyOrder || ctimeMs > Date.now() - LIMITS.recentMs;
  }

  async #sync({ path, folder, info, name }: Found): Promise<Outcome> {
    const { kept } = this.#tools;
    // The first descriptor, where there is one: it also reports errors that another process was told already.
    const before = kept.find(info);
    if (before) return await syncKept(before.fd);
    const outcome = await syncFile(path, folder);
    if (outcome.type === 'synced') kept.take(outcome.fd, name, outcome.info);
    return outcome;
  }

  #note(found: Found, outcome: Outcome): void {
    const { known, failures } = this.#tools;
    if (outcome.type === 'synced') known.add(outcome.info);
    if (outcome.type === 'not-synced') this.#hidden(found, outcome.error, found.info);
    if (outcome.type === 'failed') {
      const hash = outcome.info && hashOf(outcome.info);
      throw failures.add({ ...found, error: outcome.error, hash });
    }
  }

  #hidden(place: Place, error: unknown, info: Stats | undefined): void {
    if (isDiskError(error)) throw this.#tools.failures.add({ ...place, error, hash: undefined });
    const denied = isErrno(error, 'EACCES') || isErrno(error, 'EPERM');
    if (denied && isRootsOwn(info)) return;
    this.unsynced.add(place.name, error);
  }
}

/** A private file of root's: a server that does not run as root cannot need it. */
function isRootsOwn(info: Stats | undefined): boolean {
  return info !== undefined && info.uid === 0 && (info.mode & 0o077) === 0;
}
