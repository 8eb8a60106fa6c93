import { QuiesceError } from '../../errors.ts';
import { annotationsOf, at, type KubeObject, labelsOf } from '../objects/kube-object.ts';
import { CONFIG_MAPS, groupSnapshots, type ObjectApi, SNAPSHOTS } from '../api/objects.ts';
import type { RunProblem, SnapshotRun } from './document.ts';
import { LEASE_ANNOTATION, NAMESPACES_ANNOTATION, RUN_LABELS } from '../run/names.ts';
import { bytesOf } from '../objects/bytes.ts';
import { type Doubt, doubtsOf, namedIn } from './doubts.ts';
import { groupVersion } from './read-volumes.ts';
import { createdTimes, rebuilt } from './rebuilt.ts';
import { type ReadReport, readReport } from './stored-report.ts';
import { type SeenVerdict, verdictOf, worstOf } from './seen-verdict.ts';

/** A run as its objects in the cluster tell it. */
export interface StoredRun {
  readonly id: string;
  readonly group: string;
  /** The worst of what its objects say. */
  readonly verdict: SeenVerdict;
  readonly startedAt: string;
  /** By the API server's clock, which is one for all runs. */
  readonly createdAt: string;
  /** The sum of what restored claims need. */
  readonly bytes: number;
  readonly namespaces: readonly string[];
  readonly snapshots: readonly KubeObject[];
  readonly groupSnapshots: readonly KubeObject[];
  /** The namespace of its Lease, where a snapshot tells it. */
  readonly lease?: string;
  readonly report?: KubeObject;
  readonly document: SnapshotRun;
}

export interface RunQuery {
  /** `undefined`: all. */
  readonly namespaces: readonly string[] | undefined;
  readonly group?: string | undefined;
  readonly id?: string | undefined;
}

/** All objects of runs, found by their labels. */
export interface RunObjects {
  readonly snapshots: readonly KubeObject[];
  readonly groupSnapshots: readonly KubeObject[];
  readonly reports: readonly KubeObject[];
}

export async function readObjects(
  api: ObjectApi,
  { namespaces, group, id }: RunQuery,
  more: readonly string[] = [],
): Promise<RunObjects> {
  const labels = [
    id === undefined ? RUN_LABELS.run : `${RUN_LABELS.run}=${id}`,
    ...(group === undefined ? [] : [`${RUN_LABELS.group}=${group}`]),
    ...more,
  ].join(',');
  const [snapshots, reports] = await Promise.all([
    api.listIn(SNAPSHOTS, namespaces, labels),
    api.listIn(CONFIG_MAPS, namespaces, `${RUN_LABELS.report}=snapshot,${labels}`),
  ]);
  const groups = await groupsOf(api, snapshots, namespaces, labels);
  return { snapshots, groupSnapshots: groups, reports };
}

/** Whoever cuts each volume for itself needs no right on group snapshots, unless earlier runs made some. */
async function groupsOf(
  api: ObjectApi,
  snapshots: readonly KubeObject[],
  namespaces: RunQuery['namespaces'],
  labels: string,
): Promise<readonly KubeObject[]> {
  const version = await groupVersion(api);
  if (version === undefined) return [];
  try {
    return await api.listIn(groupSnapshots(version), namespaces, labels);
  } catch (error) {
    const refused = error instanceof QuiesceError && error.code === 'FORBIDDEN';
    if (refused && !snapshots.some(isOfGroup)) return [];
    throw error;
  }
}

function isOfGroup({ metadata }: KubeObject): boolean {
  return metadata?.ownerReferences?.some(({ kind }) => kind === 'VolumeGroupSnapshot') === true;
}

/** The runs on record, newest first. One whose report is gone is rebuilt from its snapshots. */
export async function readRuns(api: ObjectApi, query: RunQuery): Promise<readonly StoredRun[]> {
  const { snapshots, groupSnapshots: groups, reports } = await readObjects(api, query);
  const ids = new Set([...snapshots, ...groups, ...reports].map(runOf));
  ids.delete('');
  const runs = [...ids].flatMap((id) => {
    const own = (list: readonly KubeObject[]): readonly KubeObject[] =>
      list.filter((one) => runOf(one) === id);
    const report = homeReport(own(reports), id);
    return stored(id, own(snapshots), own(groups), report, query.namespaces) ?? [];
  });
  return runs.toSorted(
    (a, b) => b.createdAt.localeCompare(a.createdAt) || b.id.localeCompare(a.id),
  );
}

