/**
 * Runs all benchmarks, one after the other, and writes bench/results.md and bench/results.svg.
 *
 * node scripts/run-ts.mjs bench/all.ts [--quick] [--postgres 17] [--freezes N] [--lock FILE]
 * [--out FOLDER]
 *
 * `--lock`: what needs a quiet machine holds this file's exclusive lock (flock) while it runs, so that
 * others who take it do not disturb it. Exits 1 where a goal was missed, 2 where something could not
 * be measured.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { drawCharts } from './support/svg.ts';
import { goalLine, markdownOf, missed, type Report } from './support/report.ts';

const { values } = parseArgs({
  options: {
    quick: { type: 'boolean', default: false },
    postgres: { type: 'string', default: '17' },
    freezes: { type: 'string' },
    lock: { type: 'string' },
    out: { type: 'string', default: 'bench' },
  },
});

interface Step {
  readonly name: string;
  readonly args?: readonly string[];
  /** Others may work meanwhile without changing what is measured. */
  readonly shared?: boolean;
}

const STEPS: readonly Step[] = [
  ...['sealed', 'open', 'staged', 'paused'].map((mode) => ({
    name: 'writers',
    args: ['--mode', mode],
  })),
  { name: 'hooks' },
  { name: 'shim' },
  { name: 'dirty' },
  { name: 'memory', args: values.freezes ? ['--freezes', values.freezes] : [], shared: true },
];

type Measured = Report & { readonly machine: string };

function commandOf({ name, args = [], shared = false }: Step): string[] {
  const quick = values.quick ? ['--quick'] : [];
  const own = [...args, ...quick, '--postgres', values.postgres, '-o', 'json'];
  const run = [process.execPath, 'scripts/run-ts.mjs', `bench/${name}.ts`, ...own];
  return values.lock === undefined ? run : ['flock', shared ? '-s' : '-x', values.lock, ...run];
}

async function measure(step: Step): Promise<Measured> {
  const [command = '', ...args] = commandOf(step);
  const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  let output = '';
  child.stdout.on('data', (chunk: Buffer) => (output += chunk.toString()));
  const [code] = (await once(child, 'close')) as [number | null];
  if (code !== 0 && code !== 1) throw new Error(`${step.name} ended with ${code}`);
  return JSON.parse(output) as Measured;
}

function results(reports: readonly Measured[], seconds: number): string {
  const goals = reports.flatMap((report) => report.goals);
  const open = reports.flatMap(missed);
  const verdict =
    open.length === 0
      ? `All ${goals.length} goals are met.`
      : `${open.length} of ${goals.length} goals ${open.length === 1 ? 'is' : 'are'} missed.`;
  const quick = values.quick ? '\n\nThis was a quick run: its numbers mean little.' : '';
  const list = goals.map((goal) => `- ${goalLine(goal).replace(/^(\w+)/, '**$1**')}`).join('\n');
  return `# Benchmarks

Written by \`npm run bench\` (${new Date().toISOString().slice(0, 10)}, ${Math.round(seconds / 60)} minutes) on
${reports[0]?.machine}.

Only ratios of one run are claims: each is measured against its alternative in turn, on the same machine, in the
same minutes. Milliseconds are of this machine.${quick}

${verdict}

${list}

![The charts of all results](results.svg)

${reports.map((report) => `${markdownOf(report)}\n`).join('')}`.trimEnd();
}

async function main(): Promise<number> {
  const begun = performance.now();
  const reports: Measured[] = [];
  for (const step of STEPS) reports.push(await measure(step));
  const folder = resolve(values.out);
  await mkdir(folder, { recursive: true });
  const seconds = (performance.now() - begun) / 1_000;
  await writeFile(join(folder, 'results.md'), `${results(reports, seconds)}\n`);
  await writeFile(join(folder, 'results.svg'), drawCharts(reports.flatMap(({ charts }) => charts)));
  const open = reports.flatMap(missed);
  for (const goal of open) process.stderr.write(`${goalLine(goal)}\n`);
  process.stdout.write(`${join(values.out, 'results.md')} is written\n`);
  return open.length > 0 ? 1 : 0;
}

process.exitCode = await main().catch((error: unknown) => {
  process.stderr.write(`bench: ${(error as Error).message}\n`);
  return 2;
});
