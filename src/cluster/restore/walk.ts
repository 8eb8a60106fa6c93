import { formatDuration } from '../../lib/duration.ts';
import type { Cause, MemberState } from '../health/state.ts';
import { membersOf, type Plan, type PlanMember } from '../plan/document.ts';
import type { RestoreProblem, RestoredMember, RestoreVerdict } from './document.ts';
import { dependenciesOf, keyOf, textOf } from './mapped.ts';

export interface WalkRules {
  /** How long a layer may take, from its release until all of its members are healthy. */
  readonly layerTimeoutMs: number;
  /** Whether data without proof ends the run. */
  readonly requireProof: boolean;
}

/** `held-back`: something that it depends on has failed, so it is not released. */
export type Phase = 'waiting' | 'released' | 'healthy' | 'failed' | 'held-back';

export interface WalkMember {
  readonly member: PlanMember;
  readonly phase: Phase;
  readonly state?: MemberState;
  /** Since when nothing but a person can mend it. */
  readonly hopelessSince?: number;
  readonly problems: readonly RestoreProblem[];
  readonly timeline: RestoredMember['timeline'];
}

/** How far a restore has come. Times are milliseconds since the start of the run. */
export interface Walk {
  readonly plan: Plan;
  readonly rules: WalkRules;
  /** The layer that was released last; -1: none. */
  readonly layer: number;
  readonly releasedAt: number;
  readonly members: ReadonlyMap<string, WalkMember>;
}

/** A cause that time cannot mend may be gone at the next look, while objects are still being created. */
const HOPELESS_AFTER_MS = 15_000;

export function beginWalk(
  plan: Plan,
  rules: WalkRules,
  known: ReadonlyMap<string, RestoredMember['timeline']> = new Map(),
): Walk {
  const members = membersOf(plan).map((member): [string, WalkMember] => [
    keyOf(member),
    { member, phase: 'waiting', problems: [], timeline: known.get(keyOf(member)) ?? {} },
  ]);
  return { plan, rules, layer: -1, releasedAt: 0, members: new Map(members) };
}

/** What is to be done now. */
export function nextStep(walk: Walk): 'release' | 'wait' | 'stop' | 'done' {
  const current = inLayer(walk);
  if (current.some(({ phase }) => phase === 'released')) return 'wait';
  if (current.some(endsAll)) return 'stop';
  return walk.layer + 1 < walk.plan.layers.length ? 'release' : 'done';
}

/** The next layer is released, but for members that depend on one that has failed. */
export function releaseNext(walk: Walk, now: number): Walk {
  const layer = walk.layer + 1;
  const members = new Map(walk.members);
  for (const one of inLayer({ ...walk, layer })) {
    const failed = dependenciesOf(one.member).filter((key) => isLost(members.get(key)));
    members.set(
      keyOf(one.member),
      failed.length === 0 ? released(one, now) : heldBack(one, failed),
    );
  }
  return { ...walk, layer, releasedAt: now, members };
}

function released(one: WalkMember, now: number): WalkMember {
  return { ...one, phase: 'released', timeline: { ...one.timeline, releasedMs: now } };
}

function heldBack(one: WalkMember, failed: readonly string[]): WalkMember {
  const problem: RestoreProblem = {
    code: 'MEMBER_HELD_BACK',
    message: `It was not released, because it depends on ${failed.join(', ')}.`,
    object: textOf(one.member),
  };
  return { ...one, phase: 'held-back', problems: [problem] };
}

function isLost(one: WalkMember | undefined): boolean {
  return one?.phase === 'failed' || one?.phase === 'held-back';
}

/** A member of low priority stops only what depends on it. */
function endsAll({ member, phase }: WalkMember): boolean {
  return phase === 'failed' && member.priority !== 'low';
}

/** @param gated the keys of members of which a pod was seen behind a gate */
export function observe(
  walk: Walk,
  states: readonly MemberState[],
  now: number,
  gated: ReadonlySet<string> = new Set(),
): Walk {
  const members = new Map(walk.members);
  for (const key of gated) {
    const one = members.get(key);
    if (one === undefined || one.timeline.gatedMs !== undefined) continue;
    members.set(key, { ...one, timeline: { gatedMs: now, ...one.timeline } });
  }
  for (const state of states) {
    const key = keyOf(state.member);
    const one = members.get(key);
    if (one !== undefined) members.set(key, judged(one, state, now, walk));
  }
  return { ...walk, members };
}

