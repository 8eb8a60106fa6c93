import { makePaint, type Paint } from '../../../lib/command-line/paint.ts';
import { formatDuration } from '../../../lib/duration.ts';
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
import type { RunVerdict, SnapshotRun } from '../document.ts';
import { type RunRow, timelineOf } from './timeline.ts';
import {
  keptLines,
  leftOutText,
  nothingKept,
  problemsIn,
  togetherSentence,
  verdictSentence,
} from './words.ts';

const NUMBER = 10;
const MARKS: Readonly<Record<RunVerdict, string>> = { proven: '✔', unproven: '?', failed: '✘' };
/** What is held is drawn last: a short freeze must not vanish behind the steps around it. */
const FILLS: Fills = [
  ['freezing', '┄', 'dim'],
  ['thawing', '░', 'dim'],
  ['held', '█', 'cyan'],
];

/** One run as a screen of text: what it is worth, who was held when, what is wrong, and where it is kept. */
export function describeRun(run: SnapshotRun, screen: Screen = {}): string {
  const width = columnsOf(screen);
  const paint = makePaint(screen.color === true);
  const mark = run.verdict === 'proven' ? '•' : paint.red('✘');
  return [
    ...head(run, width, paint),
    ...chart(run, width, paint),
    ...problemLines(problemsIn(run), mark, width, paint),
    ...footer(run, width, paint),
  ].join('\n');
}

function head(run: SnapshotRun, width: number, paint: Paint): readonly string[] {
  const tint =
    run.verdict === 'proven' ? paint.green : run.verdict === 'failed' ? paint.red : paint.cyan;
  const title = `${tint(paint.bold(`${MARKS[run.verdict] ?? '?'} ${run.verdict}`))}  ${paint.bold(plain(run.id))}`;
  const took = tookText(run);
  const facts = [
    `group ${plain(run.group)}`,
    moment(run.startedAt),
    ...(took === undefined ? [] : [`took ${took}`]),
    ...(run.members.length > 1 ? [`frozen within ${formatDuration(run.freezeSpreadMs)}`] : []),
  ];
  const together = togetherSentence(run);
  const leftOut = leftOutText(run);
  return [
    title,
    ...indented(verdictSentence(run), width),
    ...(together === undefined ? [] : indented(`Together: ${together}`, width)),
    ...(leftOut === undefined ? [] : indented(`Left out: ${leftOut}.`, width)),
    ...indented(facts.join(' · '), width).map(paint.dim),
  ];
}

function chart(run: SnapshotRun, width: number, paint: Paint): readonly string[] {
  const line = timelineOf(run);
  const rows = line.rows.slice(0, MOST_ROWS);
  if (rows.length === 0) return [];
  const several = namespacesIn(run).length > 1;
  const names = rows.map(({ member }) => memberName(member, several));
  const label = Math.min(32, Math.max(8, ...names.map((name) => name.length)));
  const bar = width - label - 4 - 2 * NUMBER;
  const scale = `0${`+${formatDuration(line.to - line.from)}`.padStart(bar - 1)}`;
  const heads = ['held', 'ready'].map((text) => text.padStart(NUMBER)).join('');
  const more = line.rows.length - rows.length;
  return [
    '',
    paint.dim(`  ${' '.repeat(label)}  ${scale}${heads}`),
    ...rows.map((row, index) => {
      const name = fit(names[index] ?? '', label);
      return `  ${name}  ${drawn(row, line, bar, FILLS, '▲', paint)}${numbers(row)}`;
    }),
    ...(more > 0 ? [`  and ${more} more; -o json lists all`] : []),
    paint.dim(`  ${' '.repeat(label)}  ┄ freezing  █ held  ▲ seen as cut  ░ thawing`),
  ];
}

function numbers({ heldMs, readyMs, member }: RunRow): string {
  const cuts = member.snapshots.length;
  const ready = member.snapshots.filter((one) => one.ready).length;
  const state =
    cuts === 0
      ? '–'
      : ready < cuts
        ? `${ready} of ${cuts}`
        : readyMs === undefined
          ? 'yes'
          : `+${formatDuration(readyMs)}`;
  return [heldMs === undefined ? '–' : formatDuration(heldMs), state]
    .map((text) => text.padStart(NUMBER))
    .join('');
}

function footer(run: SnapshotRun, width: number, paint: Paint): readonly string[] {
  const kept = keptLines(run);
  const short = run.shortened === undefined ? [] : indented(plain(run.shortened), width);
  if (kept.length === 0) return [...short, '', ...indented(nothingKept(run), width)];
  const label = paint.dim(`quiesce.dev/run=${plain(run.id)}`);
  return ['', ...kept.map((line) => `  Kept in ${line}`), `  ${label}`, ...short];
}
