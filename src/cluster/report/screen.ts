import { wrap } from '../../lib/command-line/flag-help.ts';
import type { Paint } from '../../lib/command-line/paint.ts';
import type { ReportedProblem } from './problems.ts';
import type { Row, Timeline } from './timeline.ts';
import { plain } from './words.ts';

export interface Screen {
  /** Columns; lines fit into 80 to 120. */
  readonly width?: number;
  readonly color?: boolean;
}

/** More members than this fit on no screen. */
export const MOST_ROWS = 60;
const MOST_PROBLEMS = 30;
const LONGEST_CODE = 40;

export function columnsOf({ width = 100 }: Screen): number {
  return Math.min(120, Math.max(80, width));
}

export function indented(text: string, width: number, by = 2): readonly string[] {
  return wrap(text, width - by).map((line) => `${' '.repeat(by)}${line}`);
}

export function fit(text: string, length: number): string {
  return text.length <= length ? text.padEnd(length) : `${text.slice(0, length - 1)}…`;
}

/** How each phase is drawn, and in what order: a later one covers an earlier one that shares its cell. */
export type Fills = readonly (readonly [phase: string, cell: string, style: keyof Paint])[];

/** A member's bars as one line of cells. */
export function drawn(
  row: Row,
  { from, to }: Timeline,
  width: number,
  fills: Fills,
  mark: string,
  paint: Paint,
): string {
  const cells: string[] = Array.from({ length: width }, () => ' ');
  const styles: (keyof Paint | undefined)[] = Array.from({ length: width }, () => undefined);
  const at = (ms: number): number =>
    Math.min(width - 1, Math.max(0, Math.floor(((ms - from) / (to - from)) * width)));
  for (const [wanted, cell, style] of fills) {
    for (const { phase, ...span } of row.bars) {
      if (phase !== wanted) continue;
      cells.fill(cell, at(span.from), at(span.to) + 1);
      styles.fill(style, at(span.from), at(span.to) + 1);
    }
  }
  if (row.mark !== undefined) {
    cells[at(row.mark.at)] = mark;
    styles[at(row.mark.at)] = 'bold';
  }
  return painted(cells, styles, paint);
}

/** One escape sequence for each run of equal cells. */
function painted(
  cells: readonly string[],
  styles: readonly (keyof Paint | undefined)[],
  paint: Paint,
): string {
  const runs: { style: keyof Paint | undefined; text: string }[] = [];
  cells.forEach((cell, index) => {
    const style = styles[index];
    const last = runs.at(-1);
    if (last !== undefined && last.style === style) last.text += cell;
    else runs.push({ style, text: cell });
  });
  return runs.map(({ style, text }) => (style === undefined ? text : paint[style](text))).join('');
}

/** Problems with what to do about them. */
export function problemLines(
  all: readonly ReportedProblem[],
  mark: string,
  width: number,
  paint: Paint,
): readonly string[] {
  const lines = all.slice(0, MOST_PROBLEMS).flatMap(({ code, message, hint = '', of = '' }) => {
    const name = plain(code).slice(0, LONGEST_CODE);
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

/** A hint of several lines is a manifest, whose indentation stays. */
function hintLines(hint: string, width: number): readonly string[] {
  const lines = hint.split('\n').filter((line) => line !== '');
  if (lines.length > 1) return lines.map((line) => `    → ${line.replaceAll(/\p{C}/gu, '?')}`);
  return lines.flatMap((line) =>
    wrap(plain(line), width - 6).map((text, index) => `    ${index === 0 ? '→' : ' '} ${text}`),
  );
}
