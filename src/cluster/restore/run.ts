import { QuiesceError, toQuiesceError } from '../../errors.ts';
import { formatDuration } from '../../lib/duration.ts';
import type { ObjectApi } from '../api/objects.ts';
import { type LeaseTimes, look } from '../run/lease-object.ts';
import { leaseName, RunLease } from '../run/lease.ts';
import type { RestoreProblem, RestoreRun } from './document.ts';
import { claimsIn, restoreRun, type RunFacts, type SoFar } from './documents.ts';
import { goOn } from './go-on.ts';
import { ensureNamespace, unmarkNamespace } from './namespaces.ts';
import { recordRecovery } from './record.ts';
import { type StagedOptions, type StagedParts, StagedRun, type StagedTarget } from './staged.ts';
import { namespacesIn } from './stages-of.ts';
import { verdictOf, type WalkRules } from './walk.ts';

export interface RestoreOptions {
  readonly rules: WalkRules;
  /** For the whole run. */
  readonly timeoutMs: number;
  readonly lookEveryMs?: number;
  readonly leaseTimes?: LeaseTimes;
  progress(sentence: string): void;
  say(sentence: string): void;
}

/** What a run starts from: nothing, or the record of one that was stopped. */
export interface RestoreStart {
  readonly id: string;
  /** Namespaces of the source → namespaces of the target. */
  readonly namespaces: ReadonlyMap<string, string>;
  /** What is known from before it was stopped. */
  readonly before?: RestoreRun;
}

const LOOK_EVERY_MS = 1_000;
/** Longer than for a snapshot: a restore must outlive a short loss of the API server. */
export const RESTORE_LEASE: LeaseTimes = {
  durationMs: 60_000,
  renewEveryMs: 5_000,
  lookEveryMs: 1_000,
};

/**
 * One staged restore, or the rest of one. What it has done is on record at each step.
 *
 * @param signal the user's interruption
 * @throws QuiesceError if it was stopped; the hint says how to go on
 */
export async function runRestore(
  parts: StagedParts,
  start: RestoreStart,
  options: RestoreOptions,
  signal: AbortSignal,
): Promise<RestoreRun> {
  const stop = new AbortController();
  const end = stopWith(stop, options.timeoutMs, signal, start.id);
  try {
    return await new Restore(parts, start, options, stop).play();
  } finally {
    end();
  }
}

class Restore {
  readonly #parts: StagedParts;
  readonly #start: RestoreStart;
  readonly #options: RestoreOptions;
  readonly #stop: AbortController;
  readonly #facts: RunFacts;
  readonly #home: string;
  readonly #staged: StagedRun;

  constructor(
    parts: StagedParts,
    start: RestoreStart,
    options: RestoreOptions,
    stop: AbortController,
  ) {
    this.#parts = parts;
    this.#start = start;
    this.#options = options;
    this.#stop = stop;
    const { id, namespaces, before } = start;
    const { about } = parts.source;
    const source = { ...about, namespaces: Object.fromEntries(namespaces) };
    const startedAt = before?.startedAt ?? new Date().toISOString();
    this.#facts = { id, source, startedAt };
    this.#home = homeOf(namespaces);
    this.#staged = new StagedRun(parts, this.#target(), this.#stagedOptions());
  }

  async play(): Promise<RestoreRun> {
    const { api, source } = this.#parts;
    const { id, namespaces } = this.#start;
    const { signal } = this.#stop;
    const like = namespacesIn(source.objects ?? []);
    for (const [from, to] of namespaces) await ensureNamespace(api, to, like.get(from));
    this.#options.progress('waiting for the Lease of the application');
    const lease = await takeLease(api, this.#leasePlace(), id, signal, this.#options.leaseTimes);
    const lost = (): void => this.#stop.abort(lease.lost.reason);
    lease.lost.addEventListener('abort', lost);
    try {
      await this.#record(this.#staged.so);
      await this.#begin();
      return await this.#ended(await this.#staged.play(signal));
    } catch (error) {
      const why = signal.aborted ? signal.reason : error;
      throw await this.#stopped(why);
    } finally {
      lease.lost.removeEventListener('abort', lost);
      await lease.release();
    }
  }

  /** If nothing would be held back, nothing was restored: the marks go away again. */
  async #begin(): Promise<void> {
    const { id, namespaces } = this.#start;
    try {
      await this.#staged.begin(this.#stop.signal);
    } catch (error) {
      const nothing = error instanceof QuiesceError && error.code === 'RESTORE_NOT_GATED';
      if (nothing && this.#start.before === undefined) {
        for (const name of namespaces.values()) await unmarkNamespace(this.#parts.api, name, id);
        const problems = [problemOf(error)];
        const so = { ...this.#staged.so, problems };
        await this.#write(restoreRun(this.#facts, so, { verdict: 'failed' }));
      }
      throw error;
    }
  }

  async #ended(so: SoFar): Promise<RestoreRun> {
    const verdict = verdictOf(so.walk, so.problems);
    const claims = await claimsIn(this.#parts.api, [...this.#start.namespaces.values()]);
    const run = restoreRun(this.#facts, so, { verdict, claims });
    await this.#write(run);
    return run;
  }

  /** The record stays `pending`, with the reason: the run can go on. */
  async #stopped(thrown: unknown): Promise<QuiesceError> {
    const error = toQuiesceError(thrown);
    if (error.code === 'RESTORE_NOT_GATED') return error;
    const so = this.#staged.so;
    await this.#record({ ...so, problems: [...so.problems, problemOf(error)] }).catch(
      () => undefined,
    );
    const { code, message, details } = error;
    const own = code === 'RUN_INTERRUPTED' ? '' : ` ${error.hint}`;
    const hint = `${goOn(this.#start.id)}${own}`;
    return new QuiesceError(code, message, { hint, details, cause: thrown });
  }

  async #record(so: SoFar): Promise<void> {
    await this.#write(restoreRun(this.#facts, so));
  }

