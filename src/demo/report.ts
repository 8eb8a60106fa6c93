import { formatDuration } from '../lib/duration.ts';
import type { Receipt } from '../receipt/receipt.ts';
import { latencyChart, type Marks, timeline } from './chart.ts';
import type { DemoCheck } from './checks.ts';
import type { DemoWords } from './database.ts';
import type { LatencyWindow } from '../testbed/latency.ts';
import type { Paint } from '../lib/command-line/paint.ts';
import type { Snapshot, VolumeKind } from '../testbed/volume/volume.ts';

export interface WriterSummary {
  readonly clients: number;
  readonly transactions: number;
  readonly before: LatencyWindow;
  /** From freeze to thaw, without the snapshot if that stopped the server. */
  readonly frozen: LatencyWindow;
  /** During the snapshot, if that stopped the server; otherwise `null`. */
  readonly snapshot: LatencyWindow | null;
  /** The writes that waited for a hold that blocks writers; otherwise `null`. */
  readonly held: LatencyWindow | null;
  /** Writes acknowledged during such a hold, which must be 0; otherwise `null`. */
  readonly heldWrites: number | null;
  readonly after: LatencyWindow;
  /** Commits over time, with the freeze and the snapshot marked. */
  readonly timeline: {
    readonly counts: readonly number[];
    readonly columnMs: number;
    readonly marks: Marks;
  };
}

/** Where the servers and sidecars that `--keep` left running are found. */
export interface Running {
  readonly dir: string;
  readonly source: RunningPair;
  readonly restored: RunningPair | null;
}

interface RunningPair {
  /** The command that opens the database's own shell. */
  readonly shell: string;
  readonly port: number;
  readonly socket: string;
  readonly controlPort: number;
  readonly metricsPort: number;
}

export interface DemoReport {
  readonly verdict: 'verified' | 'failed';
  /** The first check that failed. */
  readonly failed: DemoCheck | null;
  readonly checks: readonly DemoCheck[];
  readonly database:
    | (DemoWords & {
        /** `PostgreSQL`. */
        readonly product: string;
        /** The amount of data at the freeze: `112 MB in 4 databases`. */
        readonly data: string;
      })
    | null;
  readonly receipt: Receipt | null;
  /** The durations of the `quiesce freeze` and `quiesce thaw` processes, and of the time between them. */
  readonly commandsMs: {
    readonly freeze: number;
    readonly held: number;
    readonly thaw: number;
  } | null;
  readonly acknowledgedBeforeFreeze: number | null;
  readonly snapshot:
    (Snapshot & { readonly kind: VolumeKind; readonly reason: string | null }) | null;
  readonly writers: WriterSummary | null;
  readonly running: Running | null;
  readonly tookMs: number;
}

const LABEL = 10;

/** The report as lines of text, without newlines. At most 80 columns wide, except for paths. */
export function summary(report: DemoReport, paint: Paint): string[] {
  const lines = ['', ...about(report, paint), ''];
  if (report.writers) lines.push(...writers(report.writers, report, paint), '');
  lines.push(...checks(report, paint), '', verdict(report, paint));
  if (report.running) lines.push('', ...runningServers(report.running, paint));
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

function writers(summed: WriterSummary, report: DemoReport, paint: Paint): string[] {
  const rows = [
    { label: 'before', window: summed.before },
    { label: 'freeze and hold', window: summed.frozen },
    ...(summed.held ? [{ label: 'wait while held', window: summed.held }] : []),
    ...(summed.snapshot ? [{ label: 'stopped to copy', window: summed.snapshot }] : []),
    { label: 'after', window: summed.after },
  ];
  const { counts, columnMs, marks } = summed.timeline;
  const commits = report.database?.commits ?? 'writes';
  const shown = commits === writesOf(report) ? ',' : `; ${commits}`;
  const head = `${summed.clients} writers, ${thousands(summed.transactions)} ${writesOf(report)}${shown} in columns of ${Math.round(columnMs)} ms:`;
  const gap = `longest time without ${commits}: before ${formatDuration(summed.before.longestGapMs)}, frozen ${formatDuration(summed.frozen.longestGapMs)}`;
  const stop =
    report.snapshot?.stalledMs && !summed.held
      ? [
          paint.dim(
            `the copy, not the freeze, stopped the writers for ${formatDuration(report.snapshot.stalledMs)}`,
          ),
        ]
      : [];
  const longest = Math.max(summed.frozen.max, summed.held?.max ?? 0);
  const wait = summed.held
    ? [
        paint.dim(
          `writers wait while frozen, here up to ${formatDuration(longest)}: a short hold is a short wait`,
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
    return `  ${paint.bold(paint.red('NOT VERIFIED'))}  check '${report.failed.name}' failed ${took}`;
  }
  const count = thousands(report.acknowledgedBeforeFreeze ?? 0);
  return `  ${paint.bold(paint.green('VERIFIED'))}  ${count} of ${count} ${writesOf(report)} acknowledged before the freeze ${took}`;
}

function writesOf({ database }: DemoReport): string {
  return database?.writes ?? 'writes';
}

function runningServers({ dir, source, restored }: Running, paint: Paint): string[] {
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
    ...pair('Still running: the source and its sidecar', source),
    ...play,
    '',
    ...(restored ? [...pair('The restored copy and its sidecar', restored), ''] : []),
    `${paint.bold('Logs')}  ${dir}`,
    `${paint.bold('Stop')}  npm run demo -- --stop`,
  ].map((line) => (line ? `  ${line}` : ''));
}

/** `12 345`: groups the digits by thousands. */
export function thousands(count: number): string {
  return String(count).replaceAll(/\B(?=(\d{3})+$)/g, ' ');
}

/** Wraps text at spaces. A word longer than the width, such as a path, is not broken. */
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
