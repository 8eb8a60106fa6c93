import { existsSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { type HarnessOptions, parseOptions, USAGE } from './options.ts';
import { play, type RunResult } from './play.ts';
import { byKind, render, totals } from './report.ts';
import { World } from './world.ts';

/** A new server and volume after so many runs, and after every finding. */
const RUNS_A_WORLD = 60;

process.exitCode = await main();

async function main(): Promise<number> {
  let options: HarnessOptions;
  try {
    options = parseOptions(process.argv.slice(2));
  } catch (error) {
    process.stderr.write(`${(error as Error).message}\n${USAGE}\n`);
    return 2;
  }
  let stopped = false;
  for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => (stopped = true));
  const results = await runAll(options, () => stopped);
  if (options.output === 'json') {
    const findings = results.flatMap(({ run, findings }) => findings.map((f) => ({ run, ...f })));
    const report = { ...totals(options, results), byKind: byKind(results), findings };
    process.stdout.write(`${JSON.stringify(report, null, 2)}\n`);
  } else {
    process.stdout.write(render(options, results));
  }
  return stopped || results.some(({ findings }) => findings.length > 0) ? 1 : 0;
}

async function runAll(options: HarnessOptions, stopped: () => boolean): Promise<RunResult[]> {
  const { only, runs, seed, postgres, restore } = options;
  const wanted = only === undefined ? Array.from({ length: runs }, (_, run) => run) : [only];
  const results: RunResult[] = [];
  let world: World | undefined;
  try {
    for (const run of wanted) {
      if (stopped()) break;
      world ??= await World.make(postgres);
      if (!world.clock.works) process.stderr.write('libfaketime is missing: no clock jumps\n');
      const result = await play(world, seed, run, only === undefined ? restore : 1);
      results.push({ ...result, story: '' });
      await tell(result, options, results);
      if (result.findings.length > 0 || results.length % RUNS_A_WORLD === 0) {
        await world.close();
        world = undefined;
      }
    }
  } finally {
    await world?.close();
    if (process.stderr.isTTY) process.stderr.write('\r\u001B[K');
  }
  return results;
}

async function tell(
  result: RunResult,
  options: HarnessOptions,
  results: readonly RunResult[],
): Promise<void> {
  const { run, findings, story, outcome, injected } = result;
  const hit = injected
    .filter(({ at }) => at !== 'missed')
    .map(({ kind, step }) => `${kind} @ ${step}`);
  if (process.stderr.isTTY) {
    const done = `${results.length}/${options.only === undefined ? options.runs : 1}`;
    process.stderr.write(`\r\u001B[K  ${done}  ${outcome}  ${hit.join(', ')}`.slice(0, 110));
  } else if (results.length % 25 === 0) {
    process.stderr.write(
      `  ${results.length} runs, ${totals(options, results).findings} findings\n`,
    );
  }
  if (findings.length === 0 && options.only === undefined) return;
  const folder = resolve(existsSync('package.json') ? '.cache/faults' : '.');
  await mkdir(folder, { recursive: true });
  const file = join(folder, `story-${options.postgres}-${options.seed}-${run}.txt`);
  await writeFile(file, story);
  const lines = findings.map(
    ({ kind, what }) => `  ✗ run ${run}: ${kind}: ${what.split('\n')[0]}\n`,
  );
  process.stderr.write(`\n${lines.join('')}    its story: ${file}\n`);
}
