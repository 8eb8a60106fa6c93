import type { HarnessOptions } from './options.ts';
import type { RunResult } from './play.ts';

export interface Totals {
  readonly runs: number;
  readonly seed: number;
  readonly engine: string;
  readonly version: string;
  readonly modes: Readonly<Record<string, number>>;
  readonly faults: number;
  readonly consistent: number;
  readonly inconsistent: number;
  readonly notFrozen: number;
  readonly copies: number;
  readonly restores: number;
  readonly refused: number;
  readonly falseSuccesses: number;
  readonly toldTwice: number;
  readonly told: number;
  readonly excused: number;
  readonly stuckFreezes: number;
  readonly leftBehind: number;
  readonly findings: number;
  readonly secondsPerRun: number;
}

export function totals(options: HarnessOptions, results: readonly RunResult[]): Totals {
  const sum = (of: (result: RunResult) => number): number =>
    results.reduce((all, result) => all + of(result), 0);
  const kind = (wanted: string): number =>
    sum(({ findings }) => findings.filter((finding) => finding.kind === wanted).length);
  const ended = (wanted: string): number => sum(({ outcome }) => (outcome === wanted ? 1 : 0));
  return {
    runs: results.length,
    seed: options.seed,
    engine: options.engine,
    version: options.version,
    modes: countBy(results.map(({ mode }) => mode)),
    faults: sum(({ injected }) => injected.filter(({ at }) => at !== 'missed').length),
    consistent: ended('consistent'),
    inconsistent: ended('inconsistent'),
    notFrozen: ended('not-frozen'),
    copies: sum(({ copies }) => copies),
    restores: sum(({ restored }) => restored),
    refused: sum(({ refused }) => refused),
    falseSuccesses: kind('false-success'),
    toldTwice: kind('told-twice'),
    told: sum(({ told }) => told),
    excused: sum(({ excused }) => excused),
    stuckFreezes: kind('stuck-freeze'),
    leftBehind: kind('left-behind'),
    findings: sum(({ findings }) => findings.length),
    secondsPerRun: Math.round(sum(({ ms }) => ms) / Math.max(1, results.length)) / 1_000,
  };
}

function countBy(names: readonly string[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const name of names.toSorted()) counts[name] = (counts[name] ?? 0) + 1;
  return counts;
}

const OUTCOMES = ['consistent', 'inconsistent', 'not-frozen'] as const;

/** Faults and calls by kind, each with the outcomes of the runs in which they struck. */
export function byKind(results: readonly RunResult[]): Record<string, Record<string, number>> {
  const table: Record<string, Record<string, number>> = {};
  const count = (name: string, column: string): void => {
    const row = (table[name] ??= { consistent: 0, inconsistent: 0, 'not-frozen': 0, missed: 0 });
    row[column] = (row[column] ?? 0) + 1;
  };
  for (const { injected, calls, outcome } of results) {
    for (const { kind, at } of injected) count(kind, at === 'missed' ? 'missed' : outcome);
    for (const kind of calls) count(kind, outcome);
    if (injected.length + calls.length === 0) count('none', outcome);
  }
  return Object.fromEntries(Object.entries(table).sort(([a], [b]) => a.localeCompare(b)));
}

export function render(options: HarnessOptions, results: readonly RunResult[]): string {
  const all = totals(options, results);
  const columns = [...OUTCOMES, 'missed'];
  const rows = Object.entries(byKind(results)).map(
    ([name, row]) =>
      `  ${name.padEnd(20)}${columns.map((column) => String(row[column]).padStart(13)).join('')}`,
  );
  const modes = Object.entries(all.modes)
    .map(([mode, count]) => `${mode} ${count}`)
    .join(', ');
  const mode = options.mode === undefined ? '' : ` --mode ${options.mode}`;
  const again = `npm run test:faults -- --engine ${all.engine} --version ${all.version}${mode} --seed ${all.seed}`;
  return [
    '',
    `  ${'fault or call'.padEnd(20)}${columns.map((column) => column.padStart(13)).join('')}`,
    ...rows,
    '',
    `  ${all.runs} runs of ${all.engine} ${all.version} (${modes}), ${all.faults} faults hit, ${all.secondsPerRun} s a run`,
    `  main backups: ${all.consistent} consistent, ${all.inconsistent} inconsistent, ${all.notFrozen} never in place`,
    `  copies: ${all.copies} cut, ${all.restores} restored and examined, ${all.refused} refused`,
    `  successes reported to callers: ${all.told}, ${all.excused} of them excused by a known limit`,
    `  false successes: ${all.falseSuccesses}   reported twice: ${all.toldTwice}   stuck freezes: ${all.stuckFreezes}   things left behind: ${all.leftBehind}   findings: ${all.findings}`,
    `  replay: ${again} --runs ${options.runs}; one run: --seed ${all.seed} --only K`,
    '',
  ].join('\n');
}