/** Copies of a report in other namespaces do not hide the one at home. */
function homeReport(reports: readonly KubeObject[], id: string): KubeObject | undefined {
  return reports.find((one) => readReport(one, id).kind !== 'foreign') ?? reports[0];
}

export function runOf(object: KubeObject): string {
  return labelsOf(object)[RUN_LABELS.run] ?? '';
}

function stored(
  id: string,
  labelled: readonly KubeObject[],
  groups: readonly KubeObject[],
  report: KubeObject | undefined,
  looked: readonly string[] | undefined,
): StoredRun | undefined {
  const read = report === undefined ? undefined : readReport(report, id);
  // A copy of a report in another namespace is no run there.
  if (read?.kind === 'foreign' && labelled.length === 0 && groups.length === 0) return undefined;
  const own = read?.kind === 'foreign' ? undefined : report;
  const written = read?.kind === 'whole' ? read.document : undefined;
  const snapshots = written === undefined ? labelled : namedIn(written, labelled);
  const objects = [...snapshots, ...groups, ...(own === undefined ? [] : [own])];
  const group = objects.map((one) => labelsOf(one)[RUN_LABELS.group]).find(Boolean) ?? '';
  const lease = objects.map((one) => annotationsOf(one)[LEASE_ANNOTATION]).find(Boolean);
  const base = written ?? rebuilt({ id, group }, snapshots, objects);
  const doubts =
    written === undefined ? [withoutReport(read)] : doubtsOf(written, snapshots, looked);
  const verdict = worstOf([
    ...objects.map(verdictOf),
    ...(written === undefined ? [] : [written.verdict]),
    ...doubts.map((one) => one.verdict),
  ]);
  const problems = [
    ...base.problems,
    ...doubts.map((one) => one.problem),
    ...(verdict === 'pending' ? [NOT_DONE] : []),
  ];
  const shown = verdict === 'pending' ? 'failed' : verdict;
  const document = { ...base, verdict: shown, problems };
  return {
    id,
    group,
    verdict,
    startedAt: base.startedAt,
    createdAt: createdAtOf(snapshots, objects, base),
    bytes: snapshots.reduce(
      (sum, one) => sum + (bytesOf(at(one, 'status', 'restoreSize')) ?? 0),
      0,
    ),
    namespaces: namespacesOf(objects, base),
    snapshots,
    groupSnapshots: groups,
    ...(lease !== undefined && { lease }),
    ...(own !== undefined && { report: own }),
    document,
  };
}

/** Without the report nothing says how many snapshots there were, and what each freeze gave. */
function withoutReport(read: ReadReport | undefined): Doubt {
  if (read?.kind === 'damaged') {
    const message = `The report of this run cannot be read: ${read.why}.`;
    return { verdict: 'failed', problem: { code: 'REPORT_DAMAGED', message } };
  }
  const message = 'The report of this run is gone, and so is what proved it.';
  return { verdict: 'unproven', problem: { code: 'REPORT_GONE', message } };
}

/** A report is written after the snapshots, so it dates a run only where there are none. */
function createdAtOf(
  snapshots: readonly KubeObject[],
  objects: readonly KubeObject[],
  { startedAt }: SnapshotRun,
): string {
  const [first = startedAt] = createdTimes(objects);
  if (snapshots.length > 0 || Number.isNaN(Date.parse(startedAt))) return first;
  return Date.parse(startedAt) < Date.parse(first) ? startedAt : first;
}

const NOT_DONE: RunProblem = {
  code: 'RUN_NOT_RECORDED',
  message: 'This run is under way, or it ended before its result was recorded.',
  hint: 'The next run of this application marks it as failed.',
};

function namespacesOf(objects: readonly KubeObject[], { members }: SnapshotRun): readonly string[] {
  const said = objects.flatMap((one) =>
    (annotationsOf(one)[NAMESPACES_ANNOTATION] ?? '').split(','),
  );
  const own = objects.map(({ metadata }) => metadata?.namespace ?? '');
  const listed = members.flatMap(({ snapshots }) => snapshots.map(({ namespace }) => namespace));
  return [...new Set([...said, ...own, ...listed])].filter((one) => one !== '').toSorted();
}
