import { type Chart, figure } from './report.ts';

const WIDTH = 760;
const LEFT = 190;
const RIGHT = 90;
const BAR = 22;
const PLOT = 200;
const COLORS = ['#0072b2', '#d55e00', '#009e73', '#666666'];

const escape = (text: string): string =>
  text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');

interface Panel {
  readonly height: number;
  readonly body: string;
}

const text = (x: number, y: number, words: string, more = ''): string =>
  `<text x="${x.toFixed(1)}" y="${y.toFixed(1)}" ${more}>${escape(words)}</text>`;

function barsPanel(chart: Extract<Chart, { kind: 'bars' }>): Panel {
  const most = Math.max(chart.mark, ...chart.bars.map(({ value }) => value), 1e-9);
  const scale = (WIDTH - LEFT - RIGHT) / most;
  const rows = chart.bars.map(({ label, value }, i) => {
    const y = 34 + i * (BAR + 6);
    const width = Math.max(1, value * scale);
    const color = COLORS[i === 0 ? 0 : 3] ?? '';
    return [
      text(LEFT - 8, y + 15, label, 'text-anchor="end"'),
      `<rect x="${LEFT}" y="${y}" width="${width.toFixed(1)}" height="${BAR}" fill="${color}"/>`,
      text(LEFT + width + 6, y + 15, `${figure(value)} ${chart.unit}`),
    ].join('');
  });
  const height = 34 + chart.bars.length * (BAR + 6);
  const at = LEFT + chart.mark * scale;
  const mark =
    chart.mark > 0
      ? `<line x1="${at.toFixed(1)}" y1="28" x2="${at.toFixed(1)}" y2="${height}" stroke="#000" stroke-dasharray="3 3"/>`
      : '';
  return {
    height: height + 18,
    body: `${text(0, 16, chart.title, 'class="t"')}${rows.join('')}${mark}`,
  };
}

function linesPanel(chart: Extract<Chart, { kind: 'lines' }>): Panel {
  const all = chart.series.flatMap(({ points }) => points);
  const by = chart.log ? Math.log10 : (value: number): number => value;
  const [xs, ys] = [all.map(([x]) => by(x)), all.map(([, y]) => by(y))];
  const [lowX, highX] = [Math.min(...xs), Math.max(...xs)];
  const [lowY, highY] = [chart.log ? Math.min(...ys) : 0, Math.max(...ys) * (chart.log ? 1 : 1.1)];
  const plotX = 60;
  const plotW = WIDTH - plotX - 160;
  const place = ([x, y]: readonly [number, number]): [number, number] => [
    plotX + ((by(x) - lowX) / (highX - lowX || 1)) * plotW,
    34 + PLOT - ((by(y) - lowY) / (highY - lowY || 1)) * PLOT,
  ];
  const lines = chart.series.map(({ label, points }, i) => {
    const color = COLORS[i] ?? '#000';
    const placed = points.map(place);
    const path = placed.map(([x, y]) => `${x.toFixed(1)},${y.toFixed(1)}`).join(' ');
    const [endX, endY] = placed.at(-1) ?? [0, 0];
    const value = figure(points.at(-1)?.[1] ?? 0);
    // The labels of lines that end at one point must not overlap.
    const nameY = endY + (i === 0 ? -2 : 14);
    return `<polyline points="${path}" fill="none" stroke="${color}" stroke-width="2"/>${text(endX + 6, nameY, `${label} ${value}`, `fill="${color}"`)}`;
  });
  const [x0, x1] = [Math.min(...all.map(([x]) => x)), Math.max(...all.map(([x]) => x))];
  const [y0, y1] = [chart.log ? 10 ** lowY : 0, chart.log ? 10 ** highY : highY];
  const axes = [
    `<path d="M${plotX} 34V${34 + PLOT}H${plotX + plotW}" fill="none" stroke="#888"/>`,
    text(plotX - 6, 34 + PLOT, figure(y0), 'text-anchor="end"'),
    text(plotX - 6, 42, `${figure(y1)} ${chart.y}`, 'text-anchor="end"'),
    text(plotX, 50 + PLOT, figure(x0)),
    text(plotX + plotW, 50 + PLOT, `${figure(x1)} ${chart.x}`, 'text-anchor="end"'),
  ].join('');
  const title = `${chart.title}${chart.log ? ' (both axes logarithmic)' : ''}`;
  return { height: PLOT + 74, body: `${text(0, 16, title, 'class="t"')}${axes}${lines.join('')}` };
}

/** Draws all charts below each other, as one self-contained SVG. */
export function drawCharts(charts: readonly Chart[]): string {
  let y = 16;
  const panels = charts.map((chart) => {
    const { height, body } = chart.kind === 'bars' ? barsPanel(chart) : linesPanel(chart);
    const placed = `<g transform="translate(16 ${y})">${body}</g>`;
    y += height;
    return placed;
  });
  const style = 'text{font:13px system-ui,sans-serif;fill:#222}.t{font-weight:600}';
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH + 32} ${y + 8}" width="${WIDTH + 32}"><style>${style}</style><rect width="100%" height="100%" fill="#fff"/>\n${panels.join('\n')}\n</svg>\n`;
}
