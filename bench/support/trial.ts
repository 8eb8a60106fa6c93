import { setTimeout as sleep } from 'node:timers/promises';
import type { LatencyLog, LatencyWindow, Span } from '../../src/testbed/latency.ts';
import { progress } from './program.ts';
import { Histogram } from './stats.ts';

/** One way to bring a database to rest and to let it go again. */
export interface Treatment {
  readonly name: string;
  freeze(): Promise<void>;
  thaw(): Promise<void>;
}

/** Writers that run until they are stopped, and log how long each commit took. */
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

const SETTLE_MS = 700;
const WARM_UP_MS = 3_000;

export const WINDOWS = ['before', 'during', 'after'] as const;
export type WindowName = (typeof WINDOWS)[number];

/** A treated window, and an untouched one as long as its hold before and after it. */
async function tryOnce(treatment: Treatment, holdMs: number): Promise<Trial> {
  await sleep(SETTLE_MS);
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
 * Applies all treatments in turn, in another order each round, so that none always follows the same
 * other. Nothing is summed up until the last has ended: the load runs in this process.
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
  await sleep(SETTLE_MS);
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

/** A quantile over all rounds. */
export function quantileOf(
  trials: readonly MeasuredTrial[],
  window: WindowName,
  q: number,
): number {
  return Histogram.join(trials.map((trial) => trial[window].latencies)).quantile(q);
}

/** The worst of all rounds. */
export function worst(
  trials: readonly MeasuredTrial[],
  window: WindowName,
  what: 'max' | 'longestGapMs',
): number {
  return Math.max(...trials.map((trial) => trial[window].summary[what]));
}

/** `during` over `before`. */
export function ratioOf(trials: readonly MeasuredTrial[], q: number): number {
  return quantileOf(trials, 'during', q) / quantileOf(trials, 'before', q);
}
