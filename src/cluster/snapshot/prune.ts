import { each, ObjectApi } from '../api/objects.ts';
import { groupVersion } from './read-volumes.ts';
import { removeRun } from './remove.ts';
import { retain } from './retention.ts';
import { readObjects, type RunQuery, readRuns, type StoredRun } from './runs.ts';
import type { ClusterConnection } from '../api/reader.ts';

export interface PruneRules {
  readonly keep?: number | undefined;
  readonly keepForMs?: number | undefined;
  readonly dryRun: boolean;
  readonly now: number;
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
}

/** The application of a run: two namespaces may each have a group of one name, and each its own Lease. */
function applicationOf({ group, namespaces, report, lease }: StoredRun): string {
  return `${group}\n${lease ?? report?.metadata?.namespace ?? namespaces[0] ?? ''}`;
}

/** Deletes the runs that no rule keeps, whole, and one at a time. */
export async function prune(
  connection: ClusterConnection,
  query: RunQuery,
  { dryRun, ...rules }: PruneRules,
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
  const going = runs.filter(({ id }) => decisions.some((one) => one.goes && one.id === id));
  const version = dryRun ? undefined : await groupVersion(api);
  const retained = dryRun
    ? []
    : await each(going, (run) => removeWhole(api, run, query, version), 1);
  return {
    apiVersion: 'quiesce.dev/v1',
    kind: 'SnapshotPruning',
    dryRun,
    deleted: shown(true),
    kept: shown(false),
    retained: retained.flat(),
  };
}

/** Also deletes what the run has in namespaces that were not asked for: half a run is worth nothing. */
async function removeWhole(
  api: ObjectApi,
  { id, namespaces: own }: StoredRun,
  { namespaces }: RunQuery,
  version: string | undefined,
): Promise<readonly string[]> {
  const places = namespaces === undefined ? undefined : [...new Set([...namespaces, ...own])];
  return await removeRun(api, await readObjects(api, { namespaces: places, id }), version);
}
