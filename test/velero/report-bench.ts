import { quantile } from '../../src/testbed/latency.ts';
import type { Played } from './play.ts';
import { COLUMNS } from './stage/round.ts';
import type { Measure, Way } from './stage/stage.ts';

/** Where and when the numbers were measured. */
export interface Run {
  readonly commit: string;
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

Measured on ${run.date}, commit ${run.commit} (${run.machine}), in one run. All programs of the cluster share the
machine's cores with the load, so compare the rows of one table with one another, not with another machine.

- **rounds**: backups of this way, each under a load of 8 writers and each restored. Times are medians.
- **held**: from the call of the first hook of a pod to the return of its last one, by Velero's log, which has
  whole seconds. A way with one hook or none holds nothing.
- **slowest commit**, **p99 of commits**: of all that writers waited for in that time; without a pair of hooks,
  while the hook ran or, without any, while the backup did. In brackets: against the first row.
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
  const all = [...rows.values()];
  const columns = Object.values(COLUMNS);
  const lines = all.map(({ way, row }) => {
    const cells = columns.map((column) => cell(row, column, all[0]?.row ?? []));
    return `| ${way.name} | ${rounds(row)} | ${cells.join(' | ')} |`;
  });
  return `## ${engine}
| way | rounds | ${columns.join(' | ')} |
| --- | --: |${columns.map(() => ' --: |').join('')}
${lines.join('\n')}

What is proven when the backup has ended:

${all.map(({ way }) => `- **${way.name}**: ${way.proves}`).join('\n')}
`;
}

function rounds(row: Row): number {
  return row.filter(({ what }) => what === COLUMNS.completed).length;
}

function cell(row: Row, column: string, first: Row): string {
  const found = row.filter(({ what }) => what === column);
  const unit = found[0]?.unit;
  if (unit === undefined) return '';
  const values = found.map(({ value }) => value);
  if (unit === 'yes') return `${values.filter((value) => value === 1).length} of ${rounds(row)}`;
  if (unit === 'writes') return `${Math.max(...values)}`;
  const own = median(values);
  const text = duration(own, unit);
  const base = median(first.filter(({ what }) => what === column).map(({ value }) => value));
  if (row === first || base === 0 || !COMPARED.includes(column)) return text;
  return `${text} (${(own / base).toPrecision(2)} ×)`;
}

/** What stories measured that are no way to back up. */
function otherSection(stories: readonly Pick<Played, 'name' | 'measures'>[]): string {
  const lines = stories.flatMap(({ name, measures }) => {
    const own = measures.filter(({ way }) => way === null);
    const whats = [...new Set(own.map(({ what }) => what))];
    return whats.map((what) => `| \`${name}\` | ${what} | ${cell(own, what, own)} |`);
  });
  if (lines.length === 0) return '';
  return `## Other stories
| story | what | |
| --- | --- | --: |
${lines.join('\n')}
`;
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