function judged(one: WalkMember, state: MemberState, now: number, walk: Walk): WalkMember {
  const hopeless = state.causes.some(({ passing }) => !passing);
  const { hopelessSince: since, ...rest } = one;
  const next: WalkMember = {
    ...rest,
    state,
    ...(hopeless && { hopelessSince: since ?? now }),
    timeline: stamped(one, state, now),
  };
  if (one.phase !== 'released') return next;
  const problems = failureOf(next, state, now, walk);
  if (problems.length > 0) return { ...next, phase: 'failed', problems };
  if (!state.ready || !state.judged) return next;
  const timeline = { ...next.timeline, healthyMs: next.timeline.healthyMs ?? now };
  return { ...next, phase: 'healthy', timeline };
}

function stamped({ timeline }: WalkMember, state: MemberState, now: number) {
  const { readyMs, verifiedMs } = timeline;
  const verified = state.judged && state.level !== undefined;
  return {
    ...timeline,
    ...(state.ready && { readyMs: readyMs ?? now }),
    ...(verified && { verifiedMs: verifiedMs ?? now }),
  };
}

function failureOf(
  one: WalkMember,
  state: MemberState,
  now: number,
  { rules, releasedAt }: Walk,
): readonly RestoreProblem[] {
  const object = textOf(one.member);
  if (state.level === 'refused') {
    const message = state.message ?? 'Its data contradicts the receipt.';
    return [{ code: 'DATA_REFUSED', message, object }];
  }
  const whole = state.ready && state.judged;
  if (whole && rules.requireProof && isUnproven(one.member, state)) {
    return [{ ...unproven(one.member, state), code: 'DATA_UNPROVEN' }];
  }
  if (whole) return [];
  const hopeless = one.hopelessSince !== undefined && now - one.hopelessSince >= HOPELESS_AFTER_MS;
  const late = now - releasedAt >= rules.layerTimeoutMs;
  if (!hopeless && !late) return [];
  const causes = state.causes.filter(({ passing }) => late || !passing);
  if (causes.length > 0) return causes.map(problemOf);
  const message = `It was not healthy within ${formatDuration(rules.layerTimeoutMs)}, and nothing says why.`;
  return [{ code: 'MEMBER_NOT_HEALTHY', message, hint: 'Look at its pods.', object }];
}

function problemOf({ code, message, hint, object }: Cause): RestoreProblem {
  return { code, message, object, ...(hint !== undefined && { hint }) };
}

/** Members with claims have data: without a sidecar's word nothing shows that all of it is there. */
export function isUnproven(member: PlanMember, state: MemberState | undefined): boolean {
  if (state?.level === 'unproven') return true;
  return state?.level === undefined && member.claims.length > 0;
}

export function unproven(member: PlanMember, state: MemberState | undefined): RestoreProblem {
  const message =
    state?.level === undefined
      ? 'It has volumes, and no sidecar that could judge what is in them.'
      : (state.message ?? 'Nothing shows that it holds all of its data.');
  return { code: 'MEMBER_UNPROVEN', message, object: textOf(member) };
}

/** The members that were released last. */
export function inLayer({ plan, layer, members }: Pick<Walk, 'plan' | 'layer' | 'members'>) {
  const refs = plan.layers[layer]?.members ?? [];
  return refs.flatMap((one) => members.get(keyOf(one)) ?? []);
}

/** Members that stay behind their gates. */
export function keptBack({ members }: Walk): readonly PlanMember[] {
  return [...members.values()].flatMap(({ phase, member }) =>
    phase === 'held-back' ? [member] : [],
  );
}

/** @param others problems of the run as a whole; any of them keeps it from being proven */
export function verdictOf(walk: Walk, others: readonly RestoreProblem[]): RestoreVerdict {
  const all = [...walk.members.values()];
  if (all.some(({ phase, state }) => phase !== 'healthy' || state?.ready !== true)) return 'failed';
  if (all.some(({ state }) => state?.level === 'refused')) return 'failed';
  const open = all.some(({ member, state }) => isUnproven(member, state));
  return open || others.length > 0 ? 'unproven' : 'proven';
}

/** For people: whom the run waits for, and why. */
export function waitingFor(walk: Walk, now: number): string {
  const waiting = inLayer(walk).filter(({ phase }) => phase === 'released');
  const [first] = waiting;
  const place = `layer ${walk.layer + 1} of ${walk.plan.layers.length}`;
  if (first === undefined) return place;
  const { member, state } = first;
  const why =
    state?.causes[0]?.message ??
    (state?.ready === true ? 'its data is being judged' : 'it is not ready');
  const more = waiting.length > 1 ? ` and ${waiting.length - 1} more` : '';
  const seconds = Math.round((now - walk.releasedAt) / 1_000);
  return `${place}: ${member.kind}/${member.name}${more}, for ${seconds} s: ${why}`;
}
