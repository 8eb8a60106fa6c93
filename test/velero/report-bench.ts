import { quantile } from '../../src/testbed/latency.ts';
import type { Played } from './play.ts';
import { COLUMNS } from './stage/round.ts';
import type { Measure, Way } from './stage/stage.ts';

/** Where and when the numbers were measured. */
export interface Run {
  readonly commits: readonly string[];
  readonly date: string;
  readonly machine: string;
}

type Row = readonly Measure[];

const ENGINES: readonly Way['engine'][] = ['PostgreSQL', 'Redis', 'MongoDB'];
/** Numbers that mean more against those of quiesce. */
const COMPARED: readonly string[] = [COLUMNS.slowest, COLUMNS.p99];

/** bench/results-cluster.md: one table an engine with a row a way, then what other stories measured. */
export function benchPage(stories: readonly Pick<Played, 'name' | 'measures'>[], run: Run): string {
  const measures = stories.flatMap((story) => story.measures);
  const engines = ENGINES.filter((engine) => measures.some(({ way }) => way?.engine === engine));
  return `# Backups and restores on a real cluster

<!-- Written by npm run test:velero -- --record -->

Measured until ${run.date} on ${run.commits.length === 1 ? 'commit' : 'the commits'} ${run.commits.join(', ')} (${run.machine}). All programs of the cluster share
the machine's cores with the load, so compare the rows of one table with one another, not with another machine.

- **rounds**: backups of this way, each under a load of 8 writers and each restored. Times are medians.
- **held**: from the call of the first hook of a pod to the return of its last one, by Velero's log, which has
  whole seconds. A way with one hook or none holds nothing.
- **slowest commit**, **p99 of commits**: of all that writers waited for in that time; without a pair of hooks,
  while the hook ran or, without any, while the backup did. In brackets: against the first row of the table.
- **backup**: Velero's own time. **restore**: from its command until the pods were ready.
- **missing writes**: acknowledged before the first hook was called, and not in the restored database; the most
  of any round. **missing at the cut**: the same for those that were acknowledged before the snapshot was cut.

${engines.map((engine) => engineSection(engine, measures)).join('\n')}
${otherSection(stories)}`;
}

function engineSection(engine: Way['engine'], measures: readonly Measure[]): string {
  const rows = new Map<string, { readonly way: Way; readonly row: Measure[] }>();
  for (const measure of measures) {
    if (measure.way?.engine !== engine) continue;
    const { way } = measure;
    const found = rows.get(way.name) ?? { way, row: [] };
    found.row.push(measure);
    rows.set(way.name, found);
  }
  // The row of reference first.
  const rank = ({ way }: { readonly way: Way }): number => (way.reference === true ? 0 : 1);
  const all = [...rows.values()].toSorted((a, b) => rank(a) - rank(b));
  const reference = all.find(({ way }) => way.reference === true)?.row;
  return `## ${engine}
${table(
  'way',
  all.map(({ way, row }) => ({ name: way.name, row })),
  reference,
)}

What is proven when the backup has ended:

${all.map(({ way }) => `- **${way.name}**: ${way.proves}`).join('\n')}
`;
}

/** A row each, with all columns of a backup and its restore. */
function table(
  head: string,
  rows: readonly { readonly name: string; readonly row: Row }[],
  reference: Row = [],
): string {
  const columns = Object.values(COLUMNS);
  const lines = rows.map(({ name, row }) => {
    const cells = columns.map((column) => cell(row, column, reference));
    return `| ${name} | ${rounds(row)} | ${cells.join(' | ')} |`;
  });
  return `| ${head} | rounds | ${columns.join(' | ')} |
| --- | --: |${columns.map(() => ' --: |').join('')}
${lines.join('\n')}`;
}

function rounds(row: Row): number {
  return row.filter(({ what }) => what === COLUMNS.completed).length;
}

function cell(row: Row, column: string, reference: Row): string {
  const found = row.filter(({ what }) => what === column);
  const unit = found[0]?.unit;
  if (unit === undefined) return '';
  const values = valuesOf(row, column);
  if (unit === 'yes') return `${values.filter((value) => value === 1).length} of ${values.length}`;
  if (unit === 'writes') return `${Math.max(...values)}`;
  const own = median(values);
  const base = median(valuesOf(reference, column));
  const compared = row !== reference && base > 0 && COMPARED.includes(column);
  return duration(own, unit) + (compared ? ` (${ratio(own / base)})` : '');
}

function valuesOf(row: Row, column: string): number[] {
  return row.filter(({ what }) => what === column).map(({ value }) => value);
}

/** What stories measured that are no row of an engine: their own backups and restores, then the rest. */
function otherSection(stories: readonly Pick<Played, 'name' | 'measures'>[]): string {
  const columns: readonly string[] = Object.values(COLUMNS);
  const others = stories.map(({ name, measures }) => {
    return { name: `\`${name}\``, row: measures.filter(({ way }) => way === null) };
  });
  const paths = others.filter(({ row }) => rounds(row) > 0);
  const lines = others.flatMap(({ name, row }) => {
    const whats = new Set(row.map(({ what }) => what).filter((what) => !columns.includes(what)));
    return [...whats].map((what) => `| ${name} | ${what} | ${cell(row, what, [])} |`);
  });
  return [
    ...(paths.length === 0 ? [] : ['## Other stories', table('story', paths), '']),
    ...(lines.length === 0
      ? []
      : ['## Other times', '| story | what | |', '| --- | --- | --: |', ...lines]),
  ].join('\n');
}

function ratio(value: number): string {
  if (value < 0.01) return '< 0.01 ×';
  return `${value >= 10 ? Math.round(value) : value.toPrecision(2)} ×`;
}

function duration(value: number, unit: 'ms' | 's'): string {
  const ms = unit === 's' ? value * 1_000 : value;
  return ms < 1_000 ? `${Math.round(ms)} ms` : `${(ms / 1_000).toFixed(1)} s`;
}

function median(values: readonly number[]): number {
  return quantile(
    values.toSorted((a, b) => a - b),
    0.5,
  );
}
