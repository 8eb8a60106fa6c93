import { type Groups, type SeriesLabels, UNKNOWN_DRIVER } from './labels.ts';
import type { SnapshotView } from './snapshot-view.ts';

/** What is counted. */
export interface SnapshotCounts {
  /** A series exists from now on, so that its first increase is seen. */
  known(labels: SeriesLabels): void;
  attempted(labels: SeriesLabels): void;
  failed(labels: SeriesLabels): void;
  ready(labels: SeriesLabels, seconds: number): void;
}

export interface LedgerOptions {
  readonly counts: SnapshotCounts;
  readonly groups: Groups;
  /** The driver of a snapshot; `undefined`: not known yet. */
  readonly driverOf: (view: SnapshotView) => string | undefined;
  /** A snapshot that has an error, or is not cut, for so long has failed. */
  readonly failedAfterMs: number;
}

/** How an object was seen: in the first list, in a later one, or as it changed. */
export type Seen = 'first-list' | 'list' | 'watch';

/** For so long an outcome waits for the name of its driver. */
const DRIVER_WITHIN_MS = 30_000;

interface Entry {
  view: SnapshotView;
  readonly seenAt: number;
  /** It was seen as it was created, so the time until it is ready can be told. */
  readonly fromCreation: boolean;
  /** Not yet counted as an attempt. */
  attempt: boolean;
  errorSince: number | undefined;
  labels: SeriesLabels | undefined;
  outcome: 'failed' | { readonly readyAfterMs: number | undefined } | undefined;
  /** Attempt and outcome are counted. */
  done: boolean;
  gone: boolean;
}

/**
 * Counts each snapshot once as attempted, and once as failed or ready. Pure: every call gets the time, of
 * a monotonic clock. What the first list holds is older than this process, so it is no attempt, and its
 * outcome counts only if it has none yet.
 */
export class SnapshotLedger {
  readonly #options: LedgerOptions;
  readonly #entries = new Map<string, Entry>();
  #unlisted = new Set<string>();

  constructor(options: LedgerOptions) {
    this.#options = options;
  }

  /** Snapshots that are remembered: those that exist. */
  get size(): number {
    return this.#entries.size;
  }

  listing(): void {
    this.#unlisted = new Set(this.#entries.keys());
  }

  see(view: SnapshotView, now: number, how: Seen): void {
    this.#unlisted.delete(view.uid);
    const entry = this.#entries.get(view.uid) ?? newEntry(view, now, how);
    this.#entries.set(view.uid, entry);
    entry.view = view;
    this.#judge(entry, now);
  }

  /**
   * Forgets what the list lacks.
   *
   * @returns how many ended unseen, with an outcome that nobody knows
   */
  listedAll(now: number): number {
    let lost = 0;
    for (const uid of this.#unlisted) {
      const entry = this.#entries.get(uid);
      if (entry === undefined) continue;
      entry.gone = true;
      if (entry.outcome === undefined && !entry.done) lost += 1;
      entry.outcome ??= { readyAfterMs: undefined };
      this.#count(entry, now);
    }
    this.#unlisted.clear();
    return lost;
  }

  /** It was deleted, as the watch has seen. */
  gone(view: SnapshotView, now: number): void {
    this.see(view, now, 'watch');
    const entry = this.#entries.get(view.uid);
    if (entry === undefined) return;
    entry.gone = true;
    entry.outcome ??= 'failed';
    this.#count(entry, now);
  }

  /** Time has passed. */
  tick(now: number): void {
    for (const entry of this.#entries.values()) this.#judge(entry, now);
  }

  forget(namespace: string): void {
    for (const [uid, { view }] of this.#entries) {
      if (view.namespace === namespace) this.#entries.delete(uid);
    }
  }

  #judge(entry: Entry, now: number): void {
    if (entry.done) return;
    const { view } = entry;
    if (view.error === undefined) entry.errorSince = undefined;
    else entry.errorSince ??= now;
    entry.outcome ??= this.#outcomeOf(entry, now);
    this.#count(entry, now);
  }

  #outcomeOf({ view, seenAt, fromCreation, errorSince }: Entry, now: number): Entry['outcome'] {
    if (view.ready) return { readyAfterMs: fromCreation ? now - seenAt : undefined };
    // The controller tries again after any error, and succeeds after most: only this one is final.
    if (view.error?.includes('InvalidArgument') === true) return 'failed';
    const { failedAfterMs } = this.#options;
    const late = (since: number | undefined): boolean =>
      since !== undefined && now - since >= failedAfterMs;
    return late(errorSince) || (!view.cut && late(seenAt)) ? 'failed' : undefined;
  }

  #count(entry: Entry, now: number): void {
    const labels = entry.done ? undefined : this.#labelsOf(entry, now);
    if (labels !== undefined) {
      const { counts } = this.#options;
      counts.known(labels);
      if (entry.attempt) counts.attempted(labels);
      entry.attempt = false;
      const { outcome } = entry;
      if (outcome === 'failed') counts.failed(labels);
      else if (outcome?.readyAfterMs !== undefined) {
        counts.ready(labels, outcome.readyAfterMs / 1_000);
      }
      entry.done = outcome !== undefined;
    }
    if (entry.gone && entry.done) this.#entries.delete(entry.view.uid);
  }

  /** Once told, they stay: a failure belongs to the series of its attempt. */
  #labelsOf(entry: Entry, now: number): SeriesLabels | undefined {
    if (entry.labels !== undefined) return entry.labels;
    const { driverOf, groups } = this.#options;
    const { view, seenAt } = entry;
    const late = now - seenAt >= DRIVER_WITHIN_MS;
    const driver = driverOf(view) ?? (late ? UNKNOWN_DRIVER : undefined);
    if (driver === undefined) return undefined;
    const { namespace } = view;
    entry.labels = { namespace, group: groups.admit(namespace, view.group), driver };
    return entry.labels;
  }
}

function newEntry(view: SnapshotView, now: number, how: Seen): Entry {
  const old = how === 'first-list';
  return {
    view,
    seenAt: now,
    fromCreation: how === 'watch',
    attempt: !old,
    errorSince: undefined,
    labels: undefined,
    outcome: undefined,
    // What an earlier process may have counted is not counted again.
    done: old && (view.ready || view.error !== undefined),
    gone: false,
  };
}
