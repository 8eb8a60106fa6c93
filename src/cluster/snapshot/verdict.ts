import { entryOf, isEngine } from '../../engines/names.ts';
import type { MemberRef } from '../plan/document.ts';
import type { RunProblem, RunVerdict, Together } from './document.ts';
import type { FreezeFacts, MemberFacts, RunFacts } from './facts.ts';
import { togetherOf } from './together.ts';

export interface Judged {
  readonly verdict: RunVerdict;
  /** Failures first. */
  readonly problems: readonly RunProblem[];
  readonly together?: Together;
  readonly freezeSpreadMs: number;
}

/**
 * What a run may be called. Causes decide, never clocks: the order in which this process saw answers and
 * sent requests, and the sidecars' own verdicts on the time between.
 */
export function judge(facts: RunFacts): Judged {
  const found = [
    ...facts.members.flatMap((member) => [...frozenThroughout(facts, member), ...same(member)]),
    ...cutFailures(facts),
    ...(facts.leaseHeld ? [] : [{ code: 'RUN_LEASE_LOST', message: 'The run lost its Lease.' }]),
  ];
  const failures = facts.failures.length === 0 ? found : [...facts.failures, ...told(facts)];
  const doubts = [
    ...facts.members.flatMap((member) => [...unfrozen(member), ...writtenTo(member, false)]),
    ...(facts.dataNotCut ?? []).map(notHeld),
    ...facts.members.flatMap(notSeen),
    ...notAtomic(facts),
  ];
  const declared = facts.members.flatMap((member) => writtenTo(member, true));
  const verdict = failures.length > 0 ? 'failed' : doubts.length > 0 ? 'unproven' : 'proven';
  return {
    verdict,
    problems: [...failures, ...doubts, ...declared],
    ...(verdict === 'proven' && { together: togetherOf(facts) }),
    freezeSpreadMs: spreadOf(facts),
  };
}

/** What sidecars said. After a failure the rest follows from it, and would hide it. */
function told({ members }: RunFacts): readonly RunProblem[] {
  return members.flatMap(({ pods }) => pods.flatMap(({ freeze }) => freeze?.problem ?? []));
}

function text({ namespace, kind, name }: MemberRef): string {
  return `${namespace} ${kind}/${name}`;
}

/** Every pod held from before the first snapshot until after the last, by its sidecar's own verdict. */
function frozenThroughout(facts: RunFacts, member: MemberFacts): RunProblem[] {
  if (member.protection !== 'sidecar') return [];
  const named = text(member);
  if (member.pods.length === 0) {
    return [{ code: 'MEMBER_NOT_FROZEN', message: `${named} has no pod that was frozen.` }];
  }
  return member.pods.flatMap(({ name, freeze }): RunProblem[] => {
    const why = freeze === undefined ? 'it was not frozen' : notProven(facts, freeze);
    if (why === undefined) return [];
    if (freeze?.problem !== undefined) return [freeze.problem];
    return [{ code: 'MEMBER_NOT_FROZEN', message: `${named}, pod ${name}: ${why}.` }];
  });
}

function notProven(facts: RunFacts, freeze: FreezeFacts): string | undefined {
  const { id, cutBegun, cutSeen } = facts;
  const { frozen, held, thawAsked, final } = freeze;
  if (frozen === undefined || held === undefined) return 'it was not frozen';
  if (held.id !== id || held.verdict !== 'held') return 'its receipt is not that of this run';
  if (final === undefined || thawAsked === undefined) return 'its thaw gave no verdict';
  if (final.verdict !== 'consistent') {
    return `the freeze did not last: ${final.reasons.join(', ') || final.verdict}`;
  }
  if (final.id !== id || final.frozenAt !== held.frozenAt) return 'another freeze was thawed';
  if (cutBegun === undefined || frozen.order >= cutBegun.order) {
    return 'snapshots were created before it was frozen';
  }
  if (cutSeen === undefined || cutSeen.order >= thawAsked.order) {
    return 'it was thawed before all snapshots were seen as cut';
  }
  return undefined;
}

/** The pods and claims are those of the plan. */
function same(member: MemberFacts): RunProblem[] {
  const { atEnd, pods, claims } = member;
  const changed = (message: string): RunProblem => ({
    code: 'MEMBER_CHANGED',
    message: `${text(member)} changed during the run: ${message}.`,
    hint: 'Run it again while no pod of it is replaced and its size does not change.',
  });
  if (atEnd === undefined) return [changed('what it is now could not be read')];
  if (member.revision !== atEnd.revision) {
    return [changed('its specification, such as the number of its replicas')];
  }
  const problems = [
    ...difference(
      pods.map(({ name }) => name),
      atEnd.pods,
    ).map((name) => changed(`the pod ${name}`)),
    ...difference(claims, atEnd.claims).map((name) => changed(`the claim ${name}`)),
  ];
  for (const { name, uid, uidAtEnd } of pods) {
    if (uid === '' || uid !== uidAtEnd)
      problems.push(changed(`the pod ${name} is gone or another`));
  }
  return problems;
}

function difference(before: readonly string[], after: readonly string[]): readonly string[] {
  const [was, is] = [new Set(before), new Set(after)];
  return [...was].filter((one) => !is.has(one)).concat([...is].filter((one) => !was.has(one)));
}

