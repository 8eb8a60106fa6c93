import type { CellResult, Score } from './play.ts';

const text = ({ good, tried }: Score): string => (tried === 0 ? '–' : `${good}/${tried}`);

export function isGood({ findings }: CellResult): boolean {
  return findings.length === 0;
}

export function sum(results: readonly CellResult[]): Record<'restores' | 'negatives', Score> {
  const add = (of: (result: CellResult) => Score): Score =>
    results
      .map(of)
      .reduce((all, one) => ({ good: all.good + one.good, tried: all.tried + one.tried }), {
        good: 0,
        tried: 0,
      });
  return { restores: add(({ restores }) => restores), negatives: add((r) => r.negatives) };
}

/** The table as text: one line for each cell, then all findings. */
export function render(results: readonly CellResult[], seconds: number): string {
  const rows = results.map((result) => [
    String(result.major),
    result.cell.mode,
    result.cell.copy,
    result.cell.role,
    text(result.restores),
    text(result.negatives),
    text(result.spoilt),
    `${result.seconds} s`,
    isGood(result) ? '' : '✗',
  ]);
  const head = ['PG', 'mode', 'copy', 'role', 'restored', 'refused', 'spoilt', '', ''];
  const widths = head.map((_, n) => Math.max(...[head, ...rows].map((row) => row[n]?.length ?? 0)));
  const line = (row: readonly string[]): string =>
    `  ${row.map((cell, n) => (n < 4 ? cell.padEnd(widths[n] ?? 0) : cell.padStart(widths[n] ?? 0))).join('  ')}`.trimEnd();
  const { restores, negatives } = sum(results);
  const wrong = results.flatMap(({ major, cell, findings }) =>
    findings.map((what) => `  ✗ ${major} ${cell.mode} ${cell.copy} ${cell.role}: ${what}`),
  );
  return [
    '',
    line(head),
    ...rows.map(line),
    '',
    `  restored with everything promised: ${text(restores)}   refused as they must be: ${text(negatives)}   ${Math.round(seconds)} s`,
    '  spoilt: copies that, started without quiesce’s preparation, did not start or were incomplete',
    ...wrong,
    '',
  ].join('\n');
}
