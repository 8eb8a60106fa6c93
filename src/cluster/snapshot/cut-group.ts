import { type KubeObject, textAt } from '../objects/kube-object.ts';
import {
  CLAIMS,
  each,
  groupContents,
  groupSnapshots,
  reasonOf,
  type ObjectApi,
  SNAPSHOTS,
} from '../api/objects.ts';
import { create, pendingMarks } from './create.ts';
import type { RunName } from './volumes.ts';
import type { RunProblem } from './document.ts';
import { RUN_LABELS } from '../run/names.ts';
import { objectName } from '../run/object-names.ts';
import { lookAtGroup } from './look-group.ts';
import { poll, WHILE_FROZEN } from '../run/poll.ts';
import { type Made, untilCut, type Watched, withClaims } from './seen-cut.ts';
import type { CutResult, PlannedClaim, VolumePlan } from './volumes.ts';

/** What a group snapshot needs to know: the version of the API that the cluster serves. */
export interface GroupPlan extends VolumePlan {
  readonly version: string;
}

/** Cuts all claims with one VolumeGroupSnapshot, and waits until each of its members was seen as cut. */
export async function cutGroup(
  api: ObjectApi,
  run: RunName,
  plan: GroupPlan,
  signal: AbortSignal,
): Promise<CutResult> {
  const failed = (problems: readonly RunProblem[]): CutResult => ({
    run,
    group: false,
    snapshots: [],
    problems,
  });
  const marked = await mark(api, run, plan.claims);
  if (marked.length > 0) return failed(marked);
  const group = await createGroup(api, run, plan, signal);
  if ('code' in group) return failed([group as RunProblem]);
  const { namespace = '', name = '', uid = '' } = group.metadata ?? {};
  const bound = await untilBound(api, { namespace, name, uid }, plan, signal);
  if (bound.length > 0) return failed(bound);
  const members = await membersOf(api, run, { namespace, uid }, plan, signal);
  if (!('made' in members)) return failed([members]);
  const { seen, problems }: Watched = await untilCut(api, members.made, signal);
  const snapshots = await withClaims(api, members.made, seen);
  return {
    run,
    group: problems.length === 0,
    groupSnapshot: { namespace, name },
    snapshots,
    problems,
  };
}

/**
 * Puts the label that the group selects by on the claims, and checks that it selects them and no others.
 *
 * @returns what is wrong
 */
async function mark(
  api: ObjectApi,
  run: RunName,
  claims: readonly PlannedClaim[],
): Promise<readonly RunProblem[]> {
  const labels = { [RUN_LABELS.run]: run.id, [RUN_LABELS.group]: run.group };
  const { annotations } = pendingMarks(run);
  const refused = await each(claims, async ({ namespace, claim, uid }) => {
    try {
      const answer = await api.send(
        'PATCH',
        CLAIMS,
        { namespace, name: claim },
        { metadata: { uid, labels, annotations } },
      );
      if (answer.status === 200) return [];
      return [
        problem(
          'CLAIM_NOT_MARKED',
          `The claim ${claim} in ${namespace} could not be labelled: ${reasonOf(answer)}.`,
        ),
      ];
    } catch (error) {
      return [problem('CLAIM_NOT_MARKED', (error as Error).message)];
    }
  });
  if (refused.flat().length > 0) return refused.flat();
  const namespace = claims[0]?.namespace ?? '';
  try {
    const selected = (await api.list(CLAIMS, namespace, `${RUN_LABELS.run}=${run.id}`)) ?? [];
    const wanted = new Set(claims.map(({ uid }) => uid));
    const others = selected.filter(({ metadata }) => !wanted.has(metadata?.uid ?? ''));
    if (others.length === 0 && selected.length === wanted.size) return [];
    const names = others.map(({ metadata }) => metadata?.name).join(', ');
    const text =
      others.length > 0
        ? `The label ${RUN_LABELS.run} also selects ${names} in ${namespace}.`
        : `Something removes the label ${RUN_LABELS.run} from claims in ${namespace}.`;
    return [problem('GROUP_SELECTS_OTHERS', text)];
  } catch (error) {
    return [problem('CLAIM_NOT_MARKED', (error as Error).message)];
  }
}

