// Draws the chart's dashboard from the answers of a real Prometheus, without Grafana. Panels, queries,
// units, thresholds and positions are those of the dashboard.
//
//   node scripts/draw-dashboard.mjs --prometheus http://127.0.0.1:9090 --minutes 15 --out docs/dashboard.png
//
// Needs chromium for the picture (Debian: apt-get install chromium).
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { drawPanel } from './dashboard/panels.mjs';

const WIDTH = 1400;
const UNIT = { column: WIDTH / 24, row: 38 };
const STYLE = `body{margin:0;background:#f4f5f7;font:13px "DejaVu Sans",sans-serif;color:#24292e}
.panel{position:absolute;box-sizing:border-box;background:#fff;border:1px solid #dfe1e6;border-radius:3px;overflow:hidden}
h2{font-size:12.5px;margin:7px 10px 3px;font-weight:600}.body{padding:0 10px}
.stat{position:absolute;inset:26px 6px 6px;border-radius:3px;display:flex;align-items:center;justify-content:center;font-size:34px;font-weight:600;color:#fff}
table{border-collapse:collapse;width:100%;font-size:12.5px}th{text-align:left;color:#5e6c84;font-weight:600}
td,th{padding:5px 8px;border-bottom:1px solid #ebecf0}.none{color:#8993a4;padding:24px;text-align:center}
.cell{color:#fff;border-radius:2px;padding:1px 8px}.legend{font-size:11px;color:#42526e;padding:2px 10px}.legend i{display:inline-block;width:12px;height:3px;margin:0 5px 3px 12px}`;

const { values } = parseArgs({
  options: {
    prometheus: { type: 'string', default: 'http://127.0.0.1:9090' },
    minutes: { type: 'string', default: '15' },
    out: { type: 'string', default: 'dashboard.png' },
  },
});
const file = new URL('../charts/quiesce/dashboards/quiesce.json', import.meta.url);
const dashboard = JSON.parse(readFileSync(file, 'utf8'));
const end = Math.floor(Date.now() / 1_000);
const range = { start: end - Number(values.minutes) * 60, end, step: 5 };

const parts = [];
for (const panel of dashboard.panels) {
  const answers = [];
  for (const target of panel.targets ?? []) answers.push(await ask(target, panel));
  const { x, y, w, h } = panel.gridPos;
  const box = { width: w * UNIT.column - 8, height: h * UNIT.row - 8 };
  const place = `left:${x * UNIT.column + 4}px;top:${y * UNIT.row + 4}px;width:${box.width}px;height:${box.height}px`;
  const body = drawPanel(panel, answers, { ...box, range });
  parts.push(`<div class="panel" style="${place}"><h2>${panel.title}</h2>${body}</div>`);
}
const rows = Math.max(...dashboard.panels.map(({ gridPos: { y, h } }) => y + h));
shoot(`<!doctype html><meta charset="utf-8"><style>${STYLE}</style><body>${parts.join('')}`);

/** Queries the series of one target as Grafana does. */
async function ask({ expr, instant, legendFormat }, panel) {
  const query = expr
    .replaceAll(/\$(?:namespace|app)\b/g, '.*')
    .replaceAll('$__interval', panel.interval === undefined ? '1m' : '30s');
  // A panel's own interval is also the step between its points, as in Grafana.
  const step = panel.interval === undefined ? range.step : 30;
  const params = instant ? { query, time: end } : { query, ...range, step };
  const path = instant ? 'query' : 'query_range';
  const url = `${values.prometheus}/api/v1/${path}?${new URLSearchParams(params)}`;
  const answer = await (await fetch(url)).json();
  if (answer.status !== 'success') throw new Error(`${panel.title}: ${answer.error}\n${query}`);
  return answer.data.result.map(({ metric, value, values: points }) => ({
    metric,
    name: legendFormat.replaceAll(/\{\{(\w+)\}\}/g, (_, label) => metric[label] ?? ''),
    points: (points ?? [value]).map(([time, text]) => [time, Number(text)]),
  }));
}

function shoot(html) {
  const folder = mkdtempSync(join(tmpdir(), 'q-dashboard-'));
  const page = join(folder, 'page.html');
  writeFileSync(page, html);
  const { status, stderr } = spawnSync(
    'chromium',
    [
      '--headless',
      '--no-sandbox',
      '--disable-gpu',
      '--hide-scrollbars',
      `--user-data-dir=${join(folder, 'profile')}`,
      `--window-size=${WIDTH},${rows * UNIT.row}`,
      `--screenshot=${resolve(values.out)}`,
      `file://${page}`,
    ],
    { encoding: 'utf8' },
  );
  rmSync(folder, { recursive: true, force: true });
  if (status !== 0) throw new Error(`chromium failed: ${stderr}`);
}
