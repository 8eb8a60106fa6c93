import { wrap } from '../../../lib/command-line/flag-help.ts';
import { makePaint, type Paint } from '../../../lib/command-line/paint.ts';
import { formatDuration } from '../../../lib/duration.ts';
import type { RunVerdict, SnapshotRun } from '../document.ts';
import { type Row, type Timeline, timelineOf } from './timeline.ts';
import {
  keptLines,
  leftOutText,
  memberName,
  moment,
  namespacesIn,
  plain,
  problemsIn,
  togetherSentence,
  tookText,
  verdictSentence,
} from './words.ts';

export interface Screen {
  /** Columns; lines fit into 80 to 120. */
  readonly width?: number;
  readonly color?: boolean;
}

const NUMBER = 10;
/** More members than this fit on no screen. */
const MOST_ROWS = 60;
const MOST_PROBLEMS = 30;
const MARKS: Readonly<Record<RunVerdict, string>> = { proven: '✔', unproven: '?', failed: '✘' };

/** One run as a screen of text: what it is worth, who was held when, what is wrong, and where it is kept. */
export function describeRun(run: SnapshotRun, screen: Screen = {}): string {
  const width = Math.min(120, Math.max(80, screen.width ?? 100));
  const paint = makePaint(screen.color === true);
  return [
    ...head(run, width, paint),
    ...chart(run, width, paint),
    ...problemLines(run, width, paint),
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
      return `  ${name}  ${drawn(row, line, bar, paint)}${numbers(row)}`;
    }),
    ...(more > 0 ? [`  and ${more} more; -o json lists all`] : []),
    paint.dim(`  ${' '.repeat(label)}  ┄ freezing  █ held  ▲ seen as cut  ░ thawing`),
  ];
}

type Cell = ' ' | '┄' | '█' | '░' | '▲';
const FILL = { freezing: '┄', held: '█', thawing: '░' } as const;

function drawn(row: Row, { from, to }: Timeline, width: number, paint: Paint): string {
  const cells: Cell[] = Array.from({ length: width }, () => ' ');
  const at = (ms: number): number =>
    Math.min(width - 1, Math.max(0, Math.floor(((ms - from) / (to - from)) * width)));
  // What is held is drawn last: a short freeze must not vanish behind the steps around it.
  for (const wanted of ['freezing', 'thawing', 'held'] as const) {
    for (const { phase, ...span } of row.phases) {
      if (phase === wanted) cells.fill(FILL[phase], at(span.from), at(span.to) + 1);
    }
  }
  if (row.cut !== undefined) cells[at(row.cut)] = '▲';
  return cells
    .join('')
    .replaceAll(/█+/g, paint.cyan)
    .replaceAll(/[┄░]+/g, paint.dim)
    .replaceAll('▲', paint.bold);
}

function numbers({ heldMs, readyMs, member }: Row): string {
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

function problemLines(run: SnapshotRun, width: number, paint: Paint): readonly string[] {
  const all = problemsIn(run);
  const mark = run.verdict === 'proven' ? '•' : paint.red('✘');
  const lines = all.slice(0, MOST_PROBLEMS).flatMap(({ code, message, hint = '', of = '' }) => {
    const name = plain(code).slice(0, 40);
    return [
      `  ${mark} ${paint.bold(name)} ${of.slice(0, width - name.length - 5)}`.trimEnd(),
      ...indented(plain(message), width, 4),
      ...hintLines(hint, width).map(paint.dim),
    ];
  });
  const more = all.length - MOST_PROBLEMS;
  if (lines.length === 0) return [];
  return ['', ...lines, ...(more > 0 ? [`  and ${more} more; -o json lists all`] : [])];
}

function footer(run: SnapshotRun, width: number, paint: Paint): readonly string[] {
  const kept = keptLines(run);
  const short = run.shortened === undefined ? [] : indented(plain(run.shortened), width);
  if (kept.length === 0) return [...short, '', '  Nothing is kept.'];
  const label = paint.dim(`quiesce.dev/run=${plain(run.id)}`);
  return ['', ...kept.map((line) => `  Kept in ${line}`), `  ${label}`, ...short];
}

function indented(text: string, width: number, by = 2): readonly string[] {
  return wrap(text, width - by).map((line) => `${' '.repeat(by)}${line}`);
}

/** A hint of several lines is a manifest, whose indentation stays. */
function hintLines(hint: string, width: number): readonly string[] {
  const lines = hint.split('\n').filter((line) => line !== '');
  if (lines.length > 1) return lines.map((line) => `    → ${line.replaceAll(/\p{C}/gu, '?')}`);
  return lines.flatMap((line) =>
    wrap(plain(line), width - 6).map((text, index) => `    ${index === 0 ? '→' : ' '} ${text}`),
  );
}

function fit(text: string, length: number): string {
  return text.length <= length ? text.padEnd(length) : `${text.slice(0, length - 1)}…`;
}
