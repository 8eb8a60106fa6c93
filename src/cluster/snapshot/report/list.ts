import { formatBytes } from '../../objects/bytes.ts';
import type { PrunedRun, Pruning } from '../prune.ts';
import { freeing, retainedText, retainsAny } from '../retained.ts';
import type { Retained } from '../document.ts';
import type { StoredRun } from '../runs.ts';
import type { SeenVerdict } from '../seen-verdict.ts';
import { plain } from '../../report/words.ts';

/** One line of the list of runs. */
export interface RunSummary {
  readonly id: string;
  readonly group: string;
  /** `pending`: it is under way, or its verb died. */
  readonly verdict: SeenVerdict;
  readonly startedAt: string;
  readonly ageSeconds: number;
  readonly bytes: number;
  readonly members: number;
  readonly snapshots: number;
  readonly namespaces: readonly string[];
}

/** What `quiesce snapshots -o json` prints. */
export interface RunList {
  readonly apiVersion: 'quiesce.dev/v1';
  readonly kind: 'SnapshotRunList';
  readonly items: readonly RunSummary[];
}

export function listOf(runs: readonly StoredRun[], now: number): RunList {
  const items = runs.map(({ document, snapshots, ...run }) => ({
    id: run.id,
    group: run.group,
    verdict: run.verdict,
    startedAt: run.startedAt,
    ageSeconds: Math.max(0, Math.round((now - Date.parse(run.startedAt)) / 1_000)) || 0,
    bytes: run.bytes,
    members: document.members.length,
    snapshots: snapshots.length,
    namespaces: run.namespaces,
  }));
  return { apiVersion: 'quiesce.dev/v1', kind: 'SnapshotRunList', items };
}

export function describeList({ items }: RunList): string {
  if (items.length === 0) return 'There are no runs here. quiesce snapshot makes one.';
  const head = ['RUN', 'GROUP', 'VERDICT', 'AGE', 'SIZE', 'MEMBERS'];
  const rows = items.map((one) => [
    plain(one.id),
    plain(one.group),
    one.verdict,
    formatAge(one.ageSeconds),
    one.bytes === 0 ? '–' : formatBytes(one.bytes),
    String(one.members),
  ]);
  const all = [head, ...rows];
  const widths = head.map((_, column) => Math.max(...all.map((row) => row[column]?.length ?? 0)));
  return all
    .map((row) =>
      row
        .map((text, column) => text.padEnd(widths[column] ?? 0))
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}

export function describePruning(pruning: Pruning): string {
  const { dryRun, deleted, kept, retained: contents, retainedGroups: groups = [] } = pruning;
  const gone = dryRun ? 'Would delete' : 'Deleted';
  return [
    ...(deleted.length === 0 ? ['There is nothing to delete.'] : []),
    ...deleted.map((one) => `${gone} ${describePruned(one)}`),
    ...kept.map((one) => `Kept ${describePruned(one)}`),
    ...describeRetained({ contents, groups }),
  ].join('\n');
}

export function describePruned({ id, verdict, why }: PrunedRun): string {
  return `${plain(id)} (${verdict}): ${why}`;
}

/** What stays, and how to free it: nothing where nothing stays. */
export function describeRetained(retained: Retained): readonly string[] {
  if (!retainsAny(retained)) return [];
  const { contents, groups } = retained;
  const one = contents.length + groups.length === 1;
  return [
    `${retainedText(retained)} ${one ? 'stays' : 'stay'}, and the storage behind: ${one ? 'its' : 'their'} class says deletionPolicy: Retain. To free it:`,
    ...freeing(retained).map((command) => `  ${command}`),
  ];
}

/** `45s`, `12m`, `5h`, `3d`. */
function formatAge(seconds: number): string {
  if (seconds < 120) return `${seconds}s`;
  if (seconds < 7_200) return `${Math.floor(seconds / 60)}m`;
  if (seconds < 172_800) return `${Math.floor(seconds / 3_600)}h`;
  return `${Math.floor(seconds / 86_400)}d`;
}
