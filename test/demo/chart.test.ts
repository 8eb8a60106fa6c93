import { describe, expect, it } from 'vitest';
import { formatLatency, latencyChart, timeline } from '../../src/demo/chart.ts';
import type { LatencyWindow } from '../../src/testbed/latency.ts';
import { makePaint } from '../../src/lib/command-line/paint.ts';

const window = (p50: number, p99: number, max: number, perSecond = 1_000): LatencyWindow => ({
  count: 100,
  perSecond,
  p50,
  p99,
  max,
  longestGapMs: 1,
});
const rows = [
  { label: 'before', window: window(4, 12, 31) },
  { label: 'freeze and hold', window: window(4.1, 11, 28.4) },
  { label: 'after', window: window(0.5, 6, 20) },
];

describe('the latency chart', () => {
  it('draws all rows on one scale, solid to the median and shaded to the 99th percentile', () => {
    expect(latencyChart(rows)).toEqual([
      '                █ p50  ▒ p99                 tx/s      p50      p99      max',
      'before          ████████▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒     1000   4.0 ms    12 ms    31 ms',
      'freeze and hold ████████▒▒▒▒▒▒▒▒▒▒▒▒▒▒       1000   4.1 ms    11 ms    28 ms',
      'after           █▒▒▒▒▒▒▒▒▒▒▒                 1000  0.50 ms   6.0 ms    20 ms',
    ]);
  });

  it('cuts off a bar that is far longer than the first, so that the others stay readable', () => {
    const lines = latencyChart([...rows, { label: 'snapshot', window: window(500, 900, 900) }]);
    expect(lines[1]).toContain('██▒▒▒▒ ');
    expect(lines.at(-1)).toContain('███████████████████████▸');
  });

  it('shows no latency where nothing was measured', () => {
    const none = { count: 0, perSecond: 0, p50: 0, p99: 0, max: 0, longestGapMs: 100 };
    expect(latencyChart([{ label: 'snapshot', window: none }])[1]).toMatch(
      /^snapshot +0 +– +– +–$/,
    );
  });

  it('stays aligned and within 80 columns, whatever the numbers', () => {
    const wild = [0.001, 0.99, 9.97, 99.6, 999.6, 12_345, 600_000].map((ms, i) => ({
      label: 'fifteen letters',
      window: window(ms / 2, ms, ms * 3, 10 ** i),
    }));
    const lines = latencyChart(wild);
    expect(new Set(lines.slice(1).map((line) => line.length)).size).toBe(1);
    expect(Math.max(...lines.map((line) => line.length))).toBeLessThanOrEqual(80);
  });

  it('is coloured only on request', () => {
    expect(latencyChart(rows).join('')).not.toContain('\u001b');
    expect(latencyChart(rows, makePaint(true)).join('')).toContain('\u001b[36m');
  });
});

describe('a latency', () => {
  it.each([
    [0.844, '0.84 ms'],
    [8.44, '8.4 ms'],
    [9.96, '10 ms'],
    [84.4, '84 ms'],
    [999.7, '1.0 s'],
    [12_345, '12 s'],
  ])('%d ms reads %s', (ms, text) => {
    expect(formatLatency(ms)).toBe(text);
  });
});

describe('the timeline', () => {
  it('shows commits, a stall as a gap, the freeze and the snapshot', () => {
    const counts = [5, 5, 5, 5, 4, 4, 5, 5, 0, 1, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5];
    expect(timeline(counts, { frozenFrom: 0.1, frozenTo: 0.7, snapshot: 0.4 })).toEqual([
      '████▇▇██ ▂██████████',
      '  ├─ frozen ──┤',
      '        ▲ snapshot',
    ]);
  });

  it('keeps the label of a late snapshot within its width', () => {
    const lines = timeline(Array(20).fill(1), { frozenFrom: 0.5, frozenTo: 1, snapshot: 0.95 });
    expect(lines[2]).toBe('          snapshot ▲');
    expect(Math.max(...lines.map((line) => line.length))).toBeLessThanOrEqual(20);
  });

  it('shows a freeze shorter than a column', () => {
    const lines = timeline([1, 1], { frozenFrom: 0.1, frozenTo: 0.2, snapshot: 0.15 });
    expect(lines[1]).toBe('┼');
  });
});
