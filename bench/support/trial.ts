import { setTimeout as sleep } from 'node:timers/promises';
import type { LatencyLog, LatencyWindow, Span } from '../../src/testbed/latency.ts';
import { progress } from './program.ts';
import { Histogram } from './stats.ts';

/** One way to freeze a database and to thaw it. */
export interface Treatment {
  readonly name: string;
  freeze(): Promise<void>;
  thaw(): Promise<void>;
}

/** Writers that run until they are stopped, and log the latency of each commit. */
export interface MeasuredLoad {
  readonly latencies: LatencyLog;
  readonly errors: readonly string[];
  stop(): Promise<unknown>;
}

/** When one treatment was applied, on the clock of `performance.now()`. */
interface Trial {
  readonly treatment: string;
  readonly before: Span;
  /** From the call of the freeze to the end of the thaw. */
  readonly during: Span;
  readonly after: Span;
  readonly freezeMs: number;
  readonly thawMs: number;
}

const PAUSE_BETWEEN_MS = 700;
const WARM_UP_MS = 3_000;

export const WINDOWS = ['before', 'during', 'after'] as const;
export type WindowName = (typeof WINDOWS)[number];

/** Applies a treatment once, with an untreated window as long as the hold before and after it. */
async function tryOnce(treatment: Treatment, holdMs: number): Promise<Trial> {
  await sleep(PAUSE_BETWEEN_MS);
  const from = performance.now();
  await sleep(holdMs);
  const begun = performance.now();
  await treatment.freeze();
  const frozen = performance.now();
  await sleep(holdMs);
  const released = performance.now();
  await treatment.thaw();
  const thawed = performance.now();
  await sleep(holdMs);
  return {
    treatment: treatment.name,
    before: { from, to: begun },
    during: { from: begun, to: thawed },
    after: { from: thawed, to: performance.now() },
    freezeMs: frozen - begun,
    thawMs: thawed - released,
  };
}

interface MeasuredWindow {
  readonly latencies: Histogram;
  readonly summary: LatencyWindow;
}

export type MeasuredTrial = Readonly<Record<WindowName, MeasuredWindow>> & {
  readonly treatment: string;
  readonly freezeMs: number;
  readonly thawMs: number;
};

/**
 * Applies all treatments in turn. The order changes each round, so that no treatment always follows the
 * same other one. Summarizes only after the last trial: the load runs in this process.
 */
export async function runTrials(
  load: MeasuredLoad,
  treatments: readonly Treatment[],
  { rounds, holdMs }: { readonly rounds: number; readonly holdMs: number },
): Promise<MeasuredTrial[]> {
  await sleep(WARM_UP_MS);
  const trials: Trial[] = [];
  for (let round = 0; round < rounds; round += 1) {
    for (let i = 0; i < treatments.length; i += 1) {
      const treatment = treatments[(i + round) % treatments.length];
      if (treatment) trials.push(await tryOnce(treatment, holdMs));
    }
    progress(`  round ${round + 1}/${rounds}`);
  }
  await sleep(PAUSE_BETWEEN_MS);
  await load.stop();
  if (load.errors.length > 0) throw new Error(`a writer failed: ${load.errors[0]}`);
  const measure = ({ from, to }: Span): MeasuredWindow => ({
    latencies: Histogram.of(load.latencies.between(from, to)),
    summary: load.latencies.window(from, to),
  });
  return trials.map((trial) => ({
    ...trial,
    before: measure(trial.before),
    during: measure(trial.during),
    after: measure(trial.after),
  }));
}

/** The quantile `q` of a window over all rounds. */
export function quantileOf(
  trials: readonly MeasuredTrial[],
  window: WindowName,
  q: number,
): number {
  return Histogram.join(trials.map((trial) => trial[window].latencies)).quantile(q);
}

/** The largest value of all rounds. */
export function worst(
  trials: readonly MeasuredTrial[],
  window: WindowName,
  what: 'max' | 'longestGapMs',
): number {
  return Math.max(...trials.map((trial) => trial[window].summary[what]));
}

/** The ratio of the quantile `q` during the treatment to that before it. */
export function ratioOf(trials: readonly MeasuredTrial[], q: number): number {
  return quantileOf(trials, 'during', q) / quantileOf(trials, 'before', q);
}