  async #write(run: RestoreRun): Promise<void> {
    await recordRecovery(this.#parts.api, this.#home, run);
  }

  #target(): StagedTarget {
    const { id, namespaces, before } = this.#start;
    const place = this.#leasePlace();
    const lease = `${place.namespace}/${leaseName(place.group)}`;
    if (before === undefined) return { id, namespaces, lease };
    const released = before.layers.flatMap(({ startedAt }, index) =>
      startedAt === undefined ? [] : [index],
    );
    const timelines = new Map(
      before.members.map((one) => [`${one.namespace}/${one.kind}/${one.name}`, one.timeline]),
    );
    const times = before.layers.map(({ members: _, ...time }) => time);
    return { id, namespaces, lease, released: new Set(released), times, timelines };
  }

  #leasePlace() {
    return { namespace: this.#home, group: this.#parts.source.plan.group };
  }

  #stagedOptions(): StagedOptions {
    const { rules, lookEveryMs = LOOK_EVERY_MS, progress, say } = this.#options;
    const begun = performance.now();
    // What went by before it was stopped is known only by the clock of the day.
    const before =
      this.#start.before === undefined
        ? 0
        : Math.max(0, Date.now() - Date.parse(this.#start.before.startedAt));
    return {
      rules,
      lookEveryMs,
      progress,
      say,
      sinceStart: () => Math.round(before + performance.now() - begun),
      changed: (so) => this.#record(so),
    };
  }
}

/** The namespace of Lease and record. */
export function homeOf(namespaces: ReadonlyMap<string, string>): string {
  return [...namespaces.values()].toSorted()[0] ?? 'default';
}

export function problemOf(error: QuiesceError): RestoreProblem {
  const { code, message, hint } = error;
  return { code, message, ...(hint !== '' && { hint }) };
}

/** Longer than a living run takes between two renewals. */
const WATCH_MS = 13_000;

/**
 * A Lease of the same run may be held by a process that still lives: it is watched before it is taken over.
 *
 * @throws QuiesceError RUN_UNDER_WAY
 */
export async function takeLease(
  api: ObjectApi,
  place: { readonly namespace: string; readonly group: string },
  id: string,
  signal: AbortSignal,
  times: LeaseTimes = RESTORE_LEASE,
): Promise<RunLease> {
  const where = { ...place, name: leaseName(place.group), holder: id };
  const first = await look(api, where);
  if (first?.holder === id) {
    const until = performance.now() + Math.min(WATCH_MS, times.renewEveryMs * 2.6);
    while (performance.now() < until) {
      await new Promise((resolve) => setTimeout(resolve, times.lookEveryMs));
      signal.throwIfAborted();
      const now = await look(api, where);
      if (now?.holder !== id || now.version === first.version) continue;
      const hint = 'Stop the other process first, or watch what it says.';
      throw new QuiesceError('RUN_UNDER_WAY', `The run ${id} is still under way.`, { hint });
    }
  }
  return await RunLease.take(api, place, id, signal, times);
}

/** Aborts for the first of: the user, the time. @returns what ends the watch */
function stopWith(
  stop: AbortController,
  timeoutMs: number,
  signal: AbortSignal,
  id: string,
): () => void {
  const interrupted = (): void =>
    stop.abort(
      new QuiesceError('RUN_INTERRUPTED', `A signal ended the run ${id}.`, {
        hint: 'Nothing was restored yet.',
      }),
    );
  if (signal.aborted) interrupted();
  signal.addEventListener('abort', interrupted);
  const late = setTimeout(() => {
    const text = `The run ${id} was not done within ${formatDuration(timeoutMs)}.`;
    stop.abort(new QuiesceError('RUN_TOO_LATE', text, { hint: 'Raise --timeout.' }));
  }, timeoutMs);
  return () => {
    clearTimeout(late);
    signal.removeEventListener('abort', interrupted);
  };
}