/** Each claim has one snapshot, which was seen as cut, is of the claim of the plan, and is ready. */
function cutFailures(facts: RunFacts): RunProblem[] {
  const failed = (code: string, message: string): RunProblem => ({ code, message });
  const planned = new Map(facts.claims.map((one) => [`${one.namespace}/${one.claim}`, one]));
  const problems: RunProblem[] = [];
  if (facts.members.length === 0 || planned.size === 0) {
    problems.push(failed('NO_VOLUMES', 'The run has no volume to cut.'));
  }
  if (facts.cutSeen === undefined) problems.push(failed('NOT_CUT', 'Not all snapshots were cut.'));
  for (const { namespace, claims } of facts.members) {
    for (const claim of claims) {
      if (planned.has(`${namespace}/${claim}`)) continue;
      problems.push(failed('CLAIM_NOT_CUT', `The claim ${claim} in ${namespace} was left out.`));
    }
  }
  for (const { namespace, claim, uid } of planned.values()) {
    const named = `The claim ${claim} in ${namespace}`;
    const own = facts.snapshots.filter((one) => one.namespace === namespace && one.claim === claim);
    const [snapshot] = own;
    if (snapshot === undefined || own.length > 1 || !snapshot.cut) {
      problems.push(failed('CLAIM_NOT_CUT', `${named} has no snapshot that was cut.`));
    } else if (uid === '' || snapshot.claimUid !== uid) {
      problems.push(failed('CLAIM_CHANGED', `${named} is gone or another since the plan.`));
    } else if (!snapshot.ready) {
      const message = `The snapshot ${snapshot.name} in ${namespace} was not ready in time.`;
      problems.push(failed('SNAPSHOT_NOT_READY', message));
    }
  }
  return problems;
}

function unfrozen(member: MemberFacts): RunProblem[] {
  const { protection } = member;
  if (protection === 'none') {
    const message = `${text(member)} was not frozen, as quiesce.dev/freeze: none declares: it is crash-consistent.`;
    return [{ code: 'MEMBER_UNFROZEN', message }];
  }
  if (protection !== 'at-rest') return [];
  const message = `${text(member)} has no pods, so nothing was frozen, and no receipt says what its volumes hold.`;
  return [{ code: 'MEMBER_AT_REST', message }];
}

/** The claims of a member to which somebody may write unfrozen: as the user declares, or not. */
function writtenTo(member: MemberFacts, declared: boolean): RunProblem[] {
  const found = (member.unfrozen ?? []).filter((one) => (one.declared !== undefined) === declared);
  return found.map(({ claim, volume, why, declared: by }): RunProblem => {
    const named = `The claim ${claim} of ${text(member)}`;
    if (by !== undefined) {
      const message = `${named} is crash-consistent, as ${by} declares: nothing froze it, and what this run promises does not include it.`;
      return { code: 'CLAIM_UNFROZEN', message };
    }
    return {
      code: 'CLAIM_NOT_FROZEN',
      message: `${named} was cut while it may have been written to: ${why}.`,
      hint: `Stop that writer, or let it mount the claim read-only. If no frozen database has its data there, quiesce.dev/freeze: "${volume ?? 'VOLUME'}=none" declares that it needs no freeze.`,
    };
  });
}

function notHeld(why: string): RunProblem {
  const hint =
    'Put the data on a claim that is cut, or declare with quiesce.dev/state that it is rebuilt or discarded.';
  return { code: 'DATA_NOT_CUT', message: `${why} No snapshot holds it.`, hint };
}

/** Without the data before its eyes, a sidecar cannot tell which volume it is on. */
function notSeen(member: MemberFacts): RunProblem[] {
  if (member.protection !== 'sidecar') return [];
  return member.pods.flatMap(({ name, freeze }): RunProblem[] => {
    const receipt = freeze?.final ?? freeze?.held;
    const engine = receipt?.engine?.name ?? '';
    const field = isEngine(engine) ? entryOf(engine).placeField : undefined;
    if (field === undefined || receipt?.restore?.[field] !== null) return [];
    return [
      {
        code: 'DATA_NOT_SEEN',
        message: `The sidecar of ${text(member)}, pod ${name}, does not see the data of its database, so nothing shows that a snapshot holds it.`,
        hint: 'Mount the volume of the data into the sidecar, and set QUIESCE_DATA_DIR to it.',
      },
    ];
  });
}

/**
 * A driver of which nothing is known is not among them: CSI asks every driver for one moment of the volume,
 * and the run names the driver. What it has cut must still pass prepare-restore.
 */
function notAtomic({ claims }: RunFacts): RunProblem[] {
  const live = new Set(claims.flatMap(({ atomic, driver }) => (atomic === false ? [driver] : [])));
  return [...live].map((driver) => ({
    code: 'COPIES_LIVE_FILES',
    message: `${driver} copies files one after another.`,
  }));
}

/** From the first answer of a freeze to the last. */
function spreadOf({ members }: RunFacts): number {
  const times = members.flatMap(({ pods }) =>
    pods.flatMap(({ freeze }) => freeze?.frozen?.ms ?? []),
  );
  return times.length === 0 ? 0 : Math.round(Math.max(...times) - Math.min(...times));
}
