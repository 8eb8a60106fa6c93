import { existsSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import type { FaultEngine, FaultMode } from './engine.ts';
import { type HarnessOptions, parseOptions, USAGE } from './options.ts';
import { makePlan, pickMode, type Plan } from './plan.ts';
import { play, type RunResult } from './play.ts';
import { byKind, render, totals } from './report.ts';
import { Rig } from './rig.ts';

/** Blocks of this many runs are sorted by mode, so that each mode's server and volume are made once per block. */
const RUNS_A_BLOCK = 80;
const RIG_ATTEMPTS = 3;

process.exitCode = await main();

async function main(): Promise<number> {
  if (process.argv.slice(2).some((arg) => arg === '--help' || arg === '-h')) {
    process.stdout.write(`${USAGE}\n`);
    return 0;
  }
  let parsed: Awaited<ReturnType<typeof parseOptions>>;
  try {
    parsed = await parseOptions(process.argv.slice(2));
  } catch (error) {
    process.stderr.write(`${(error as Error).message}\n${USAGE}\n`);
    return 2;
  }
  const { options, engine } = parsed;
  let stopped = false;
  for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => (stopped = true));
  process.stderr.write(`  seed ${options.seed}\n`);
  const results = await runAll(options, engine, () => stopped);
  if (options.output === 'json') {
    const findings = results.flatMap(({ run, findings }) => findings.map((f) => ({ run, ...f })));
    const report = { ...totals(options, results), byKind: byKind(results), findings };
    process.stdout.write(`${JSON.stringify(report, null, 2)}\n`);
  } else {
    process.stdout.write(render(options, results));
  }
  return stopped || results.some(({ findings }) => findings.length > 0) ? 1 : 0;
}

interface Task {
  readonly run: number;
  readonly mode: FaultMode;
  readonly plan: Plan;
}

async function runAll(
  options: HarnessOptions,
  engine: FaultEngine,
  stopped: () => boolean,
): Promise<RunResult[]> {
  const results: RunResult[] = [];
  let rig: Rig | undefined;
  const renew = async (): Promise<void> => {
    await rig?.close();
    rig = undefined;
  };
  try {
    for (const block of blocks(options, engine)) {
      for (const { run, mode, plan } of block) {
        if (stopped()) return results;
        if (rig?.mode !== mode) await renew();
        const made = rig === undefined;
        rig ??= await makeRig(mode, options.version);
        if (made) for (const lack of lacks(rig)) process.stderr.write(`  ${lack}\n`);
        const result = await play(rig, run, plan);
        results.push({ ...result, log: '' });
        await report(result, options, results);
        if (result.findings.length > 0) await renew();
      }
      await renew();
    }
  } finally {
    await renew();
    if (process.stderr.isTTY) process.stderr.write('\r\u001B[K');
  }
  return results;
}

/** Tries a few times: another process may take a port that was free a moment ago. */
async function makeRig(mode: FaultMode, version: string): Promise<Rig> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await Rig.make(mode, version);
    } catch (error) {
      if (attempt === RIG_ATTEMPTS) throw error;
      process.stderr.write(`  set up again: ${(error as Error).message.slice(0, 500)}\n`);
    }
  }
}

/** Faults that cannot be injected on this machine; they count as missed. */
function lacks({ clock, mounts }: Rig): string[] {
  return [
    ...(clock.works ? [] : ['libfaketime is missing: no clock jumps']),
    ...(mounts ? [] : ['nothing can be mounted here: no full and no read-only volumes']),
  ];
}

function blocks(options: HarnessOptions, { modes }: FaultEngine): Task[][] {
  const { seed, only, runs, restore } = options;
  const wanted = only === undefined ? Array.from({ length: runs }, (_, run) => run) : [only];
  const names = Object.keys(modes);
  const tasks = wanted.flatMap((run): Task[] => {
    const name = options.mode ?? pickMode(seed, run, names);
    const mode = modes[name];
    const share = only === undefined ? restore : 1;
    return mode ? [{ run, mode, plan: makePlan(seed, run, name, mode, share) }] : [];
  });
  const cut: Task[][] = [];
  for (let at = 0; at < tasks.length; at += RUNS_A_BLOCK) {
    const block = tasks.slice(at, at + RUNS_A_BLOCK);
    cut.push(block.toSorted((a, b) => a.plan.mode.localeCompare(b.plan.mode)));
  }
  return cut;
}

async function report(
  result: RunResult,
  options: HarnessOptions,
  results: readonly RunResult[],
): Promise<void> {
  const { run, mode, findings, log, outcome, injected } = result;
  const hit = injected
    .filter(({ at }) => at !== 'missed')
    .map(({ kind, step }) => `${kind} @ ${step}`);
  if (process.stderr.isTTY) {
    const done = `${results.length}/${options.only === undefined ? options.runs : 1}`;
    process.stderr.write(
      `\r\u001B[K  ${done}  ${mode}  ${outcome}  ${hit.join(', ')}`.slice(0, 110),
    );
  } else if (results.length % 25 === 0) {
    process.stderr.write(
      `  ${results.length} runs, ${totals(options, results).findings} findings\n`,
    );
  }
  if (findings.length === 0 && options.only === undefined) return;
  const folder = resolve(existsSync('package.json') ? '.cache/faults' : '.');
  await mkdir(folder, { recursive: true });
  const file = join(
    folder,
    `story-${options.engine}-${options.version}-${options.seed}-${run}.txt`,
  );
  await writeFile(file, log);
  const lines = findings.map(
    ({ kind, what }) => `  ✗ run ${run} (${mode}): ${kind}: ${what.split('\n')[0]}\n`,
  );
  process.stderr.write(`\n${lines.join('')}    its story: ${file}\n`);
}
