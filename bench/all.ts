/**
 * Runs all benchmarks one after the other, and writes results.md, results.svg and results.json.
 *
 * node scripts/run-ts.mjs bench/all.ts [--quick] [--postgres 17] [--freezes N] [--only PART,PART]
 * [--lock FILE] [--out FOLDER]
 *
 * `--only` measures only these parts (none with '') and takes the others from results.json in FOLDER.
 * `--lock`: a part that needs a quiet machine takes this file's exclusive lock (flock) while it runs.
 * If other processes hold the lock for longer than `--patience` seconds, the part runs next to them, and
 * the results say so. Exits 1 if a goal was missed, 2 if a part could not be measured.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { loadavg } from 'node:os';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { cleanEnvironment } from './support/environment.ts';
import { drawCharts } from './support/svg.ts';
import { goalLine, markdownOf, missed, type Report } from './support/report.ts';

const { values } = parseArgs({
  options: {
    quick: { type: 'boolean', default: false },
    postgres: { type: 'string', default: '17' },
    freezes: { type: 'string' },
    rounds: { type: 'string' },
    only: { type: 'string' },
    lock: { type: 'string' },
    patience: { type: 'string', default: '600' },
    out: { type: 'string', default: 'bench' },
  },
});

interface Step {
  /** The part's name in `--only`. */
  readonly part: string;
  readonly name: string;
  readonly args?: readonly string[];
  /** Other work on the machine does not change the result. */
  readonly shared?: boolean;
}

const folder = resolve(values.out);
/** Where the last result of each part is kept. */
const KEPT = join(folder, 'results.json');
const LOCK_IS_HELD = 75;

const rounds = values.rounds === undefined ? [] : ['--rounds', values.rounds];
const STEPS: readonly Step[] = [
  ...['sealed', 'open', 'staged', 'paused'].map((mode) => ({
    part: mode,
    name: 'writers',
    args: ['--mode', mode, ...rounds],
  })),
  { part: 'hooks', name: 'hooks', args: rounds },
  { part: 'redis', name: 'redis', args: rounds },
  { part: 'mongodb', name: 'mongodb', args: rounds },
  { part: 'shim', name: 'shim' },
  { part: 'dirty', name: 'dirty', args: rounds },
  {
    part: 'memory',
    name: 'memory',
    args: values.freezes === undefined ? [] : ['--freezes', values.freezes],
    shared: true,
  },
];

interface Measured {
  readonly report: Report & { readonly machine: string };
  /** When the part was measured: UTC, to the minute. */
  readonly at: string;
  /** The load average just before: the work of other processes. */
  readonly load: number | null;
  readonly alone: boolean;
}

function commandOf({ name, args = [] }: Step, lock: readonly string[]): [string, ...string[]] {
  const quick = values.quick ? ['--quick'] : [];
  const own = [...args, ...quick, '--postgres', values.postgres, '-o', 'json'];
  const run = [process.execPath, 'scripts/run-ts.mjs', `bench/${name}.ts`, ...own] as const;
  const [flock, ...options] = lock;
  return flock === undefined ? [...run] : [flock, ...options, ...run];
}

async function output([command, ...args]: readonly [string, ...string[]]) {
  const child = spawn(command, args, {
    env: cleanEnvironment(),
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let text = '';
  child.stdout.on('data', (chunk: Buffer) => (text += chunk.toString()));
  const [code] = (await once(child, 'close')) as [number | null];
  return { code, text };
}

async function measure(step: Step): Promise<Measured> {
  const [at, load] = [new Date().toISOString().slice(0, 16), loadavg()[0] ?? 0];
  const { lock, patience } = values;
  const shared = lock === undefined ? [] : ['flock', '-s', lock];
  const exclusive = ['flock', '-x', '-w', patience, '-E', String(LOCK_IS_HELD), lock ?? ''];
  let alone = lock !== undefined && !step.shared;
  let { code, text } = await output(commandOf(step, alone ? exclusive : shared));
  if (alone && code === LOCK_IS_HELD) {
    alone = false;
    ({ code, text } = await output(commandOf(step, shared)));
  }
  if (code !== 0 && code !== 1) throw new Error(`${step.part} ended with ${code}`);
  return { report: JSON.parse(text) as Measured['report'], at, load, alone };
}

type Kept = Partial<Record<string, Measured>>;

async function readKept(): Promise<Kept> {
  const text = await readFile(KEPT, 'utf8').catch(() => '{}');
  return JSON.parse(text) as Kept;
}

async function measuredOrKept(step: Step, wanted: boolean, all: Kept): Promise<Measured> {
  const before = all[step.part];
  if (!wanted && before) return before;
  if (!wanted) throw new Error(`${step.part} was never measured: run without --only`);
  const measured = await measure(step);
  all[step.part] = measured;
  // Written now: a later part may fail, and this one took long to measure.
  await writeFile(KEPT, `${JSON.stringify(all, null, 1)}\n`);
  return measured;
}

/** One line: when and on which machine a part was measured, and whether it ran alone. */
function circumstances({ report, at, load, alone }: Measured): string {
  const others = alone ? 'alone on the machine' : 'next to other work';
  const before =
    load === null ? 'load average not recorded' : `load average ${load.toFixed(1)} before`;
  return `_${at} UTC, ${others} (${before}): ${report.machine}._`;
}

function results(parts: readonly Measured[]): string {
  const reports = parts.map(({ report }) => report);
  const goals = reports.flatMap((report) => report.goals);
  const open = reports.flatMap(missed);
  const verdict =
    open.length === 0
      ? `All ${goals.length} goals are met.`
      : `${open.length} of ${goals.length} goals ${open.length === 1 ? 'is' : 'are'} missed.`;
  const quick = values.quick ? '\n\nThis was a quick run: its numbers are not meaningful.' : '';
  const list = goals.map((goal) => `- ${goalLine(goal).replace(/^(\w+)/, '**$1**')}`).join('\n');
  const sections = parts.map((part) => `${markdownOf(part.report)}\n${circumstances(part)}\n`);
  return `# Benchmarks

Written by \`npm run bench\`. Only ratios within one run are claims: the alternatives are measured in turn, on
the same machine, within the same minutes. Where the treatment \`nothing\` is listed, it shows the noise of the
machine. Milliseconds hold for this machine only. A line below each part describes the machine and the
environment of its processes.${quick}

${verdict}

${list}

![The charts of all results](results.svg)

${sections.join('\n')}`.trimEnd();
}

async function main(): Promise<number> {
  const only = values.only?.split(',').filter((part) => part !== '');
  const unknown = only?.filter((part) => !STEPS.some((step) => step.part === part)) ?? [];
  if (unknown.length > 0) throw new Error(`--only: unknown part ${unknown.join(', ')}`);
  await mkdir(folder, { recursive: true });
  const [parts, all]: [Measured[], Kept] = [[], await readKept()];
  for (const step of STEPS) {
    const wanted = only === undefined || only.includes(step.part);
    parts.push(await measuredOrKept(step, wanted, all));
  }
  const charts = parts.flatMap(({ report }) => report.charts);
  await writeFile(join(folder, 'results.md'), `${results(parts)}\n`);
  await writeFile(join(folder, 'results.svg'), drawCharts(charts));
  const open = parts.flatMap(({ report }) => missed(report));
  for (const goal of open) process.stderr.write(`${goalLine(goal)}\n`);
  process.stdout.write(`Wrote ${join(values.out, 'results.md')}\n`);
  return open.length > 0 ? 1 : 0;
}

process.exitCode = await main().catch((error: unknown) => {
  process.stderr.write(`bench: ${(error as Error).message}\n`);
  return 2;
});
