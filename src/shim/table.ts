import { oneLine } from '../lib/command-line/printable.ts';

type Body = Readonly<Record<string, unknown>>;

export function asText(value: unknown): string {
  if (value === undefined || value === null) return '';
  return typeof value === 'string' ? value : JSON.stringify(value);
}

export function asRecord(value: unknown): Body {
  return typeof value === 'object' && value !== null ? (value as Body) : {};
}

export function asList(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}

/** One line for each row; every column is as wide as its widest cell. */
export function table(rows: readonly (readonly string[])[]): string[] {
  const widths: number[] = [];
  for (const row of rows) {
    for (const [at, cell] of row.entries()) widths[at] = Math.max(widths[at] ?? 0, cell.length);
  }
  return rows.map((row) =>
    row.map((cell, at) => (at === row.length - 1 ? cell : cell.padEnd(widths[at] ?? 0))).join('  '),
  );
}

/** JSON as indented lines; a list of flat objects becomes a table. */
export function tree(value: unknown, depth = 0): string[] {
  const pad = '  '.repeat(depth);
  if (Array.isArray(value)) return treeList(value, depth);
  if (typeof value !== 'object' || value === null) return [`${pad}${scalar(value)}`];
  return Object.entries(value).flatMap(([key, child]) => {
    if (isEmpty(child)) return [`${pad}${key}: none`];
    if (typeof child !== 'object' || child === null) return [`${pad}${key}: ${scalar(child)}`];
    return [`${pad}${key}:`, ...tree(child, depth + 1)];
  });
}

function treeList(list: readonly unknown[], depth: number): string[] {
  const pad = '  '.repeat(depth);
  const columns = [...new Set(list.flatMap((item) => Object.keys(asRecord(item))))];
  const flat = list.every(
    (item) =>
      typeof item === 'object' && item !== null && !Array.isArray(item) && isFlat(item as Body),
  );
  if (!flat || columns.length === 0) {
    return list.map((item) => `${pad}- ${typeof item === 'object' ? asText(item) : scalar(item)}`);
  }
  const rows = list.map((item) => columns.map((name) => scalar(asRecord(item)[name])));
  return table([columns.map((name) => name.toUpperCase()), ...rows]).map(
    (row) => pad + row.trimEnd(),
  );
}

function isFlat(item: Body): boolean {
  return Object.values(item).every((value) => typeof value !== 'object' || value === null);
}

function isEmpty(value: unknown): boolean {
  return typeof value === 'object' && value !== null && Object.keys(value).length === 0;
}

function scalar(value: unknown): string {
  return value === null || value === undefined ? '-' : oneLine(asText(value));
}
