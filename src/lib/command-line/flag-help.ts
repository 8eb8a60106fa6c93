import type { Flag, Flags } from './flags.ts';

const WIDTH = 100;
/** The rightmost column at which descriptions begin. A longer flag gets a line of its own. */
const WIDEST = 29;

/** One paragraph for each flag: names, placeholder, description and default. */
export function describeFlags(flags: Flags): string {
  const rows = Object.entries(flags).map(([name, flag]) => [head(name, flag), body(flag)] as const);
  const column = Math.min(WIDEST, Math.max(...rows.map(([left]) => left.length)) + 2);
  return rows.map(([left, right]) => paragraph(left, right, column)).join('\n');
}

function head(name: string, { short, takes }: Flag<unknown>): string {
  const letter = short === undefined ? '' : `-${short}, `;
  return `  ${letter}--${name}${takes === undefined ? '' : ` ${takes}`}`;
}

function body({ about, fallback, otherwise, required, alias, many }: Flag<unknown>): string {
  const ending =
    required === true
      ? ' (required)'
      : (otherwise ?? fallback)
        ? ` (${otherwise ?? fallback})`
        : '';
  const older = alias === undefined ? '' : `; --${alias} is its older name`;
  return `${about}${many === true ? '; may be repeated' : ''}${older}${ending}`;
}

function paragraph(left: string, right: string, column: number): string {
  const lines = wrap(right, WIDTH - column);
  const first =
    left.length + 2 > column ? [left] : [`${left.padEnd(column)}${lines.shift() ?? ''}`];
  return [...first, ...lines.map((line) => `${' '.repeat(column)}${line}`)].join('\n');
}

/** Lines of at most `width` characters. A longer word gets its own line. */
export function wrap(text: string, width = WIDTH): string[] {
  const lines: string[] = [];
  for (const word of text.split(/\s+/)) {
    const last = lines.at(-1);
    if (last === undefined || last.length + word.length + 1 > width) lines.push(word);
    else lines[lines.length - 1] = `${last} ${word}`;
  }
  return lines;
}
