import { formatDuration } from '../../../lib/duration.ts';
import { formatBytes } from '../../objects/bytes.ts';
import { chartOf } from '../../report/chart.ts';
import { html, type Html } from '../../report/escape.ts';
import { factList, pageOf, tableOf } from '../../report/page.ts';
import { problemList } from '../../report/problems.ts';
import { isDrawn } from '../../report/timeline.ts';
import { memberName, moment, namespacesIn, tookText } from '../../report/words.ts';
import type { SnapshotRun } from '../document.ts';
import { CUT, timelineOf } from './timeline.ts';
import {
  bytesIn,
  leftOutText,
  nothingKept,
  problemsIn,
  togetherSentence,
  verdictSentence,
} from './words.ts';

const VERDICTS = ['proven', 'unproven', 'failed'] as const;
const PHASES = ['freezing', 'held', 'thawing'];
const STYLE = `rect.freezing { fill: var(--soft); } rect.held { fill: var(--strong); }
rect.thawing { fill: var(--grey); } i.freezing { background: var(--soft); } i.held { background: var(--strong); }
i.thawing { background: var(--grey); }
`;

/** One run as one file: no script, and nothing is loaded from anywhere. */
export function runPage(run: SnapshotRun): string {
  const several = namespacesIn(run).length > 1;
  const names = run.members.map((member) => memberName(member, several));
  return pageOf({
    title: `${run.verdict}: ${run.id}`,
    verdict: VERDICTS.find((one) => one === run.verdict) ?? 'failed',
    style: STYLE,
    body: [
      html`<header>
        <p class="verdict">${run.verdict}</p>
        <h1>${run.id}</h1>
        <p>${verdictSentence(run)}</p>
        ${together(run)}
      </header>`,
      facts(run),
      html`<h2>Timeline</h2>`,
      timeline(run, names),
      problemList(run.verdict === 'proven' ? 'Notes' : 'Problems', problemsIn(run)),
      html`<h2>Snapshots</h2>`,
      snapshots(run, names),
      html`<footer>
        ${run.shortened} Made by quiesce. Find the snapshots with the label
        quiesce.dev/run=${run.id}.
      </footer>`,
    ],
  });
}

function together(run: SnapshotRun): Html | undefined {
  const sentence = togetherSentence(run);
  return sentence === undefined ? undefined : html`<p><strong>Together:</strong> ${sentence}</p>`;
}

function facts(run: SnapshotRun): Html {
  const bytes = bytesIn(run.members);
  return factList([
    ['Group', run.group],
    ['Namespaces', namespacesIn(run).join(', ')],
    ['Started', moment(run.startedAt)],
    ['Took', tookText(run)],
    ['Frozen within', formatDuration(run.freezeSpreadMs)],
    ['Left out', leftOutText(run)],
    ['Size to restore', bytes === 0 ? undefined : formatBytes(bytes)],
  ]);
}

function timeline(run: SnapshotRun, names: readonly string[]): Html {
  const line = timelineOf(run);
  if (!isDrawn(line)) return html`<p>No times are known of this run.</p>`;
  const rows = line.rows.map((row, index) => ({
    row,
    name: names[index] ?? '',
    number: row.heldMs === undefined ? '–' : formatDuration(row.heldMs),
  }));
  return chartOf(line, rows, { phases: PHASES, mark: CUT, number: 'how long it was held' });
}

function snapshots(run: SnapshotRun, names: readonly string[]): Html {
  const rows = run.members.flatMap((member, index) =>
    member.snapshots.map((one) => [
      names[index] ?? '',
      one.claim,
      `${one.namespace}/${one.name}`,
      one.cutAt === undefined ? 'not seen' : moment(one.cutAt),
      one.ready ? 'yes' : 'no',
      one.restoreSize === undefined ? '–' : formatBytes(one.restoreSize),
    ]),
  );
  if (rows.length === 0) return html`<p>${nothingKept(run)}</p>`;
  const heads = ['Member', 'Claim', 'VolumeSnapshot', 'Cut, by the driver’s clock', 'Ready'];
  return tableOf([...heads.map((text) => ({ text })), { text: 'Size', number: true }], rows);
}
