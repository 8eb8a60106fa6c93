import type { RunVerdict } from './document.ts';

/** What retention needs to know of a run. */
export interface KeptRun {
  readonly id: string;
  /** Runs of one application: only among them does one make another superfluous. */
  readonly application: string;
  /** `pending`: it is under way, or its verb died. */
  readonly verdict: RunVerdict | 'pending';
  /** Milliseconds since the epoch, by a clock that is one for all runs. */
  readonly createdAt: number;
}

export interface Retention {
  /** So many runs of an application stay. */
  readonly keep?: number | undefined;
  /** Runs that are not older stay. */
  readonly keepForMs?: number | undefined;
  readonly now: number;
}

export interface Decision {
  readonly id: string;
  readonly goes: boolean;
  /** As words that follow the run: `is the last proven one`. */
  readonly why: string;
}

/**
 * Decides which runs go. A run stays if any of the given rules keeps it; without a rule all stay. The last
 * proven run of an application stays always, and so do its newest run, whose verdict alerts are about, and
 * a pending one. Among what `keep` counts, failed runs are the first to go.
 */
export function retain(runs: readonly KeptRun[], rules: Retention): readonly Decision[] {
  const decided = new Map<string, Decision>();
  for (const application of new Set(runs.map((one) => one.application))) {
    const own = runs
      .filter((one) => one.application === application)
      .toSorted((a, b) => b.createdAt - a.createdAt || (a.id < b.id ? 1 : -1));
    for (const one of retainIn(own, rules)) decided.set(one.id, one);
  }
  return runs.flatMap(({ id }) => decided.get(id) ?? []);
}

/** Newest first. */
function retainIn(runs: readonly KeptRun[], rules: Retention): readonly Decision[] {
  const { keep, keepForMs, now } = rules;
  const protectedFor = new Map<KeptRun, string>();
  const protect = (run: KeptRun | undefined, why: string): void => {
    if (run !== undefined && !protectedFor.has(run)) protectedFor.set(run, why);
  };
  protect(
    runs.find(({ verdict }) => verdict === 'proven'),
    'is the last proven one',
  );
  protect(runs[0], 'is the newest one');
  for (const run of runs) if (run.verdict === 'pending') protect(run, 'is not done');
  const counted = keep === undefined ? new Set<KeptRun>() : newestWithin(runs, protectedFor, keep);
  return runs.map((run) => {
    const stays = (why: string): Decision => ({ id: run.id, goes: false, why });
    const why = protectedFor.get(run);
    if (why !== undefined) return stays(why);
    if (keep === undefined && keepForMs === undefined) return stays('is kept: no rule was given');
    if (keep !== undefined && counted.has(run)) return stays(`is one of the ${keep} to keep`);
    if (keepForMs !== undefined && now - run.createdAt <= keepForMs)
      return stays('is not old enough');
    return {
      id: run.id,
      goes: true,
      why: run.verdict === 'failed' ? 'failed' : 'is no longer needed',
    };
  });
}

/** The protected ones, then the newest that did not fail, then the newest that did, up to `keep` in all. */
function newestWithin(
  runs: readonly KeptRun[],
  protectedFor: ReadonlyMap<KeptRun, string>,
  keep: number,
): ReadonlySet<KeptRun> {
  const rest = runs.filter((run) => !protectedFor.has(run));
  const ranked = [
    ...rest.filter(({ verdict }) => verdict !== 'failed'),
    ...rest.filter(({ verdict }) => verdict === 'failed'),
  ];
  return new Set(ranked.slice(0, Math.max(0, keep - protectedFor.size)));
}
