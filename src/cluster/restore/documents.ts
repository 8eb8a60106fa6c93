import { CLAIMS, type ObjectApi } from '../api/objects.ts';
import { type KubeObject, namespaceOf, textAt } from '../objects/kube-object.ts';
import { parseQuantity } from '../objects/quantity.ts';
import type {
  RestoredMember,
  RestoreLayer,
  RestoreProblem,
  RestoreRun,
  RestoreSource,
  RestoreVerdict,
} from './document.ts';
import { keyOf, refOf } from './mapped.ts';
import { isUnproven, unproven, type Walk, type WalkMember } from './walk.ts';

/** How far a run has come. */
export interface SoFar {
  readonly walk: Walk;
  /** By their numbers; the members come from the plan. */
  readonly times: readonly Omit<RestoreLayer, 'members'>[];
  readonly problems: readonly RestoreProblem[];
}

export interface RunFacts {
  readonly id: string;
  readonly source: RestoreSource;
  readonly startedAt: string;
}

/** @param end absent: the run is under way */
export function restoreRun(
  { id, source, startedAt }: RunFacts,
  { walk, times, problems }: SoFar,
  end?: { readonly verdict: RestoreVerdict; readonly claims?: readonly KubeObject[] },
): RestoreRun {
  const members = [...walk.members.values()].map((one) => memberOf(one, source, end?.claims));
  const rto = rtoOf(walk);
  const rpo = rpoOf(members, walk, startedAt);
  return {
    apiVersion: 'quiesce.dev/v1',
    kind: 'RestoreRun',
    id,
    group: walk.plan.group,
    source,
    ...(end !== undefined && { verdict: end.verdict }),
    layers: walk.plan.layers.map((layer, index) => ({
      members: layer.members.map(refOf),
      ...times[index],
    })),
    members,
    problems,
    startedAt,
    ...(end !== undefined && { endedAt: new Date().toISOString() }),
    ...(end !== undefined && end.verdict !== 'failed' && rto !== undefined && { rtoSeconds: rto }),
    ...(rpo !== undefined && { rpoSeconds: rpo }),
  };
}

function memberOf(
  { member, state, phase, problems, timeline }: WalkMember,
  { takenAt }: RestoreSource,
  claims: readonly KubeObject[] = [],
): RestoredMember {
  const own = claims.filter(
    (one) =>
      namespaceOf(one) === member.namespace && member.claims.includes(one.metadata?.name ?? ''),
  );
  const bytes = own.reduce((sum, one) => sum + sizeOf(one), 0);
  const open = phase === 'healthy' && isUnproven(member, state);
  // The freeze was asked for after the source was begun: the data is no older than that.
  const dataAt = (state?.receipts.length ?? 0) > 0 ? takenAt : undefined;
  return {
    ...refOf(member),
    ...(member.engine !== undefined && { engine: member.engine }),
    ...(state?.level !== undefined && { level: state.level }),
    ...(state?.message !== undefined && { message: state.message }),
    problems: open ? [...problems, unproven(member, state)] : problems,
    timeline,
    ...(dataAt !== undefined && { dataAt }),
    ...(bytes > 0 && { bytes }),
  };
}

function sizeOf(claim: KubeObject): number {
  const size =
    textAt(claim, 'status', 'capacity', 'storage') ??
    textAt(claim, 'spec', 'resources', 'requests', 'storage');
  return size === undefined ? 0 : (parseQuantity(size) ?? 0);
}

function rtoOf({ members }: Walk): number | undefined {
  const times = [...members.values()].flatMap(({ timeline }) => timeline.healthyMs ?? []);
  return times.length === 0 ? undefined : Math.round(Math.max(...times)) / 1_000;
}

function rpoOf(
  members: readonly RestoredMember[],
  walk: Walk,
  startedAt: string,
): number | undefined {
  const withData = members.filter((one) => one.level !== undefined || hasClaims(walk, one));
  const times = withData.map(({ dataAt }) => Date.parse(dataAt ?? ''));
  if (times.length === 0 || times.some(Number.isNaN)) return undefined;
  return Math.max(0, Math.round((Date.parse(startedAt) - Math.min(...times)) / 1_000));
}

function hasClaims({ members }: Walk, one: RestoredMember): boolean {
  return (members.get(keyOf(one))?.member.claims.length ?? 0) > 0;
}

/** The claims of the target, for sizes. What cannot be read is left out. */
export async function claimsIn(
  api: ObjectApi,
  namespaces: readonly string[],
): Promise<readonly KubeObject[]> {
  return await api.listIn(CLAIMS, namespaces).catch(() => []);
}
