// Draws each kind of panel from its settings, as an approximation of Grafana's own drawing.
const COLORS = {
  green: '#37872d',
  red: '#c4162a',
  orange: '#e0752d',
  blue: '#3274d9',
  transparent: 'none',
};
const LINES = ['#3274d9', '#37872d', '#e0752d', '#8f3bb8', '#c4162a', '#0a97a6'];
const NONE = '<div class="none">No data</div>';
const AXIS = { left: 56, right: 10, top: 6, bottom: 18 };

/** The content of a panel as HTML; `answers` has one list of series for each target. */
export function drawPanel(panel, answers, box) {
  const draw = { stat, table, 'state-timeline': timeline, timeseries: graph }[panel.type];
  if (!draw) throw new Error(`cannot draw a panel of type ${panel.type}`);
  return draw(panel, answers, box);
}

function stat({ fieldConfig: { defaults } }, [series]) {
  const value = series[0]?.points.at(-1)?.[1];
  if (value === undefined || Number.isNaN(value)) return NONE;
  const color = byThreshold(defaults.thresholds, value);
  return `<div class="stat" style="background:${color}">${format(value, defaults)}</div>`;
}

function table(panel, answers) {
  const { indexByName, renameByName } = panel.transformations.at(-1).options;
  const columns = Object.keys(indexByName).sort((a, b) => indexByName[a] - indexByName[b]);
  const rows = new Map();
  answers.forEach((series, at) => {
    for (const { metric, points } of series) {
      const key = JSON.stringify([metric.namespace, metric.pod, metric.app, metric.engine]);
      const row = rows.get(key) ?? { ...metric };
      row[`Value #${panel.targets[at].refId}`] = points.at(-1)[1];
      rows.set(key, row);
    }
  });
  if (rows.size === 0) return NONE;
  const head = columns.map((name) => `<th>${renameByName[name] ?? name}</th>`).join('');
  const cell = (row, name) => `<td>${show(panel, renameByName[name] ?? name, row[name])}</td>`;
  const body = [...rows.values()].map(
    (row) => `<tr>${columns.map((name) => cell(row, name)).join('')}</tr>`,
  );
  return `<div class="body"><table><tr>${head}</tr>${body.join('')}</table></div>`;
}

function show(panel, column, value) {
  if (value === undefined) return '';
  const found = panel.fieldConfig.overrides.find(({ matcher }) => matcher.options === column);
  const own = Object.fromEntries((found?.properties ?? []).map(({ id, value: set }) => [id, set]));
  const mapped = own.mappings?.[0].options[value];
  if (mapped?.color) {
    return `<span class="cell" style="background:${COLORS[mapped.color]}">${mapped.text}</span>`;
  }
  if (mapped) return mapped.text;
  const text = typeof value === 'number' ? format(value, own) : value;
  return own.thresholds
    ? `<span style="color:${byThreshold(own.thresholds, value)}">${text}</span>`
    : text;
}

function timeline({ fieldConfig: { defaults } }, [series], { width, height, range }) {
  if (series.length === 0) return NONE;
  const states = defaults.mappings[0].options;
  const area = { left: 170, top: 4, width: width - 190, height: height - 84 };
  const tall = Math.min(44, area.height / series.length);
  const bars = series.flatMap(({ name, points }, row) => {
    const y = area.top + row * tall;
    const label = `<text x="${area.left - 8}" y="${y + tall / 2 + 4}" text-anchor="end">${name}</text>`;
    const cells = points.map(([time, value]) => {
      const x = area.left + ((time - range.start) / (range.end - range.start)) * area.width;
      const wide = (range.step / (range.end - range.start)) * area.width + 0.6;
      const color = COLORS[states[value]?.color] ?? 'none';
      return `<rect x="${x}" y="${y + 4}" width="${wide}" height="${tall - 8}" fill="${color}"/>`;
    });
    return [label, ...cells];
  });
  const ticks = timeTicks(range, area, area.top + series.length * tall + 16);
  const legend = Object.values(states).map(({ text, color }) => [text, COLORS[color] ?? '#999']);
  return svg(width, height - 54, [...bars, ...ticks]) + legendOf(legend);
}

