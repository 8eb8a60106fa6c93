import { backedUp, membersOf, type PlanMember } from '../plan/document.ts';
import type { RunMember, RunProblem, SnapshotRun } from './document.ts';
import type { MemberFacts, PodFacts, RunFacts } from './facts.ts';
import { type Freeze, isSame } from './group-freeze.ts';
import type { Happened } from './happened.ts';
import { type CutMember, leftOutOf, memberKey, podKey } from './scene.ts';
import { retainsAny } from './retained.ts';
import type { Mark } from './steps.ts';
import { dataNotCutIn, looseIn, unfrozenOf } from './unfrozen.ts';
import { judge } from './verdict.ts';
import type { CutSnapshot } from './volumes.ts';

/** The document of a run, with its verdict. Pure. */
export function documentOf(happened: Happened): SnapshotRun {
  const { id, group, startedAt, members, notes, plan, retained } = happened;
  const leftOut = leftOutOf(plan);
  const facts = factsOf(happened);
  const { verdict, problems, together, freezeSpreadMs } = judge(facts);
  const unfrozen = facts.members.flatMap((one) =>
    (one.unfrozen ?? []).map((claim) => ({ namespace: one.namespace, ...claim })),
  );
  return {
    apiVersion: 'quiesce.dev/v1',
    kind: 'SnapshotRun',
    id,
    group,
    verdict,
    ...(together !== undefined && { together }),
    members: members.map((one) => memberOf(one, happened)),
    ...(leftOut.length > 0 && { leftOut }),
    ...(unfrozen.length > 0 && { unfrozen }),
    ...(retainsAny(retained) && { retained }),
    problems: merged(problems, [...notes, ...looseIn(plan)]),
    startedAt,
    endedAt: new Date().toISOString(),
    freezeSpreadMs,
  };
}

function factsOf(happened: Happened): RunFacts {
  const { id, claims, cutBegun, cutSeen, cut, leaseHeld, failures, members } = happened;
  const { startedAt, calledAt } = happened;
  return {
    id,
    members: members.map((one) => memberFacts(one, happened)),
    claims,
    dataNotCut: dataNotCutIn(happened),
    cutBegun,
    cutSeen,
    group: cut?.group === true,
    snapshots: cut?.snapshots ?? [],
    leaseHeld,
    failures,
    startedAt,
    calledAt,
  };
}

function memberFacts({ member, protection, pods }: CutMember, happened: Happened): MemberFacts {
  const { namespace, kind, name } = member;
  const { atEnd, targets, revisions } = happened;
  const key = memberKey(member);
  const found = atEnd && membersOf(atEnd.plan).find((one) => isSame(one, member));
  const now = found && backedUp(found);
  const own = targets.filter((one) => isSame(one.member, member));
  return {
    namespace,
    kind,
    name,
    protection,
    claims: member.claims,
    unfrozen: unfrozenOf(member, found, happened),
    revision: revisions.get(key),
    durable: own.length > 0 && own.length === pods.length && own.every(({ durable }) => durable),
    pods: pods.map((pod): PodFacts => ({
      name: pod.name,
      uid: pod.uid,
      uidAtEnd: atEnd?.pods.get(podKey(namespace, pod.name))?.uid,
      freeze: freezesOf(member, happened).find(({ target }) => target.pod === pod.name),
    })),
    ...(now !== undefined && {
      atEnd: {
        // The names of pods that do not run are a forecast.
        pods: now.pods.filter((one) => atEnd?.pods.has(podKey(namespace, one))),
        claims: now.claims,
        revision: atEnd?.revisions.get(key),
      },
    }),
  };
}

function memberOf({ member }: CutMember, happened: Happened): RunMember {
  const { namespace, kind, name, engine, claims } = member;
  const freezes = freezesOf(member, happened);
  const receipts = freezes.map(({ target, final, held }) => {
    const receipt = final ?? held;
    return { pod: target.pod, ...(receipt !== undefined && { receipt: { ...receipt } }) };
  });
  const receipt = receipts[0]?.receipt;
  const known = engine ?? happened.targets.find((one) => isSame(one.member, member))?.engine;
  const snapshots = (happened.cut?.snapshots ?? []).filter(
    (one) => one.namespace === namespace && claims.includes(one.claim),
  );
  return {
    namespace,
    kind,
    name,
    ...(known !== undefined && { engine: known }),
    ...(receipt !== undefined && { receipt }),
    receipts,
    snapshots: snapshots.map(snapshotOf),
    timeline: timelineOf(freezes, happened),
    problems: freezes.flatMap(({ problem }) => problem ?? []),
  };
}

function snapshotOf({ namespace, name, claim, uid, cutAt, ready, restoreSize }: CutSnapshot) {
  return {
    namespace,
    name,
    claim,
    ...(uid !== undefined && { uid }),
    ...(cutAt !== undefined && { cutAt }),
    ready,
    ...(restoreSize !== undefined && { restoreSize }),
  };
}

function timelineOf(freezes: readonly Freeze[], happened: Happened): RunMember['timeline'] {
  const times = (of: (freeze: Freeze) => Mark | undefined): number[] =>
    freezes.flatMap((one) => of(one)?.ms ?? []);
  const [asked, thawAsked] = [times((one) => one.frozenAsked), times((one) => one.thawAsked)];
  const [frozen, thawed] = [times((one) => one.frozen), times((one) => one.thawed)];
  const { cutSeen, readyMark } = happened;
  return {
    ...(asked.length > 0 && { freezeAskedMs: Math.min(...asked) }),
    ...(frozen.length > 0 && { frozenMs: Math.max(...frozen) }),
    ...(cutSeen !== undefined && { cutSeenMs: cutSeen.ms }),
    ...(thawAsked.length > 0 && { thawAskedMs: Math.min(...thawAsked) }),
    ...(thawed.length > 0 && { thawedMs: Math.max(...thawed) }),
    ...(readyMark !== undefined && { readyMs: readyMark.ms }),
  };
}

type Ref = Pick<PlanMember, 'namespace' | 'kind' | 'name'>;

function freezesOf(member: Ref, { freezes }: Happened): readonly Freeze[] {
  return freezes.filter(({ target }) => isSame(target.member, member));
}

/** A note of the volume side says the same as a doubt of the verdict, and what to do. */
function merged(problems: readonly RunProblem[], notes: readonly RunProblem[]): RunProblem[] {
  const noted = new Set(notes.map(({ code }) => code));
  const all = [...problems.filter(({ code }) => !noted.has(code)), ...notes];
  return [...new Map(all.map((one) => [`${one.code} ${one.message}`, one])).values()];
}
