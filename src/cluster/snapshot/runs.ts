import { QuiesceError } from '../../errors.ts';
import { annotationsOf, at, type KubeObject, labelsOf, textAt } from '../inventory/catalog.ts';
import { CONFIG_MAPS, groupSnapshots, type ObjectApi, SNAPSHOTS } from '../api/objects.ts';
import type { MemberSnapshot, RunMember, RunProblem, RunVerdict, SnapshotRun } from './document.ts';
import { NAMESPACES_ANNOTATION, RECEIPT_ANNOTATION, REPORT_KEY, RUN_LABELS } from '../run/names.ts';
import { bytesOf } from '../objects/bytes.ts';
import { groupVersion } from './read-volumes.ts';

export type SeenVerdict = RunVerdict | 'pending';

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
  const runs = [...ids].map((id) => {
    const own = (list: readonly KubeObject[]): readonly KubeObject[] =>
      list.filter((one) => runOf(one) === id);
    return stored(id, own(snapshots), own(groups), own(reports)[0], query.namespaces);
  });
  return runs.toSorted(
    (a, b) => b.createdAt.localeCompare(a.createdAt) || b.id.localeCompare(a.id),
  );
}

export function runOf(object: KubeObject): string {
  return labelsOf(object)[RUN_LABELS.run] ?? '';
}

function stored(
  id: string,
  snapshots: readonly KubeObject[],
  groups: readonly KubeObject[],
  report: KubeObject | undefined,
  looked: readonly string[] | undefined,
): StoredRun {
  const objects = [...snapshots, ...groups, ...(report === undefined ? [] : [report])];
  const group = objects.map((one) => labelsOf(one)[RUN_LABELS.group]).find(Boolean) ?? '';
  const written = report === undefined ? undefined : documentIn(report, id);
  const base = written ?? rebuilt({ id, group }, snapshots, objects);
  const missing = missingOf(base, snapshots, looked);
  const verdict = worstOf([
    ...objects.map(verdictOf),
    ...(written === undefined ? [] : [written.verdict]),
    ...(missing.length > 0 ? (['failed'] as const) : []),
  ]);
  const problems = [...base.problems, ...missing, ...(verdict === 'pending' ? [NOT_DONE] : [])];
  const shown = verdict === 'pending' ? 'failed' : verdict;
  const document = { ...base, verdict: shown, problems };
  return {
    id,
    group,
    verdict,
    startedAt: base.startedAt,
    createdAt: createdTimes(objects)[0] ?? base.startedAt,
    bytes: snapshots.reduce(
      (sum, one) => sum + (bytesOf(at(one, 'status', 'restoreSize')) ?? 0),
      0,
    ),
    namespaces: namespacesOf(objects, base),
    snapshots,
    groupSnapshots: groups,
    ...(report !== undefined && { report }),
    document,
  };
}

const NOT_DONE: RunProblem = {
  code: 'RUN_NOT_RECORDED',
  message: 'This run is under way, or it ended before its result was recorded.',
  hint: 'The next run of this application marks it as failed.',
};

const RANK: readonly SeenVerdict[] = ['pending', 'failed', 'unproven', 'proven'];

/** An object without a verdict that is known says nothing good. */
function verdictOf(object: KubeObject): SeenVerdict {
  const label = labelsOf(object)[RUN_LABELS.verdict];
  return RANK.find((one) => one === label) ?? 'failed';
}

function worstOf(verdicts: readonly SeenVerdict[]): SeenVerdict {
  return RANK.find((one) => verdicts.includes(one)) ?? 'failed';
}

function namespacesOf(objects: readonly KubeObject[], { members }: SnapshotRun): readonly string[] {
  const said = objects.flatMap((one) =>
    (annotationsOf(one)[NAMESPACES_ANNOTATION] ?? '').split(','),
  );
  const own = objects.map(({ metadata }) => metadata?.namespace ?? '');
  const listed = members.flatMap(({ snapshots }) => snapshots.map(({ namespace }) => namespace));
  return [...new Set([...said, ...own, ...listed])].filter((one) => one !== '').toSorted();
}

