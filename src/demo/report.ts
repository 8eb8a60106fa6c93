import { formatDuration } from '../lib/duration.ts';
import type { Receipt } from '../receipt/receipt.ts';
import { latencyChart, type Marks, timeline } from './chart.ts';
import type { DemoCheck } from './checks.ts';
import type { DemoWords } from './database.ts';
import type { LatencyWindow } from '../testbed/latency.ts';
import type { Paint } from './paint.ts';
import type { Snapshot, VolumeKind } from '../testbed/volume/volume.ts';

export interface WriterStory {
  readonly clients: number;
  readonly transactions: number;
  readonly before: LatencyWindow;
  /** While freezing and held, without the snapshot where that stopped the server. */
  readonly frozen: LatencyWindow;
  /** While the snapshot was made, where that stopped the server; else `null`. */
  readonly snapshot: LatencyWindow | null;
  /** What waited for a hold that blocks writers; else `null`. */
  readonly held: LatencyWindow | null;
  /** Acknowledged while such a hold was in place: none may be. */
  readonly heldWrites: number | null;
  readonly after: LatencyWindow;
  /** Commits over time, and what happened when. */
  readonly timeline: {
    readonly counts: readonly number[];
    readonly columnMs: number;
    readonly marks: Marks;
  };
}

/** Where to find what `--keep` left running. */
export interface Running {
  readonly dir: string;
  readonly source: RunningPair;
  readonly restored: RunningPair | null;
}

interface RunningPair {
  /** Opens the database's own shell. */
  readonly shell: string;
  readonly port: number;
  readonly socket: string;
  readonly controlPort: number;
  readonly metricsPort: number;
}

export interface DemoReport {
  readonly verdict: 'verified' | 'failed';
  /** The first check that did not hold. */
  readonly failed: DemoCheck | null;
  readonly checks: readonly DemoCheck[];
  readonly database:
    | (DemoWords & {
        /** `PostgreSQL`. */
        readonly product: string;
        /** How much there was at the freeze: `112 MB in 4 databases`. */
        readonly data: string;
      })
    | null;
  readonly receipt: Receipt | null;
  /** The `quiesce freeze` and `quiesce thaw` processes from start to end, and between them. */
  readonly commandsMs: {
    readonly freeze: number;
    readonly held: number;
    readonly thaw: number;
  } | null;
  readonly acknowledgedBeforeFreeze: number | null;
  readonly snapshot:
    (Snapshot & { readonly kind: VolumeKind; readonly reason: string | null }) | null;
  readonly writers: WriterStory | null;
  readonly running: Running | null;
  readonly tookMs: number;
}

const LABEL = 10;

/** The end of the demo, for a person: at most 80 columns, lines without the final newline. */
export function summary(report: DemoReport, paint: Paint): string[] {
  const lines = ['', ...about(report, paint), ''];
  if (report.writers) lines.push(...writers(report.writers, report, paint), '');
  lines.push(...checks(report, paint), '', verdict(report, paint));
  if (report.running) lines.push('', ...playground(report.running, paint));
  return lines;
}

function about(report: DemoReport, paint: Paint): string[] {
  const { receipt, database, commandsMs, snapshot } = report;
  const row = (label: string, text: string): string[] =>
    wrap(text, 78 - LABEL).map(
      (line, i) => `  ${paint.bold((i === 0 ? label : '').padEnd(LABEL))}${line}`,
    );
  const lines: string[] = [];
  if (receipt) {
    const { engine, position, mode } = receipt;
    const data = database ? `, ${database.data}` : '';
    const lsn = typeof position?.['lsn'] === 'string' ? ` at ${position['lsn']}` : '';
    lines.push(
      ...row(
        'Frozen',
        `${database?.product ?? engine.name} ${engine.version}, ${engine.role}${data}; ${mode}${lsn}`,
      ),
    );
  }
  if (commandsMs) {
    const { freeze, held, thaw } = commandsMs;
    const text = `freeze ${formatDuration(freeze)}, held ${formatDuration(held)} under load, thaw ${formatDuration(thaw)}`;
    lines.push(...row('Took', text));
  }
  if (snapshot) {
    const why = snapshot.reason === null ? '' : ` (no btrfs here: ${snapshot.reason})`;
    lines.push(...row('Copied', `in ${formatDuration(snapshot.ms)}: ${snapshot.how}${why}`));
  }
  return lines;
}

