import { each, ObjectApi } from '../api/objects.ts';
import { groupVersion } from './read-volumes.ts';
import { removeRun } from './remove.ts';
import { NOTHING_RETAINED, together } from './retained.ts';
import type { Retained } from './document.ts';
import { retain } from './retention.ts';
import { readObjects, type RunQuery, readRuns, type StoredRun } from './runs.ts';
import type { ClusterConnection } from '../api/reader.ts';

export interface PruneRules {
  readonly keep?: number | undefined;
  readonly keepForMs?: number | undefined;
  readonly dryRun: boolean;
  readonly now: number;
  /** Told of each run once it is deleted, also where a later one cannot be. */
  readonly onDeleted?: (run: PrunedRun, retained: Retained) => void;
}

export interface PrunedRun {
  readonly id: string;
  readonly group: string;
  readonly verdict: StoredRun['verdict'];
  readonly startedAt: string;
  /** As words that follow the run. */
  readonly why: string;
}

/** What `quiesce snapshots --prune -o json` prints. */
export interface Pruning {
  readonly apiVersion: 'quiesce.dev/v1';
  readonly kind: 'SnapshotPruning';
  readonly dryRun: boolean;
  readonly deleted: readonly PrunedRun[];
  readonly kept: readonly PrunedRun[];
  /** VolumeSnapshotContents that stay, with the storage behind them, since their class retains them. */
  readonly retained: readonly string[];
  /** The same of VolumeGroupSnapshotContents; absent: none. */
  readonly retainedGroups?: readonly string[];
}

/** The application of a run: two namespaces may each have a group of one name, and each its own Lease. */
function applicationOf({ group, namespaces, report, lease }: StoredRun): string {
  return `${group}\n${lease ?? report?.metadata?.namespace ?? namespaces[0] ?? ''}`;
}

/** Deletes the runs that no rule keeps, whole, and one at a time. */
export async function prune(
  connection: ClusterConnection,
  query: RunQuery,
  { dryRun, onDeleted, ...rules }: PruneRules,
): Promise<Pruning> {
  const api = new ObjectApi(connection);
  const runs = await readRuns(api, query);
  const decisions = retain(
    runs.map((run) => ({
      id: run.id,
      application: applicationOf(run),
      verdict: run.verdict,
      createdAt: Date.parse(run.createdAt) || 0,
    })),
    rules,
  );
  const shown = (goes: boolean): readonly PrunedRun[] =>
    decisions
      .filter((one) => one.goes === goes)
      .flatMap(({ id, why }) => {
        const run = runs.find((one) => one.id === id);
        if (run === undefined) return [];
        const { group, verdict, startedAt } = run;
        return [{ id, group, verdict, startedAt, why }];
      });
  const going = shown(true);
  const version = dryRun ? undefined : await groupVersion(api);
  const remove = async (gone: PrunedRun): Promise<Retained> => {
    const run = runs.find(({ id }) => id === gone.id);
    if (run === undefined) return NOTHING_RETAINED;
    const retained = await removeWhole(api, run, query, version);
    onDeleted?.(gone, retained);
    return retained;
  };
  const { contents, groups } = together(dryRun ? [] : await each(going, remove, 1));
  return {
    apiVersion: 'quiesce.dev/v1',
    kind: 'SnapshotPruning',
    dryRun,
    deleted: going,
    kept: shown(false),
    retained: contents,
    ...(groups.length > 0 && { retainedGroups: groups }),
  };
}

/** Also deletes what the run has in namespaces that were not asked for: half a run is worth nothing. */
async function removeWhole(
  api: ObjectApi,
  { id, namespaces: own }: StoredRun,
  { namespaces }: RunQuery,
  version: string | undefined,
): Promise<Retained> {
  const places = namespaces === undefined ? undefined : [...new Set([...namespaces, ...own])];
  return await removeRun(api, await readObjects(api, { namespaces: places, id }), version);
}
