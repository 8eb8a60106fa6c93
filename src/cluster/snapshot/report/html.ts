import { formatDuration } from '../../../lib/duration.ts';
import type { RunMember, SnapshotRun } from '../document.ts';
import { formatBytes } from '../../objects/bytes.ts';
import { html, Html } from './escape.ts';
import { STYLE } from './style.ts';
import { timelineSvg } from './svg.ts';
import { timelineOf } from './timeline.ts';
import {
  bytesIn,
  leftOutText,
  memberName,
  moment,
  namespacesIn,
  problemsIn,
  togetherSentence,
  tookText,
  verdictSentence,
} from './words.ts';

const VERDICTS = ['proven', 'unproven', 'failed'] as const;

/** One run as one file: no script, and nothing is loaded from anywhere. */
export function runPage(run: SnapshotRun): string {
  const several = namespacesIn(run).length > 1;
  const names = run.members.map((member) => memberName(member, several));
  const verdict = VERDICTS.find((one) => one === run.verdict) ?? 'failed';
  return html`<!doctype html>
    <html lang="en">
      <head>
        <meta charset="utf-8" />
        <meta name="viewport" content="width=device-width, initial-scale=1" />
        <meta
          http-equiv="Content-Security-Policy"
          content="default-src 'none'; style-src 'unsafe-inline'"
        />
        <title>${run.verdict}: ${run.id}</title>
        <style>
          ${new Html(STYLE)}
        </style>
      </head>
      <body class="${verdict}">
        <header>
          <p class="verdict">${run.verdict}</p>
          <h1>${run.id}</h1>
          <p>${verdictSentence(run)}</p>
          ${together(run)}
        </header>
        ${facts(run)}
        <h2>Timeline</h2>
        ${timeline(run, names)} ${problems(run)}
        <h2>Snapshots</h2>
        ${snapshots(run.members, names)}
        <footer>
          ${run.shortened} Made by quiesce. Find the snapshots with the label
          quiesce.dev/run=${run.id}.
        </footer>
      </body>
    </html> `.text;
}

function together(run: SnapshotRun): Html | undefined {
  const sentence = togetherSentence(run);
  return sentence === undefined ? undefined : html`<p><strong>Together:</strong> ${sentence}</p>`;
}

function facts(run: SnapshotRun): Html {
  const bytes = bytesIn(run.members);
  const all: readonly (readonly [string, string | undefined])[] = [
    ['Group', run.group],
    ['Namespaces', namespacesIn(run).join(', ')],
    ['Started', moment(run.startedAt)],
    ['Took', tookText(run)],
    ['Frozen within', formatDuration(run.freezeSpreadMs)],
    ['Left out', leftOutText(run)],
    ['Size to restore', bytes === 0 ? undefined : formatBytes(bytes)],
  ];
  const shown = all.filter(([, value]) => value !== undefined && value !== '');
  return html`<dl>
    ${shown.map(
      ([name, value]) =>
        html`<div>
          <dt>${name}</dt>
          <dd>${value}</dd>
        </div>`,
    )}
  </dl>`;
}

function timeline(run: SnapshotRun, names: readonly string[]): Html {
  const line = timelineOf(run);
  if (line.rows.every(({ phases, cut }) => phases.length === 0 && cut === undefined)) {
    return html`<p>No times are known of this run.</p>`;
  }
  const key = ['freezing', 'held', 'thawing'].map(
    (one) => html`<span><i class="${one}"></i>${one}</span>`,
  );
  return html`<div class="chart">${timelineSvg(line, names)}</div>
    <p class="key">
      ${key}<span><b>▲</b> seen as cut</span><span>right: how long it was held</span>
    </p>`;
}

function problems(run: SnapshotRun): Html | undefined {
  const all = problemsIn(run);
  if (all.length === 0) return undefined;
  const items = all.map(
    ({ code, message, hint, of }) =>
      html`<li>
        <strong>${code}</strong
        >${of === undefined ? undefined : html` ${of}`}<br />${message}${hint === undefined ? undefined : html`<pre>${hint}</pre>`}
      </li> `,
  );
  return html`<h2>${run.verdict === 'proven' ? 'Notes' : 'Problems'}</h2>
    <ul>
      ${items}
    </ul>`;
}

function snapshots(members: readonly RunMember[], names: readonly string[]): Html {
  const rows = members.flatMap((member, index) =>
    member.snapshots.map(
      (one) =>
        html`<tr>
          <td>${names[index]}</td>
          <td>${one.claim}</td>
          <td>${one.namespace}/${one.name}</td>
          <td>${one.cutAt === undefined ? 'not seen' : moment(one.cutAt)}</td>
          <td>${one.ready ? 'yes' : 'no'}</td>
          <td class="number">
            ${one.restoreSize === undefined ? '–' : formatBytes(one.restoreSize)}
          </td>
        </tr> `,
    ),
  );
  if (rows.length === 0) return html`<p>Nothing is kept.</p>`;
  return html`<div class="wide">
    <table>
      <thead>
        <tr>
          <th>Member</th>
          <th>Claim</th>
          <th>VolumeSnapshot</th>
          <th>Cut, by the driver’s clock</th>
          <th>Ready</th>
          <th class="number">Size</th>
        </tr>
      </thead>
      <tbody>
        ${rows}
      </tbody>
    </table>
  </div>`;
}
