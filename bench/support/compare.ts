import { figure, type Report, type Table, times } from './report.ts';
import { median } from './stats.ts';
import { type MeasuredTrial, quantileOf, type Treatment, worst } from './trial.ts';

/** The trials of one treatment. */
export interface Group {
  readonly name: string;
  readonly trials: readonly MeasuredTrial[];
}

export function groupsOf(
  treatments: readonly Treatment[],
  trials: readonly MeasuredTrial[],
): Group[] {
  return treatments.map(({ name }) => ({
    name,
    trials: trials.filter(({ treatment }) => treatment === name),
  }));
}

/** A chart of the longest time without a commit during each treatment. */
export function stallChart(title: string, groups: readonly Group[]): Report['charts'][number] {
  const bars = groups.map(({ name, trials }) => ({
    label: name,
    value: worst(trials, 'during', 'longestGapMs'),
  }));
  return { kind: 'bars', title, unit: 'ms', mark: 0, bars };
}

/** A table of freeze, thaw and stall of each treatment, with ratios against the first. */
export function tableOf(groups: readonly Group[]): Table {
  const measured = groups.map(({ name, trials }) => ({
    name,
    freeze: median(trials.map(({ freezeMs }) => freezeMs)),
    thaw: median(trials.map(({ thawMs }) => thawMs)),
    p99: quantileOf(trials, 'during', 0.99) / quantileOf(trials, 'before', 0.99),
    stall: worst(trials, 'during', 'longestGapMs'),
    stallBefore: worst(trials, 'before', 'longestGapMs'),
  }));
  const [own] = measured;
  const against = (mine: number | undefined, theirs: number): string =>
    times(theirs / (mine ?? Number.NaN));
  return {
    head: [
      'hook',
      'freeze',
      '/ quiesce',
      'thaw',
      '/ quiesce',
      'p99 during / before',
      'stall',
      '/ quiesce',
      'stall before',
    ],
    rows: measured.map(({ name, freeze, thaw, p99, stall, stallBefore }) => [
      name,
      figure(freeze),
      against(own?.freeze, freeze),
      figure(thaw),
      against(own?.thaw, thaw),
      times(p99),
      figure(stall),
      against(own?.stall, stall),
      figure(stallBefore),
    ]),
  };
}
