import { formatDuration } from '../../../lib/duration.ts';
import { formatBytes } from '../../objects/bytes.ts';
import { chartOf } from '../../report/chart.ts';
import { html, type Html } from '../../report/escape.ts';
import { factList, pageOf, tableOf } from '../../report/page.ts';
import { problemList } from '../../report/problems.ts';
import { isDrawn } from '../../report/timeline.ts';
import { memberName, moment, namespacesIn, tookText } from '../../report/words.ts';
import type { RecoveryRun } from '../document.ts';
import { nextSteps } from './next.ts';
import { PHASES, timelineOf, VERIFIED } from './timeline.ts';
import {
  ageText,
  bytesIn,
  layerText,
  notProven,
  problemsIn,
  secondsText,
  sourceName,
  stateOf,
  verdictSentence,
} from './words.ts';

const STYLE = `rect.waiting { fill: var(--grey); } rect.starting { fill: var(--strong); }
rect.checking { fill: var(--soft); } i.waiting { background: var(--grey); } i.starting { background: var(--strong); }
i.checking { background: var(--soft); }
`;

/** One restore or drill as one file: no script, and nothing is loaded from anywhere. */
export function recoveryPage(run: RecoveryRun): string {
  const state = stateOf(run);
  const word = state === 'running' ? 'under way' : state;
  const what = run.kind === 'DrillRun' ? 'Drill' : 'Restore';
  return pageOf({
    title: `${word}: ${run.id}`,
    verdict: state,
    style: STYLE,
    body: [
      html`<header>
        <p class="verdict">${what} ${word}</p>
        <h1>${run.id}</h1>
        <p>${verdictSentence(run)}</p>
      </header>`,
      measures(run),
      facts(run),
      html`<h2>Timeline</h2>`,
      timeline(run),
      doubts(run),
      problemList(state === 'proven' ? 'Notes' : 'Problems', problemsIn(run)),
      html`<h2>Members</h2>`,
      members(run),
      notKept(run),
      next(run),
      html`<footer>${run.shortened} Made by quiesce. The run is recorded as ${run.id}.</footer>`,
    ],
  });
}

/** What people ask for first. */
function measures(run: RecoveryRun): Html {
  return html`<div class="big">
    ${factList([
      ['Age of the data', ageText(run) ?? 'not known'],
      ['Back after', secondsText(run.rtoSeconds) ?? 'not measured'],
    ])}
  </div>`;
}

function facts(run: RecoveryRun): Html {
  const bytes = bytesIn(run);
  const drill = run.kind === 'DrillRun' ? run : undefined;
  return factList([
    ['Source', sourceName(run)],
    ['Group', run.group],
    ['Namespaces', movesOf(run)],
    ['Mode', drill?.mode],
    ['Started', moment(run.startedAt)],
    ['Took', tookText(run)],
    ['Size', bytes === 0 ? undefined : formatBytes(bytes)],
    ['Removed', drill?.removed === undefined ? undefined : drill.removed ? 'yes' : 'not all of it'],
  ]);
}

/** `shop`, or `shop → shop-copy` where it became another one. */
function movesOf({ source }: RecoveryRun): string {
  return Object.entries(source.namespaces)
    .map(([from, to]) => (from === to ? from : `${from} → ${to}`))
    .join(', ');
}

function timeline(run: RecoveryRun): Html {
  const line = timelineOf(run);
  if (!isDrawn(line)) return html`<p>No times are known of this run.</p>`;
  const several = namespacesIn(run).length > 1;
  const rows = line.rows.map((row, index) => ({
    row,
    name: memberName(row.member, several),
    number: row.healthyMs === undefined ? 'not healthy' : `+${formatDuration(row.healthyMs)}`,
    heading:
      index > 0 && line.rows[index - 1]?.layer === row.layer
        ? undefined
        : layerText(run, row.layer),
  }));
  return chartOf(line, rows, { phases: PHASES, mark: VERIFIED, number: 'when it was healthy' });
}

function doubts(run: RecoveryRun): Html | undefined {
  const all = notProven(run);
  if (all.length === 0) return undefined;
  return html`<h2>Not proven</h2>
    <ul>
      ${all.map((one) => html`<li>${one}</li>`)}
    </ul>`;
}

function members(run: RecoveryRun): Html {
  const several = namespacesIn(run).length > 1;
  const rows = timelineOf(run).rows.map(({ member, layer, healthyMs }) => [
    memberName(member, several),
    layer === undefined ? '–' : String(layer + 1),
    member.engine ?? '–',
    healthyMs === undefined ? 'no' : 'yes',
    member.level ?? '–',
    member.dataAt === undefined ? '–' : moment(member.dataAt),
    member.bytes === undefined ? '–' : formatBytes(member.bytes),
  ]);
  if (rows.length === 0) return html`<p>There are none.</p>`;
  const heads = ['Member', 'Layer', 'Engine', 'Healthy', 'Data', 'Data of'];
  return tableOf([...heads.map((text) => ({ text })), { text: 'Size', number: true }], rows);
}

function notKept(run: RecoveryRun): Html | undefined {
  const all = run.notKept ?? [];
  if (all.length === 0) return undefined;
  const several = namespacesIn(run).length > 1;
  const rows = all.map(({ member, volume, why, declared }) => [
    memberName(member, several),
    volume,
    why,
    declared ?? 'not declared',
  ]);
  const heads = ['Member', 'Volume', 'Why', 'Declared'].map((text) => ({ text }));
  return html`<h2>Not in the ${run.source.kind}</h2>
    ${tableOf(heads, rows)}`;
}

function next(run: RecoveryRun): Html {
  const parts = nextSteps(run).map((one) =>
    /[.:]$/.test(one) ? html`<p>${one}</p>` : html`<pre>${one}</pre>`,
  );
  return html`<h2>Next</h2>
    ${parts}`;
}
