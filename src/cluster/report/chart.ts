import { formatDuration } from '../../lib/duration.ts';
import { html, type Html } from './escape.ts';
import type { Row, Timeline } from './timeline.ts';

/** The picture of one row is as wide as its column; inside, it has this width and height. */
const WIDE = 1_000;
const TALL = 14;
const TICKS = 4;
/** Narrower bars cannot be seen. */
const LEAST = 3;

/** What stands beside a row's picture. */
export interface ChartRow {
  readonly row: Row;
  readonly name: string;
  /** At the right: the number that matters. */
  readonly number: string;
  /** A heading above this row. */
  readonly heading?: string | undefined;
}

/** The timeline: a picture for each member, names and numbers as text. On a phone the name is above. */
export function chartOf(
  line: Timeline,
  rows: readonly ChartRow[],
  key: { readonly phases: readonly string[]; readonly mark: string; readonly number: string },
): Html {
  return html`<div class="chart">
      <div class="axis">${ticks(line)}</div>
      ${rows.map((one) => rowOf(one, line))}
    </div>
    <p class="key">
      ${key.phases.map((one) => html`<span><i class="${one}"></i>${one}</span>`)}
      <span><i class="mark"></i>${key.mark}</span><span>right: ${key.number}</span>
    </p>`;
}

function ticks({ from, to }: Timeline): readonly Html[] {
  return Array.from({ length: TICKS + 1 }, (_, index) => {
    const ms = ((to - from) * index) / TICKS;
    return html`<span>${index === 0 ? '0' : `+${formatDuration(ms)}`}</span>`;
  });
}

function rowOf({ row, name, number, heading }: ChartRow, line: Timeline): Html {
  const said = spoken(row, line);
  return html`${heading === undefined ? undefined : html`<p class="layer">${heading}</p>`}
    <div class="row">
      <span class="name">${name}</span>
      <svg
        viewBox="0 0 ${WIDE} ${TALL}"
        preserveAspectRatio="none"
        role="img"
        aria-label="${said === '' ? 'nothing is known' : said}"
      >
        ${bars(row, line, name)}${mark(row, line, name)}
      </svg>
      <span class="count">${number}</span>
    </div> `;
}

/** The picture in words. */
function spoken({ bars: all, mark: point }: Row, { from }: Timeline): string {
  const parts = all.map((one) => `${one.phase} ${formatDuration(one.to - one.from)}`);
  const moment = point && `${point.what} +${formatDuration(point.at - from)}`;
  return [...parts, ...(moment === undefined ? [] : [moment])].join(', ');
}

function bars({ bars: all }: Row, line: Timeline, name: string): readonly Html[] {
  return all.map(({ phase, from, to }) => {
    const x = xOf(from, line);
    const width = Math.max(LEAST, round(xOf(to, line) - x));
    return html`<rect class="${phase}" x="${x}" y="0" width="${width}" height="${TALL}"
      ><title>${name}: ${phase} ${formatDuration(to - from)}</title></rect
    >`;
  });
}

/** A line whose width does not change with that of the picture. */
function mark({ mark: point }: Row, line: Timeline, name: string): Html | undefined {
  if (point === undefined) return undefined;
  const x = Math.min(WIDE - 1, Math.max(1, xOf(point.at, line)));
  return html`<path class="mark" d="M${x} 0V${TALL}" vector-effect="non-scaling-stroke"
    ><title>${name}: ${point.what} +${formatDuration(point.at - line.from)}</title></path
  >`;
}

function xOf(ms: number, { from, to }: Timeline): number {
  return round(((ms - from) / (to - from)) * WIDE);
}

function round(value: number): number {
  return Math.round(value * 10) / 10;
}
