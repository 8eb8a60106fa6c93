import { basename } from 'node:path';
import { oneLine } from '../lib/command-line/printable.ts';
import { asText } from './table.ts';

type Body = Readonly<Record<string, unknown>>;

const SIZE =
  /(?:Bytes|^sizeOnDisk|^used_memory\w*|^total_system_memory|^maxmemory|Size|^repl-backlog-size|^auto-aof-rewrite-min-size)$/;

/** One value in one cell; `-` for none. */
export function shown(name: string, value: unknown): string {
  if (value === null || value === undefined || value === '') return '-';
  // In PostgreSQL a limit of -1 is none.
  if (value === -1 && name.endsWith('Limit')) return '-';
  if (SIZE.test(name) && /^\d+$/.test(asText(value))) return readableSize(Number(value));
  if (typeof value === 'boolean') return value ? 'yes' : 'no';
  if (Array.isArray(value)) return value.map((one) => shown('', one)).join(', ') || 'none';
  if (typeof value === 'object') return shownObject(value as Body);
  return oneLine(asText(value));
}

/** `clerk (admin)`: what it is called, and the switches that are on. */
function shownObject(value: Body): string {
  const [first] = Object.values(value);
  const on = Object.keys(value).filter((name) => value[name] === true);
  if (typeof first === 'string') {
    return `${oneLine(first)}${on.length === 0 ? '' : ` (${on.map(words).join(', ')})`}`;
  }
  const entries = Object.entries(value).filter(([, one]) => one !== null && one !== false);
  return entries.map(([name, one]) => `${words(name)} ${shown(name, one)}`).join(' ') || 'none';
}

const UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'] as const;

/** `1.2 GiB`. */
export function readableSize(bytes: number): string {
  let [size, unit] = [bytes, 0];
  while (Math.abs(size) >= 1_024 && unit < UNITS.length - 1)
    [size, unit] = [size / 1_024, unit + 1];
  return `${unit === 0 ? size : size.toFixed(1).replace(/\.0$/, '')} ${UNITS[unit]}`;
}

/** `sizeOnDisk` as `size on disk`; names with underscores or hyphens, which are a server's own, stay. */
export function words(name: string): string {
  const split = name.replace(/([a-z0-9])([A-Z])/g, (_all, a: string, b: string) => `${a} ${b}`);
  return oneLine(/[_-]/.test(name) ? name : split.toLowerCase());
}

const BYTES: Readonly<Record<string, number>> = { B: 1, kB: 1_024, MB: 1 << 20, GB: 1 << 30 };

/**
 * A setting as a person reads it: the value with its unit (`16384` of `8kB` is `128 MiB`), and where it comes
 * from in one word (`postgresql.conf:65`). The place says more than the kind of the source.
 */
export function settingRow(row: Body): Body {
  const { name, value, unit, source, sourceFile, sourceLine, withheld, pendingRestart } = row;
  const place =
    typeof sourceFile === 'string' ? `${basename(sourceFile)}:${asText(sourceLine)}` : '';
  return {
    name,
    value: withheld === true ? '(set; its value does not travel)' : withUnit(value, unit),
    source: place === '' ? source : place,
    pendingRestart: pendingRestart === true,
  };
}

function withUnit(value: unknown, unit: unknown): unknown {
  if (typeof unit !== 'string' || !/^\d+$/.test(asText(value))) return value;
  const [, count = '', scale = ''] = /^(\d*)(\w+)$/.exec(unit) ?? [];
  const bytes = BYTES[scale];
  if (bytes === undefined) return `${asText(value)} ${unit}`;
  return readableSize(Number(value) * Number(count === '' ? 1 : count) * bytes);
}
