import type { Workspace } from '../src/testbed/workspace.ts';
import { type Rig, makeRig, makeLoad, quiesce } from './support/rig.ts';
import { type Arguments, type Benchmark, program, progress } from './support/program.ts';
import { psql } from './support/psql.ts';
import { figure, type Goal, type Report, times } from './support/report.ts';
import { interval, median } from './support/stats.ts';
import {
  type MeasuredTrial,
  quantileOf,
  ratioOf,
  runTrials,
  type Treatment,
  WINDOWS,
  worst,
} from './support/trial.ts';

/** The sidecar's settings for each way to freeze. */
const MODES: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  sealed: { QUIESCE_COPY: 'snapshot' },
  open: { QUIESCE_COPY: 'volumes' },
  staged: { QUIESCE_COPY: 'files' },
  paused: { QUIESCE_COPY: 'snapshot', QUIESCE_REPLICA: 'pause' },
};
/** The most that p99 during over p99 before may be, in modes that promise not to slow writers. */
const GOALS: Readonly<Record<string, number>> = { sealed: 1.1, paused: 1.1 };

const benchmark: Benchmark = {
  name: 'writers',
  summary:
    'The effect of a freeze on writers: latencies before, during and after it, against psql -c CHECKPOINT\nas a hook and against nothing, which shows the noise of the machine.',
  settings: {
    mode: { help: `how to freeze: ${Object.keys(MODES).join(', ')}`, value: 'sealed' },
    rounds: { help: 'trials of each treatment', value: 2, quick: 1 },
    hold: { help: 'seconds between freeze and thaw', value: 20, quick: 1 },
    clients: { help: 'writers', value: 8 },
    think: { help: 'mean pause of a writer between transactions, in ms', value: 5 },
  },
  run,
};

function treatmentsOn(rig: Rig, mode: string): Treatment[] {
  const nothing = async (): Promise<void> => undefined;
  return [
    { name: mode, freeze: () => quiesce(rig, 'freeze'), thaw: () => quiesce(rig, 'thaw') },
    { name: 'CHECKPOINT', freeze: () => psql(rig.target, 'CHECKPOINT'), thaw: nothing },
    { name: 'nothing', freeze: nothing, thaw: nothing },
  ];
}

async function run(args: Arguments, workspace: Workspace): Promise<Report> {
  const mode = args.text('mode');
  const sidecar = MODES[mode];
  if (!sidecar) throw new Error(`--mode must be one of ${Object.keys(MODES).join(', ')}`);
  const [clients, thinkMs] = [args.number('clients'), args.number('think')];
  const tables = makeLoad(workspace, { clients, thinkMs });
  const standby = mode === 'paused';
  progress(`writers: ${mode}`);
  const { postgres } = args;
  const walApart = mode === 'open';
  const rig = await makeRig(workspace, { postgres, sidecar, standby, walApart }, tables.fill);
  const load = await tables.start();
  const treatments = treatmentsOn(rig, mode);
  const holdMs = args.number('hold') * 1_000;
  const rounds = args.number('rounds');
  const trials = await runTrials(load, treatments, { rounds, holdMs });
  const groups = treatments.map(({ name }) => ({
    name,
    trials: trials.filter(({ treatment }) => treatment === name),
  }));
  const where = standby ? 'the standby; the writers write to its primary' : 'the writers’ server';
  return {
    title: `What writers feel: ${mode}`,
    method: `PostgreSQL ${args.postgres}, ${clients} writers with pauses of ${thinkMs} ms, ${rounds} rounds of each treatment, hold ${args.text('hold')} s, on ${where}. Milliseconds; the gap is the longest time without a commit.`,
    tables: [latencies(groups), ratios(groups)],
    goals: goalsOf(mode, groups[0]?.trials ?? []),
    charts: [
      {
        kind: 'bars',
        title: `${mode}: p99 of writers, during / before`,
        unit: '×',
        mark: 1,
        bars: groups.map(({ name, trials }) => ({ label: name, value: ratioOf(trials, 0.99) })),
      },
    ],
    notes: [],
  };
}

function goalsOf(mode: string, trials: readonly MeasuredTrial[]): Goal[] {
  const limit = GOALS[mode];
  if (limit === undefined) return [];
  const what = `writers’ p99 during ${mode} over p99 before`;
  return [{ what, measured: ratioOf(trials, 0.99), limit }];
}

interface Group {
  readonly name: string;
  readonly trials: readonly MeasuredTrial[];
}

function latencies(groups: readonly Group[]) {
  return {
    head: ['treatment', 'window', 'p50', 'p99', 'max', 'gap', 'commits/s'],
    rows: groups.flatMap(({ name, trials }) =>
      WINDOWS.map((window) => {
        const perSecond = trials.map((trial) => trial[window].summary.perSecond);
        const mean = perSecond.reduce((sum, one) => sum + one, 0) / perSecond.length;
        return [
          name,
          window,
          figure(quantileOf(trials, window, 0.5)),
          figure(quantileOf(trials, window, 0.99)),
          figure(worst(trials, window, 'max')),
          figure(worst(trials, window, 'longestGapMs')),
          String(Math.round(mean)),
        ];
      }),
    ),
  };
}

function ratios(groups: readonly Group[]) {
  return {
    title: 'During over before',
    head: [
      'treatment',
      'p50',
      'p99',
      'p99, 90 % interval',
      'after / before, p99',
      'freeze ms',
      'thaw ms',
    ],
    rows: groups.map(({ name, trials }) => {
      const [low, high] = interval(trials, (drawn) => ratioOf(drawn, 0.99));
      const after = quantileOf(trials, 'after', 0.99) / quantileOf(trials, 'before', 0.99);
      return [
        name,
        times(ratioOf(trials, 0.5)),
        times(ratioOf(trials, 0.99)),
        `${low.toFixed(2)} … ${high.toFixed(2)}`,
        times(after),
        figure(median(trials.map(({ freezeMs }) => freezeMs))),
        figure(median(trials.map(({ thawMs }) => thawMs))),
      ];
    }),
  };
}

await program(benchmark);
