import { describe, expect, it } from 'vitest';
import { benchPage } from './report-bench.ts';
import { hookRuns, longestHold } from './stage/hook-log.ts';
import { COLUMNS } from './stage/round.ts';
import type { Measure, Way } from './stage/stage.ts';

const RUN = { commits: ['c0ffee'], date: '2026-01-02', machine: '2 cores' };

const way = (name: string): Way => ({
  engine: 'Redis',
  name,
  proves: `${name} proves this.`,
  ...(name === 'quiesce' && { reference: true }),
});

function measured(name: string, slowest: readonly number[], missing: readonly number[]): Measure[] {
  const one = way(name);
  return slowest.flatMap((value, index): Measure[] => [
    { what: COLUMNS.completed, value: index === 0 ? 0 : 1, unit: 'yes', way: one },
    { what: COLUMNS.slowest, value, unit: 'ms', way: one },
    { what: COLUMNS.missing, value: missing[index] ?? 0, unit: 'writes', way: one },
  ]);
}

const without = (measures: readonly Measure[]): Measure[] =>
  measures.map((one) => ({ ...one, value: one.unit === 'yes' ? 1 : one.value, way: null }));

describe('the page of the cluster’s measurements', () => {
  const page = benchPage(
    [
      { name: 'first', measures: measured('BGSAVE', [1_000, 900, 50], [3, 41, 7]) },
      { name: 'second', measures: measured('quiesce', [100, 300, 200], [0, 0, 0]) },
      { name: 'fourth', measures: without(measured('', [70], [0])) },
      { name: 'third', measures: [{ what: 'extra', value: 1.5, unit: 's', way: null }] },
    ],
    RUN,
  );
  const cellsOf = (name: string): string[] =>
    page
      .split('\n')
      .find((line) => line.startsWith(`| ${name} |`))
      ?.split('|')
      .map((text) => text.trim()) ?? [];

  it('has a row for each way, with medians and the most that is missing', () => {
    expect(cellsOf('quiesce')).toEqual(expect.arrayContaining(['3', '2 of 3', '200 ms', '0']));
    expect(cellsOf('BGSAVE')).toEqual(expect.arrayContaining(['3', '41', '900 ms (4.5 ×)']));
    expect(page).toContain('- **BGSAVE**: BGSAVE proves this.');
    expect(page).not.toContain('## MongoDB');
  });

  it('starts each table with the row that the others are compared with', () => {
    expect(page.indexOf('| quiesce |')).toBeLessThan(page.indexOf('| BGSAVE |'));
    expect(cellsOf('quiesce').join()).not.toContain('×');
  });

  it('has what other stories measured', () => {
    expect(page).toContain('| `third` | extra | 1.5 s |');
    expect(cellsOf('`fourth`')).toEqual(expect.arrayContaining(['1', '1 of 1', '70 ms']));
  });
});

describe('the hooks in a backup’s log', () => {
  const line = (second: number, phase: string, message = 'running exec hook'): string =>
    `time="2026-01-02T03:04:0${second}Z" level=info msg="${message}" backup=velero/x hookCommand="[sh -c true]" hookPhase=${phase} hookType=exec`;

  it('ran from the first one to the last one of each pod', () => {
    const log = [
      line(1, 'pre'),
      line(1, 'pre', 'stdout: frozen'),
      'time="2026-01-02T03:04:02Z" level=info msg="something else" name=a-0',
      line(3, 'post'),
      line(4, 'post', 'stderr: '),
      line(5, 'pre'),
      line(7, 'post'),
    ].join('\n');
    const runs = hookRuns(log);
    expect(runs).toHaveLength(2);
    expect(runs[0]?.from.toISOString()).toBe('2026-01-02T03:04:01.000Z');
    expect(runs[0]?.to.toISOString()).toBe('2026-01-02T03:04:04.999Z');
    expect(longestHold(runs)).toBe(3_000);
  });

  it('hold nothing without a pair', () => {
    expect(longestHold(hookRuns(line(1, 'pre')))).toBeNull();
  });
});
