import type { LatencyWindow } from '../testbed/latency.ts';
import { makePaint, type Paint } from '../lib/command-line/paint.ts';

export interface ChartRow {
  /** At most 15 characters. */
  readonly label: string;
  readonly window: LatencyWindow;
}

const LABEL = 16;
const BAR = 24;
const NUMBER = 9;

/** `0.84 ms`, `8.4 ms`, `84 ms`, `1.2 s`: two or three digits, always with the unit. */
export function formatLatency(ms: number): string {
  if (ms >= 999.5) return `${(ms / 1_000).toFixed(ms >= 9_950 ? 0 : 1)} s`;
  return `${ms.toFixed(ms >= 9.95 ? 0 : ms >= 0.995 ? 1 : 2)} ms`;
}

/**
 * Draws latencies as bars on one scale: solid to the median, shaded to the 99th percentile. A bar more
 * than four times as long as the first row's is cut off and ends in `▸`. Lines are at most 80 columns
 * wide.
 */
export function latencyChart(
  rows: readonly ChartRow[],
  paint: Paint = makePaint(false),
  rate = 'tx/s',
): string[] {
  const numbers = (...texts: string[]): string => texts.map((t) => t.padStart(NUMBER)).join('');
  const key = `${paint.cyan('█')} p50  ${paint.dim('▒')} p99`;
  const head = `${' '.repeat(LABEL)}${key}${' '.repeat(BAR - 12)}${numbers(rate, 'p50', 'p99', 'max')}`;
  const base = rows[0]?.window.p99 ?? 0;
  const full = Math.max(
    1e-9,
    Math.min(Math.max(...rows.map((r) => r.window.p99)), base * 4 || 1e9),
  );
  const lines = rows.map(({ label, window }) => {
    const texts =
      window.count === 0
        ? numbers(String(Math.round(window.perSecond)), '–', '–', '–')
        : numbers(
            String(Math.round(window.perSecond)),
            ...[window.p50, window.p99, window.max].map(formatLatency),
          );
    return `${label.padEnd(LABEL)}${bar(window, full, paint)}${texts}`;
  });
  return [head, ...lines];
}

function bar({ p50, p99 }: LatencyWindow, full: number, paint: Paint): string {
  const cells = (ms: number): number => Math.min(BAR, Math.round((ms / full) * BAR));
  const solid = Math.max(p50 > 0 ? 1 : 0, cells(p50));
  const end = Math.max(solid, cells(p99));
  const cut = p99 > full * 1.02;
  const shade = `${'▒'.repeat(Math.max(0, end - solid - (cut ? 1 : 0)))}${cut ? '▸' : ''}`;
  const length = Math.min(solid, BAR - (cut ? 1 : 0));
  const padding = ' '.repeat(Math.max(0, BAR - length - shade.length));
  return `${paint.cyan('█'.repeat(length))}${paint.dim(shade)}${padding}`;
}

/** Positions on a timeline, as shares of it from 0 to 1. */
export interface Marks {
  readonly frozenFrom: number;
  readonly frozenTo: number;
  readonly snapshot: number;
}

const LEVELS = '▁▂▃▄▅▆▇█';

/**
 * Draws commits over time as one line of small bars, one column for each count, with a blank where
 * nothing was committed. Lines below it show the span of the freeze and the moment of the snapshot.
 */
export function timeline(
  counts: readonly number[],
  marks: Marks,
  paint: Paint = makePaint(false),
): string[] {
  const most = Math.max(1, ...counts);
  const spark = counts
    .map((n) => (n === 0 ? ' ' : (LEVELS[Math.min(7, Math.floor((n / most) * 7.999))] ?? ' ')))
    .join('');
  const at = (share: number): number =>
    Math.min(counts.length - 1, Math.max(0, Math.floor(share * counts.length)));
  const [from, to, cut] = [at(marks.frozenFrom), at(marks.frozenTo), at(marks.snapshot)];
  const width = Math.max(0, to - from - 1);
  const label = width >= 8 ? ' frozen ' : '';
  const left = '─'.repeat(Math.floor((width - label.length) / 2));
  const right = '─'.repeat(width - label.length - left.length);
  const span = to > from ? `├${left}${label}${right}┤` : '┼';
  const name = 'snapshot';
  const pointer =
    cut + name.length + 2 <= counts.length
      ? `${' '.repeat(cut)}▲ ${name}`
      : `${' '.repeat(Math.max(0, cut - name.length - 1))}${name} ▲`;
  return [paint.cyan(spark), `${' '.repeat(from)}${span}`, paint.dim(pointer)];
}
