export interface Table {
  readonly title?: string;
  readonly head: readonly string[];
  /** The first column is left-aligned, the others are numbers. */
  readonly rows: readonly (readonly string[])[];
}

/** A measured ratio that must not exceed a limit. */
export interface Goal {
  readonly what: string;
  readonly measured: number;
  readonly limit: number;
}

export interface Series {
  readonly label: string;
  readonly points: readonly (readonly [x: number, y: number])[];
}

export type Chart =
  | {
      readonly kind: 'lines';
      readonly title: string;
      readonly x: string;
      readonly y: string;
      readonly log: boolean;
      readonly series: readonly Series[];
    }
  | {
      readonly kind: 'bars';
      readonly title: string;
      readonly unit: string;
      /** The value that the bars are compared with, drawn as a line. */
      readonly mark: number;
      readonly bars: readonly { readonly label: string; readonly value: number }[];
    };

export interface Report {
  readonly title: string;
  /** The method: what was measured against what, and how often. */
  readonly method: string;
  readonly tables: readonly Table[];
  readonly goals: readonly Goal[];
  readonly charts: readonly Chart[];
  readonly notes: readonly string[];
}

/** Two decimals below 10, one below 100, otherwise none: 0.84, 8.40, 84.0, 840. */
export function figure(value: number): string {
  if (!Number.isFinite(value)) return '–';
  return value.toFixed(value >= 99.5 ? 0 : value >= 9.95 ? 1 : 2);
}

export const times = (ratio: number): string => `${ratio.toFixed(2)} ×`;

export const missed = ({ goals }: Report): Goal[] =>
  goals.filter(({ measured, limit }) => !(measured <= limit));

/** A goal as one line, with the verdict first. */
export function goalLine({ what, measured, limit }: Goal): string {
  const verdict = measured <= limit ? 'met' : 'MISSED';
  return `${verdict}: ${what} is ${times(measured)}; the goal is at most ${times(limit)}`;
}

function widths({ head, rows }: Table): number[] {
  return head.map((name, i) => Math.max(name.length, ...rows.map((row) => row[i]?.length ?? 0)));
}

function aligned(cells: readonly string[], width: readonly number[]): string[] {
  return cells.map((cell, i) =>
    i === 0 ? cell.padEnd(width[i] ?? 0) : cell.padStart(width[i] ?? 0),
  );
}

/** The report as text for a terminal. */
export function textOf(report: Report): string {
  const tables = report.tables.map((table) => {
    const width = widths(table);
    const lines = [table.head, ...table.rows].map((row) =>
      aligned(row, width).join('  ').trimEnd(),
    );
    return `${table.title === undefined ? '' : `${table.title}\n`}${lines.join('\n')}\n`;
  });
  const goals = report.goals.map((goal) => `${goalLine(goal)}\n`).join('');
  const notes = report.notes.map((note) => `${note}\n`).join('');
  return `${report.title}\n${report.method}\n\n${tables.join('\n')}\n${notes}${goals}`;
}

/** The report as a section of a Markdown file. */
export function markdownOf(report: Report): string {
  const tables = report.tables.map((table) => {
    const width = widths(table);
    const line = (cells: readonly string[]): string => `| ${aligned(cells, width).join(' | ')} |`;
    const rule = width.map((w, i) =>
      i === 0 ? '-'.repeat(w) : `${'-'.repeat(Math.max(1, w - 1))}:`,
    );
    const caption = table.title === undefined ? '' : `${table.title}:\n\n`;
    return `${caption}${[line(table.head), line(rule), ...table.rows.map(line)].join('\n')}\n`;
  });
  const goals = report.goals.map((goal) => `- ${goalLine(goal).replace(/^(\w+)/, '**$1**')}\n`);
  const notes = report.notes.map((note) => `${note}\n\n`).join('');
  return `## ${report.title}\n${report.method}\n\n${tables.join('\n')}\n${notes}${goals.join('')}`;
}
