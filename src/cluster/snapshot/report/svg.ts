import { formatDuration } from '../../../lib/duration.ts';
import { html, type Html } from './escape.ts';
import { type Row, type Timeline } from './timeline.ts';

const LABEL = 240;
const BAR = 620;
const NUMBER = 90;
const ROW = 26;
const TOP = 34;
const TICKS = 5;
/** Narrower marks cannot be seen. */
const LEAST = 2;

/** The timeline as an image that is part of the page. */
export function timelineSvg(line: Timeline, names: readonly string[]): Html {
  const height = TOP + line.rows.length * ROW + 8;
  const width = LABEL + BAR + NUMBER;
  return html`<svg viewBox="0 0 ${width} ${height}" role="img" aria-labelledby="tl">
    <title id="tl">When each member was frozen, cut and thawed</title>
    ${ticks(line, height)}
    ${line.rows.map((row, index) => rowOf(row, names[index] ?? '', line, index))}
  </svg>`;
}

function xOf(ms: number, { from, to }: Timeline): number {
  return round(LABEL + ((ms - from) / (to - from)) * BAR);
}

function ticks(line: Timeline, height: number): readonly Html[] {
  const step = (line.to - line.from) / TICKS;
  return Array.from({ length: TICKS + 1 }, (_, index) => {
    const ms = index * step;
    const x = xOf(line.from + ms, line);
    const text = index === 0 ? '0' : `+${formatDuration(ms)}`;
    return html`<line class="tick" x1="${x}" x2="${x}" y1="${TOP - 8}" y2="${height - 6}" /><text
        class="axis"
        x="${x}"
        y="16"
        text-anchor="middle"
        >${text}</text
      > `;
  });
}

function rowOf(row: Row, name: string, line: Timeline, index: number): Html {
  const y = TOP + index * ROW;
  const bars = row.phases.map(({ phase, from, to }) => {
    const x = xOf(from, line);
    const width = Math.max(LEAST, round(xOf(to, line) - x));
    return html`<rect class="${phase}" x="${x}" y="${y}" width="${width}" height="14"
      ><title>${name}: ${phase} ${formatDuration(to - from)}</title></rect
    >`;
  });
  const held = row.heldMs === undefined ? '–' : formatDuration(row.heldMs);
  return html`<g
    ><text class="name" x="${LABEL - 12}" y="${y + 12}" text-anchor="end"
      >${shortened(name)}<title>${name}</title></text
    >${bars}${cutMark(row, name, line, y)}<text
      class="axis"
      x="${LABEL + BAR + NUMBER - 4}"
      y="${y + 12}"
      text-anchor="end"
      >${held}</text
    ></g
  > `;
}

function cutMark({ cut }: Row, name: string, line: Timeline, y: number): Html | undefined {
  if (cut === undefined) return undefined;
  const x = xOf(cut, line);
  return html`<path class="cut" d="M${x} ${y + 2}l6 11h-12z"
    ><title>${name}: seen as cut +${formatDuration(cut - line.from)}</title></path
  >`;
}

function shortened(name: string): string {
  return name.length <= 34 ? name : `${name.slice(0, 33)}…`;
}

function round(value: number): number {
  return Math.round(value * 10) / 10;
}
