import { parseArgs, type ParseArgsConfig } from 'node:util';
import { Workspace } from '../../src/testbed/workspace.ts';
import { restartCleanly } from './environment.ts';
import { describeMachine } from './machine.ts';
import { missed, type Report, textOf } from './report.ts';

type Options = NonNullable<ParseArgsConfig['options']>;

/** The flags of every benchmark, in addition to its own settings. */
const COMMON = {
  quick: { type: 'boolean', default: false },
  postgres: { type: 'string', default: '17' },
  output: { type: 'string', short: 'o', default: 'text' },
  help: { type: 'boolean', short: 'h', default: false },
} as const satisfies Options;

export interface Arguments {
  /** Only checks that the benchmark runs: too short for meaningful numbers. */
  readonly quick: boolean;
  /** The major version of the servers. */
  readonly postgres: number;
  readonly text: (name: string) => string;
  /** The number given by this flag; otherwise the default, or its `--quick` value. */
  readonly number: (name: string) => number;
}

/** A setting of a benchmark: its default, and its default with `--quick`. */
export interface Setting {
  readonly help: string;
  readonly value: string | number;
  readonly quick?: string | number;
}

export interface Benchmark {
  /** `node scripts/run-ts.mjs bench/NAME.ts` */
  readonly name: string;
  /** What is measured, and the alternatives that it is measured against. */
  readonly summary: string;
  readonly settings: Readonly<Record<string, Setting>>;
  run(args: Arguments, workspace: Workspace): Promise<Report>;
}

/** Prints a line of progress on stderr. */
export function progress(text: string): void {
  process.stderr.write(`${text}\n`);
}

/** Runs a benchmark as a program. Exit codes: 0 all goals met, 1 a goal missed, 2 not measured. */
export async function program(benchmark: Benchmark): Promise<void> {
  const ended = await restartCleanly();
  if (ended !== undefined) {
    process.exitCode = ended;
    return;
  }
  const workspace = await Workspace.create();
  let stopping: Promise<never> | undefined;
  const stop = (code: number): Promise<never> => {
    // Work that a signal interrupts fails too: that must not end the process before the clean-up.
    stopping ??= workspace.dispose().then(() => process.exit(code));
    return stopping;
  };
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => void stop(130));
  try {
    const { args, output, help } = parse(benchmark);
    if (help) {
      process.stdout.write(usage(benchmark));
      return await stop(0);
    }
    const report = await benchmark.run(args, workspace);
    const machine = await describeMachine(workspace.dir);
    if (output === 'json') process.stdout.write(`${JSON.stringify({ ...report, machine })}\n`);
    else process.stdout.write(`${machine}\n${textOf(report)}`);
    await stop(missed(report).length > 0 ? 1 : 0);
  } catch (error) {
    progress(`${benchmark.name}: ${(error as Error).stack}`);
    await stop(2);
  }
}

function parse({ settings }: Benchmark) {
  const own = Object.keys(settings).map((name) => [name, { type: 'string' }] as const);
  const options = { ...COMMON, ...(Object.fromEntries(own) as Options) };
  const { values } = parseArgs({ options });
  const given = values as Readonly<Record<string, string | boolean | undefined>>;
  const quick = given['quick'] === true;
  const text = (name: string): string => {
    const setting = settings[name];
    if (!setting) throw new Error(`--${name} is not a setting`);
    const { value } = setting;
    return String(given[name] ?? (quick ? (setting.quick ?? value) : value));
  };
  const number = (name: string): number => {
    const value = Number(text(name));
    if (!(value >= 0)) throw new Error(`--${name} must be a number, 0 or more`);
    return value;
  };
  const args: Arguments = { quick, postgres: Number(given['postgres']), text, number };
  return { args, output: given['output'], help: given['help'] === true };
}

function usage({ name, summary, settings }: Benchmark): string {
  const lines = Object.entries(settings).map(
    ([key, { help, value }]) => `  --${key.padEnd(12)} ${help} (${value})\n`,
  );
  return `node scripts/run-ts.mjs bench/${name}.ts [--quick] [--postgres 17] [-o text|json]\n\n${summary}\n\n${lines.join('')}`;
}
