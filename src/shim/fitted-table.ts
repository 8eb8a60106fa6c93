import { table } from './table.ts';

const GAP = 2;
/** A column is never narrower than this for the sake of another. */
const NARROWEST = 10;

/** A table whose lines are at most `width` wide, as far as that is possible: the widest cells are wrapped. */
export function fitted(rows: readonly (readonly string[])[], width: number): string[] {
  const longest = longestWords(rows);
  const atWords = fit(
    columnWidths(rows, (cell) => cell.length),
    longest,
    width,
  );
  const widths = fit(
    atWords,
    longest.map((one) => Math.min(one, NARROWEST)),
    width,
  );
  return table(rows.flatMap((row) => linesOf(row, widths)));
}

/** Whether the table fits without breaking a word. */
export function fits(rows: readonly (readonly string[])[], width: number): boolean {
  return longestWords(rows).reduce((sum, one) => sum + one + GAP, -GAP) <= width;
}

function longestWords(rows: readonly (readonly string[])[]): number[] {
  return columnWidths(rows, (cell) => Math.max(...unbroken(cell).map((word) => word.length)));
}

function columnWidths(
  rows: readonly (readonly string[])[],
  measure: (cell: string) => number,
): number[] {
  const widths: number[] = [];
  for (const row of rows) {
    for (const [at, cell] of row.entries()) widths[at] = Math.max(widths[at] ?? 0, measure(cell));
  }
  return widths;
}

/** Takes from the widest column that can give, until the row fits or none can. */
function fit(wanted: readonly number[], least: readonly number[], width: number): number[] {
  const widths = [...wanted];
  const total = (): number => widths.reduce((sum, one) => sum + one + GAP, -GAP);
  while (total() > width) {
    const givers = widths.map((one, at) => (one > (least[at] ?? 0) ? one : 0));
    const widest = Math.max(...givers);
    if (widest === 0) break;
    widths[givers.indexOf(widest)] = widest - 1;
  }
  return widths;
}

/** One row as several lines, if a cell of it has to be wrapped. */
function linesOf(row: readonly string[], widths: readonly number[]): string[][] {
  const cells = row.map((cell, at) => wrapped(cell, widths[at] ?? cell.length));
  const height = Math.max(1, ...cells.map((lines) => lines.length));
  return Array.from({ length: height }, (_none, line) => cells.map((lines) => lines[line] ?? ''));
}

/** Breaks at blanks; a longer word is cut. */
function wrapped(text: string, width: number): string[] {
  const lines: string[] = [];
  let line = '';
  for (const word of unbroken(text).flatMap((one) => pieces(one, width))) {
    if (line !== '' && line.length + 1 + word.length > width) {
      lines.push(line);
      line = word;
    } else {
      line = line === '' ? word : `${line} ${word}`;
    }
  }
  return [...lines, line];
}

/** The words of a text; a number stays with its unit. */
function unbroken(text: string): string[] {
  return text.split(/ (?![KMGTP]?i?B(?:$|[ ,]))/);
}

function pieces(word: string, width: number): string[] {
  const count = Math.max(1, Math.ceil(word.length / width));
  return Array.from({ length: count }, (_none, at) => word.slice(at * width, (at + 1) * width));
}