function writers(story: WriterStory, report: DemoReport, paint: Paint): string[] {
  const rows = [
    { label: 'before', window: story.before },
    { label: 'freeze and hold', window: story.frozen },
    ...(story.held ? [{ label: 'wait while held', window: story.held }] : []),
    ...(story.snapshot ? [{ label: 'stopped to copy', window: story.snapshot }] : []),
    { label: 'after', window: story.after },
  ];
  const { counts, columnMs, marks } = story.timeline;
  const commits = report.database?.commits ?? 'writes';
  const shown = commits === writesOf(report) ? ',' : `; ${commits}`;
  const head = `${story.clients} writers, ${thousands(story.transactions)} ${writesOf(report)}${shown} in columns of ${Math.round(columnMs)} ms:`;
  const gap = `longest time without ${commits}: before ${formatDuration(story.before.longestGapMs)}, frozen ${formatDuration(story.frozen.longestGapMs)}`;
  const stop =
    report.snapshot?.stalledMs && !story.held
      ? [
          paint.dim(
            `writers stood still ${formatDuration(report.snapshot.stalledMs)} for the copy, not for the freeze`,
          ),
        ]
      : [];
  const longest = Math.max(story.frozen.max, story.held?.max ?? 0);
  const wait = story.held
    ? [
        paint.dim(
          `while frozen writers wait, here up to ${formatDuration(longest)}: a short hold is a short wait`,
        ),
      ]
    : [];
  return [
    head,
    '',
    ...timeline(counts, marks, paint),
    '',
    ...latencyChart(rows, paint, report.database?.rate),
    paint.dim(gap),
    ...stop,
    ...wait,
  ].map((line) => (line ? `  ${line}` : ''));
}

function checks(report: DemoReport, paint: Paint): string[] {
  return report.checks.flatMap(({ name, ok, message }) => {
    const mark = ok ? paint.green('✓') : paint.red('✗');
    const text = ok ? message : `${name}: ${message}`;
    return wrap(text, 74).map((line, i) => `  ${i === 0 ? mark : ' '} ${line}`);
  });
}

function verdict(report: DemoReport, paint: Paint): string {
  const took = paint.dim(`(${formatDuration(report.tookMs)})`);
  if (report.failed) {
    return `  ${paint.bold(paint.red('NOT VERIFIED'))}  check '${report.failed.name}' did not hold ${took}`;
  }
  const count = thousands(report.acknowledgedBeforeFreeze ?? 0);
  return `  ${paint.bold(paint.green('VERIFIED'))}  ${count} of ${count} ${writesOf(report)} acknowledged before the freeze ${took}`;
}

function writesOf({ database }: DemoReport): string {
  return database?.writes ?? 'writes';
}

function playground({ dir, source, restored }: Running, paint: Paint): string[] {
  const pair = (
    title: string,
    { shell, socket, controlPort, metricsPort }: RunningPair,
  ): string[] => [
    paint.bold(title),
    shell,
    `curl -s --unix-socket ${socket} http://localhost/v1/status`,
    `curl -s http://127.0.0.1:${controlPort}/v1/status`,
    `curl -s http://127.0.0.1:${metricsPort}/metrics`,
  ];
  const play = [
    `curl -s -X POST http://127.0.0.1:${source.controlPort}/v1/freeze`,
    `curl -s -X POST http://127.0.0.1:${source.controlPort}/v1/thaw`,
    `curl -s http://127.0.0.1:${source.controlPort}/v1/receipts`,
  ];
  return [
    ...pair('Still running: the source, and its sidecar', source),
    ...play,
    '',
    ...(restored ? [...pair('The restored copy, and its sidecar', restored), ''] : []),
    `${paint.bold('Logs')}  ${dir}`,
    `${paint.bold('Stop')}  npm run demo -- --stop`,
  ].map((line) => (line ? `  ${line}` : ''));
}

/** `12 345`, with thin gaps a number reads easily by. */
export function thousands(count: number): string {
  return String(count).replaceAll(/\B(?=(\d{3})+$)/g, ' ');
}

/** Breaks at spaces; a word longer than the width, such as a path, stays whole. */
export function wrap(text: string, width: number): string[] {
  const lines: string[] = [];
  for (const word of text.split(/\s+/).filter(Boolean)) {
    const last = lines.at(-1);
    if (last !== undefined && last.length + 1 + word.length <= width)
      lines[lines.length - 1] = `${last} ${word}`;
    else lines.push(word);
  }
  return lines;
}
