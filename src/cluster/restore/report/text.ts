import { makePaint, type Paint } from '../../../lib/command-line/paint.ts';
import { formatDuration } from '../../../lib/duration.ts';
import { formatBytes } from '../../objects/bytes.ts';
import {
  columnsOf,
  drawn,
  type Fills,
  fit,
  indented,
  MOST_ROWS,
  problemLines,
  type Screen,
} from '../../report/screen.ts';
import { memberName, moment, namespacesIn, plain, tookText } from '../../report/words.ts';
import type { RecoveryRun } from '../document.ts';
import { nextSteps } from './next.ts';
import { type RecoveryRow, timelineOf } from './timeline.ts';
import {
  ageText,
  bytesIn,
  layerText,
  notProven,
  problemsIn,
  secondsText,
  type State,
  stateOf,
  verdictSentence,
} from './words.ts';

/** The columns at the right: the level of the data, and when the member was healthy. */
const DATA = 10;
const HEALTHY = 14;
const MOST_DOUBTS = 10;
const MARKS: Readonly<Record<State, string>> = {
  proven: '✔',
  unproven: '?',
  failed: '✘',
  running: '…',
};
const FILLS: Fills = [
  ['waiting', '░', 'dim'],
  ['checking', '▓', 'cyan'],
  ['starting', '█', 'cyan'],
];

/**
 * One restore or drill as a screen of text: what is back, how old it is, how long it took, what is not
 * proven, who waited for what, and what to do next.
 */
export function describeRecovery(run: RecoveryRun, screen: Screen = {}): string {
  const width = columnsOf(screen);
  const paint = makePaint(screen.color === true);
  const mark = stateOf(run) === 'proven' ? '•' : paint.red('✘');
  return [
    ...head(run, width, paint),
    ...chart(run, width, paint),
    ...doubts(run, width, paint),
    ...problemLines(problemsIn(run), mark, width, paint),
    ...next(run, width, paint),
  ].join('\n');
}

function head(run: RecoveryRun, width: number, paint: Paint): readonly string[] {
  const state = stateOf(run);
  const tint = {
    proven: paint.green,
    failed: paint.red,
    unproven: paint.cyan,
    running: paint.cyan,
  };
  const word = state === 'running' ? 'under way' : state;
  const took = tookText(run);
  const facts = [
    `group ${plain(run.group)}`,
    ...(run.kind === 'DrillRun' ? [`drill of ${plain(run.mode)}`] : []),
    moment(run.startedAt),
    ...(took === undefined ? [] : [`took ${took}`]),
  ];
  return [
    `${tint[state](paint.bold(`${MARKS[state]} ${word}`))}  ${paint.bold(plain(run.id))}`,
    ...indented(verdictSentence(run), width),
    ...indented(measures(run).join(' · '), width),
    ...indented(facts.join(' · '), width).map(paint.dim),
  ];
}

function measures(run: RecoveryRun): readonly string[] {
  const back = secondsText(run.rtoSeconds);
  const bytes = bytesIn(run);
  return [
    `Data: ${ageText(run) ?? 'how old is not known'}`,
    ...(back === undefined ? [] : [`back after ${back}`]),
    ...(bytes === 0 ? [] : [formatBytes(bytes)]),
  ];
}

function chart(run: RecoveryRun, width: number, paint: Paint): readonly string[] {
  const line = timelineOf(run);
  const rows = line.rows.slice(0, MOST_ROWS);
  if (rows.length === 0) return [];
  const several = namespacesIn(run).length > 1;
  const names = rows.map(({ member }) => memberName(member, several));
  const label = Math.min(32, Math.max(8, ...names.map((name) => name.length)));
  const bar = width - label - 4 - DATA - HEALTHY;
  const scale = `0${`+${formatDuration(line.to - line.from)}`.padStart(bar - 1)}`;
  const heads = `${'data'.padStart(DATA)}${'healthy'.padStart(HEALTHY)}`;
  const more = line.rows.length - rows.length;
  return [
    '',
    paint.dim(`  ${' '.repeat(label)}  ${scale}${heads}`),
    ...rows.flatMap((row, index) => [
      ...(index > 0 && rows[index - 1]?.layer === row.layer
        ? []
        : [paint.dim(`  ${layerText(run, row.layer)}`)]),
      `  ${fit(names[index] ?? '', label)}  ${drawn(row, line, bar, FILLS, '◆', paint)}${numbers(row)}`,
    ]),
    ...(more > 0 ? [`  and ${more} more; -o json lists all`] : []),
    paint.dim(`  ░ waiting  █ starting  ▓ checking  ◆ data verified`),
  ];
}

function numbers({ member: { level }, healthyMs }: RecoveryRow): string {
  const data = level === undefined ? '–' : plain(level).slice(0, DATA - 1);
  const healthy = healthyMs === undefined ? 'no' : `+${formatDuration(healthyMs)}`;
  return `${data.padStart(DATA)}${healthy.padStart(HEALTHY)}`;
}

function doubts(run: RecoveryRun, width: number, paint: Paint): readonly string[] {
  const all = notProven(run);
  if (all.length === 0) return [];
  const more = all.length - MOST_DOUBTS;
  return [
    '',
    paint.bold('  Not proven'),
    ...all.slice(0, MOST_DOUBTS).flatMap((one) => indented(`? ${one}`, width, 4)),
    ...(more > 0 ? [`    and ${more} more; -o json lists all`] : []),
  ];
}

function next(run: RecoveryRun, width: number, paint: Paint): readonly string[] {
  const short = run.shortened === undefined ? [] : indented(plain(run.shortened), width);
  return [
    '',
    paint.bold('  Next'),
    // A command stays on one line, so that it can be copied.
    ...nextSteps(run).flatMap((one) =>
      /[.:]$/.test(one) ? indented(one, width, 4) : [`      ${one}`],
    ),
    ...short,
  ];
}
