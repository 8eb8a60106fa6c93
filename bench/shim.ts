import { execFile } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { cleanEnv, cliPath } from '../src/testbed/processes.ts';
import type { Workspace } from '../src/testbed/workspace.ts';
import { makeRig } from './support/rig.ts';
import { type Arguments, type Benchmark, program, progress } from './support/program.ts';
import { psqlEnv } from './support/psql.ts';
import { figure, type Report, times } from './support/report.ts';
import { interval, median } from './support/stats.ts';

const execFileAsync = promisify(execFile);
const LIMIT = 1.5;

const benchmark: Benchmark = {
  name: 'shim',
  summary:
    'Processor time (user and system) of the commands that a hook execs, against an empty Node script and\nagainst psql -c ‘select 1’. The sidecar runs and answers.',
  settings: {
    rounds: { help: 'batches of each command', value: 15, quick: 2 },
    batch: { help: 'calls in a batch', value: 20, quick: 5 },
  },
  run,
};

/** The processor time and the wall time of one call, in milliseconds. */
interface Cost {
  readonly cpu: number;
  readonly wall: number;
}

type Command = readonly string[];

const quoted = (command: Command): string =>
  command.map((word) => `'${word.replaceAll("'", String.raw`'\''`)}'`).join(' ');

/** Reads the shell's `times` for its children. Over a batch, as the shell counts in 1/100 s. */
async function cost(
  commands: readonly Command[],
  batch: number,
  env: Record<string, string>,
): Promise<Cost> {
  const calls = commands.map((command) => `${quoted(command)} >/dev/null || exit 1`).join('; ');
  const script = `i=0; while [ $i -lt ${batch} ]; do ${calls}; i=$((i+1)); done; times`;
  const count = batch * commands.length;
  const begun = performance.now();
  const { stdout } = await execFileAsync('/bin/sh', ['-c', script], { env });
  const wall = (performance.now() - begun) / count;
  const children = stdout.trim().split('\n')[1] ?? '';
  const seconds = [...children.matchAll(/(\d+)m([\d.]+)s/g)].map(
    ([, minutes, rest]) => Number(minutes) * 60 + Number(rest),
  );
  if (seconds.length !== 2) throw new Error(`cannot read the output of times: ${stdout}`);
  return { cpu: (seconds.reduce((a, b) => a + b, 0) * 1_000) / count, wall };
}

async function run(args: Arguments, workspace: Workspace): Promise<Report> {
  const rig = await makeRig(workspace, { postgres: args.postgres });
  const empty = join(workspace.dir, 'empty.cjs');
  await writeFile(empty, '');
  const env = cleanEnv({ ...psqlEnv(rig.target), ...rig.sidecar.env });
  const node = process.execPath;
  const commands: Readonly<Record<string, readonly Command[]>> = {
    'an empty Node script': [[node, empty]],
    'psql -c ‘select 1’': [['psql', '-X', '-c', 'select 1']],
    'quiesce status': [[node, cliPath(), 'status']],
    // Real freezes: each is thawed before the next.
    'quiesce freeze, quiesce thaw': [
      [node, cliPath(), 'freeze', '--id', 'bench', '--timeout', '2m'],
      [node, cliPath(), 'thaw', '--id', 'bench'],
    ],
  };
  const [rounds, batch] = [args.number('rounds'), args.number('batch')];
  const costs = new Map<string, Cost[]>(Object.keys(commands).map((name) => [name, []]));
  progress('shim');
  for (let round = 0; round < rounds; round += 1) {
    for (const [name, calls] of Object.entries(commands)) {
      costs.get(name)?.push(await cost(calls, batch, env));
    }
    progress(`  round ${round + 1}/${rounds}`);
  }
  return report(costs, rounds, batch);
}

function report(
  costs: ReadonlyMap<string, readonly Cost[]>,
  rounds: number,
  batch: number,
): Report {
  const [base = [], other = []] = [...costs.values()];
  const cpu = (of: readonly Cost[]): number => median(of.map((one) => one.cpu));
  // The machine's speed drifts, so each batch is compared with the baseline of its own round.
  const over = (mine: readonly Cost[], theirs: readonly Cost[]): number[] =>
    mine.map((one, i) => one.cpu / (theirs[i]?.cpu ?? Number.NaN));
  const rows = [...costs].map(([name, mine]) => {
    const [low, high] = interval(over(mine, base), median);
    return [
      name,
      figure(cpu(mine)),
      figure(median(mine.map(({ wall }) => wall))),
      times(median(over(mine, base))),
      `${low.toFixed(2)} … ${high.toFixed(2)}`,
      times(median(over(mine, other))),
    ];
  });
  const verbs = [...costs].filter(([name]) => name.startsWith('quiesce '));
  return {
    title: 'What a hook costs',
    method: `${rounds} batches of ${batch} calls of each, in turn; milliseconds per call, medians. Processor time is user plus system.`,
    tables: [
      { head: ['command', 'CPU', 'wall', '/ empty script', '90 % interval', '/ psql'], rows },
    ],
    goals: verbs.map(([name, mine]) => ({
      what: `CPU of ${name} over an empty Node script`,
      measured: median(over(mine, base)),
      limit: LIMIT,
    })),
    charts: [
      {
        kind: 'bars',
        title: 'CPU of one call',
        unit: 'ms',
        mark: cpu(base),
        bars: [...costs].map(([label, mine]) => ({ label, value: cpu(mine) })),
      },
    ],
    notes: [],
  };
}

await program(benchmark);