function createGroup(
  api: ObjectApi,
  run: RunName,
  { claims, version }: GroupPlan,
  signal: AbortSignal,
): Promise<KubeObject | RunProblem> {
  const { namespace = '', snapshotClass = '' } = claims[0] ?? {};
  return create(
    api,
    run,
    {
      kind: groupSnapshots(version),
      apiVersion: `groupsnapshot.storage.k8s.io/${version}`,
      kindName: 'VolumeGroupSnapshot',
      namespace,
      name: objectName(run.group, run),
      spec: {
        volumeGroupSnapshotClassName: snapshotClass,
        source: { selector: { matchLabels: { [RUN_LABELS.run]: run.id } } },
      },
    },
    signal,
  );
}

interface GroupObject {
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
}

async function untilBound(
  api: ObjectApi,
  group: GroupObject,
  { version, claims }: GroupPlan,
  signal: AbortSignal,
): Promise<readonly RunProblem[]> {
  const driver = claims[0]?.driver ?? '';
  let why: string | undefined;
  let failure: RunProblem | undefined;
  const done = await poll(
    async () => {
      const found = await api.get(groupSnapshots(version), group.namespace, group.name);
      const name = textAt(found, 'status', 'boundVolumeGroupSnapshotContentName');
      const content = name ? await api.get(groupContents(version), undefined, name) : undefined;
      const seen = lookAtGroup({ ...group, driver }, found, content);
      if (seen.state === 'failed') failure = seen.problem;
      if (seen.state === 'waiting') why = seen.why;
      return seen.state !== 'waiting';
    },
    signal,
    WHILE_FROZEN,
  );
  if (failure !== undefined) return [failure];
  if (done) return [];
  const said = why === undefined ? '' : `; ${driver} says: ${why}`;
  const message = `The group snapshot ${group.name} in ${group.namespace} was not seen as cut in time${said}.`;
  const hint =
    'Group snapshots need --feature-gates=CSIVolumeGroupSnapshot=true in the snapshot controller and the csi-snapshotter; --no-group-snapshot does without.';
  return [{ code: 'NOT_CUT', message, hint }];
}

/** The members of the group, one of each claim, once all are there. Labels them as part of the run. */
async function membersOf(
  api: ObjectApi,
  run: RunName,
  group: Pick<GroupObject, 'namespace' | 'uid'>,
  plan: GroupPlan,
  signal: AbortSignal,
): Promise<{ readonly made: readonly Made[] } | RunProblem> {
  let members: readonly KubeObject[] = [];
  const labelled = new Set<string>();
  await poll(
    async () => {
      members = ((await api.list(SNAPSHOTS, group.namespace)) ?? []).filter((one) =>
        owned(one, group),
      );
      const fresh = members.filter(({ metadata }) => !labelled.has(metadata?.uid ?? ''));
      await each(fresh, async ({ metadata }) => {
        const { name = '', uid = '' } = metadata ?? {};
        const body = { metadata: { uid, ...pendingMarks(run) } };
        const answer = await api.send(
          'PATCH',
          SNAPSHOTS,
          { namespace: group.namespace, name },
          body,
        );
        if (answer.status === 200) labelled.add(uid);
      });
      return labelled.size >= plan.claims.length;
    },
    signal,
    WHILE_FROZEN,
  );
  const made = plan.claims.flatMap((claim) => {
    const mine = members.filter((one) => claimOf(one) === claim.claim);
    const [only] = mine;
    return only !== undefined && mine.length === 1 ? [memberOf(claim, only)] : [];
  });
  if (made.length === plan.claims.length && members.length === made.length) return { made };
  const claims = members.map((one) => claimOf(one) ?? '').join(', ') || 'none';
  return problem(
    'GROUP_INCOMPLETE',
    `The group snapshot does not hold each claim once; it holds: ${claims}.`,
  );
}

function memberOf(claim: PlannedClaim, { metadata }: KubeObject): Made {
  const { namespace, driver, handle } = claim;
  const expected = {
    namespace,
    name: metadata?.name ?? '',
    uid: metadata?.uid ?? '',
    claim: claim.claim,
    driver,
  };
  return { claim, expected: { ...expected, ...(handle !== undefined && { handle }) } };
}

function owned({ metadata }: KubeObject, { uid }: { readonly uid: string }): boolean {
  return metadata?.ownerReferences?.some((owner) => owner.uid === uid) === true;
}

function claimOf(snapshot: KubeObject): string | undefined {
  return textAt(snapshot, 'spec', 'source', 'persistentVolumeClaimName');
}

function problem(code: string, message: string): RunProblem {
  return { code, message };
}