function graph({ fieldConfig: { defaults } }, answers, { width, height, range }) {
  const series = answers.flat();
  if (series.length === 0) return NONE;
  const bars = defaults.custom.drawStyle === 'bars';
  const area = {
    left: AXIS.left,
    top: AXIS.top,
    width: width - AXIS.left - AXIS.right,
    height: height - 62 - AXIS.top - AXIS.bottom,
  };
  const most = Math.max(...series.flatMap(({ points }) => points.map(([, value]) => value)));
  const top = nice(most, bars);
  const x = (time) => area.left + ((time - range.start) / (range.end - range.start)) * area.width;
  const y = (value) => area.top + area.height * (1 - value / top);
  const grid = [0, 0.5, 1].map((share) => {
    const at = y(top * share);
    const line = `<line x1="${area.left}" x2="${area.left + area.width}" y1="${at}" y2="${at}" stroke="#ebecf0"/>`;
    return `${line}<text x="${area.left - 6}" y="${at + 4}" text-anchor="end">${format(top * share, defaults)}</text>`;
  });
  const marks = series.map(({ points }, at) => {
    const color = LINES[at % LINES.length];
    if (bars) {
      return points
        .filter(([, value]) => value > 0)
        .map(
          ([t, v]) =>
            `<rect x="${x(t) + at * 5}" y="${y(v)}" width="4" height="${area.top + area.height - y(v)}" fill="${color}" opacity=".8"/>`,
        )
        .join('');
    }
    const path = points.map(([t, v], i) => (i === 0 ? `M${x(t)},${y(v)}` : `H${x(t)}V${y(v)}`));
    return `<path d="${path.join('')}" fill="none" stroke="${color}" stroke-width="2"/>`;
  });
  const ticks = timeTicks(range, area, area.top + area.height + 14);
  const legend = series.map(({ name }, at) => [name, LINES[at % LINES.length]]);
  return svg(width, height - 54, [...grid, ...marks, ...ticks]) + legendOf(legend);
}

function svg(width, height, parts) {
  return `<svg width="${width - 2}" height="${height}" font-size="11" fill="#42526e">${parts.join('')}</svg>`;
}

function legendOf(entries) {
  const items = entries.map(([text, color]) => `<i style="background:${color}"></i>${text}`);
  return `<div class="legend">${items.join('')}</div>`;
}

function timeTicks({ start, end }, { left, width }, y) {
  const every = 180;
  const first = Math.ceil(start / every) * every;
  const times = Array.from(
    { length: Math.floor((end - first) / every) + 1 },
    (_, i) => first + i * every,
  );
  return times.map((time) => {
    const x = left + ((time - start) / (end - start)) * width;
    const label = new Date(time * 1_000).toISOString().slice(11, 16);
    return `<text x="${x}" y="${y}" text-anchor="middle">${label}</text>`;
  });
}

function byThreshold({ steps }, value) {
  const reached = steps.filter((step) => step.value === null || value >= step.value);
  return COLORS[reached.at(-1).color] ?? '#5e6c84';
}

/** The next round number at or above the value, for a readable axis. */
function nice(value, whole) {
  if (!(value > 0)) return 1;
  const power = 10 ** Math.floor(Math.log10(value));
  const round = [1, 2, 5, 10].map((factor) => factor * power).find((one) => one >= value);
  return whole ? Math.max(2, Math.ceil(round)) : round;
}

function format(value, { unit = 'short', decimals }) {
  if (unit === 'bytes') return `${(value / 2 ** 20).toFixed(0)} MiB`;
  if (unit !== 's') return String(Number(value.toFixed(decimals ?? 2)));
  if (value >= 86_400) return `${(value / 86_400).toFixed(decimals ?? 1)} d`;
  if (value >= 3_600) return `${(value / 3_600).toFixed(decimals ?? 1)} h`;
  if (value >= 60) return `${(value / 60).toFixed(decimals ?? 1)} min`;
  return value >= 1 || value === 0
    ? `${value.toFixed(value === 0 ? 0 : 2)} s`
    : `${(value * 1_000).toFixed(0)} ms`;
}