/** Snapshots that the report names and the cluster no longer has, as far as one was to look. */
function missingOf(
  { members, verdict }: SnapshotRun,
  snapshots: readonly KubeObject[],
  looked: readonly string[] | undefined,
): readonly RunProblem[] {
  if (verdict === 'failed') return [];
  const there = new Set(
    snapshots.map(({ metadata }) => `${metadata?.namespace}/${metadata?.name}`),
  );
  return members
    .flatMap((one) => one.snapshots)
    .filter(({ namespace }) => looked === undefined || looked.includes(namespace))
    .filter(({ namespace, name }) => !there.has(`${namespace}/${name}`))
    .map(({ namespace, name, claim }) => ({
      code: 'SNAPSHOT_GONE',
      message: `The snapshot ${name} of the claim ${claim} in ${namespace} is gone.`,
    }));
}

/** `undefined`: it is not a report of this run. */
function documentIn(report: KubeObject, id: string): SnapshotRun | undefined {
  try {
    const parsed = JSON.parse(textAt(report, 'data', REPORT_KEY) ?? '') as SnapshotRun;
    const whole =
      parsed.kind === 'SnapshotRun' &&
      parsed.id === id &&
      typeof parsed.startedAt === 'string' &&
      Array.isArray(parsed.problems) &&
      Array.isArray(parsed.members) &&
      parsed.members.every((one) => Array.isArray(one.snapshots) && Array.isArray(one.problems));
    return whole ? parsed : undefined;
  } catch {
    return undefined;
  }
}

/** What the snapshots alone tell: one member for each claim. */
function rebuilt(
  { id, group }: { readonly id: string; readonly group: string },
  snapshots: readonly KubeObject[],
  objects: readonly KubeObject[],
): SnapshotRun {
  const times = createdTimes(objects);
  return {
    apiVersion: 'quiesce.dev/v1',
    kind: 'SnapshotRun',
    id,
    group,
    verdict: worstOf(snapshots.map(verdictOf)) as RunVerdict,
    members: snapshots.map(memberOf),
    problems: [],
    startedAt: times[0] ?? '',
    endedAt: times.at(-1) ?? '',
    freezeSpreadMs: 0,
    shortened: 'The report of this run is gone: this is what its snapshots tell.',
  };
}

function createdTimes(objects: readonly KubeObject[]): readonly string[] {
  return objects.flatMap(({ metadata }) => textAt(metadata, 'creationTimestamp') ?? []).toSorted();
}

function memberOf(snapshot: KubeObject): RunMember {
  const namespace = snapshot.metadata?.namespace ?? '';
  const claim = textAt(snapshot, 'spec', 'source', 'persistentVolumeClaimName') ?? '';
  const cutAt = textAt(snapshot, 'status', 'creationTime');
  const restoreSize = bytesOf(at(snapshot, 'status', 'restoreSize'));
  const receipt = receiptIn(snapshot);
  const one: MemberSnapshot = {
    namespace,
    name: snapshot.metadata?.name ?? '',
    claim,
    ready: at(snapshot, 'status', 'readyToUse') === true,
    ...(cutAt !== undefined && { cutAt }),
    ...(restoreSize !== undefined && { restoreSize }),
  };
  return {
    namespace,
    kind: 'PersistentVolumeClaim',
    name: claim,
    receipts: [],
    snapshots: [one],
    timeline: {},
    problems: [],
    ...(receipt !== undefined && { receipt }),
  };
}

function receiptIn(snapshot: KubeObject): Readonly<Record<string, unknown>> | undefined {
  try {
    const parsed: unknown = JSON.parse(annotationsOf(snapshot)[RECEIPT_ANNOTATION] ?? '');
    return typeof parsed === 'object' && parsed !== null
      ? (parsed as Record<string, unknown>)
      : undefined;
  } catch {
    return undefined;
  }
}
