import type { MemberRef } from '../plan/document.ts';
import type { DrillRun, RestoredMember, RestoreProblem } from '../restore/document.ts';
import type { CopyPlan } from './copies.ts';
import type { Played } from './play.ts';
import type { DrillSource } from './source.ts';
import { memberResult, rpoOf, verdictOf } from './verdict.ts';

export interface DrillFacts {
  readonly id: string;
  readonly source: DrillSource;
  readonly plan: CopyPlan;
  /** By the clock of this machine. */
  readonly startedAt: Date;
  /** The same moment by the API server's clock, in milliseconds: the sidecars' clocks are those of the cluster. */
  readonly serverStart: number;
  readonly problems: readonly RestoreProblem[];
  readonly deep: boolean;
  /** Absent: it is under way. */
  readonly end?: { readonly played: Played | undefined; readonly removed: boolean | undefined };
}

/** What a drill of data prints and records. Pure but for the time of its end. */
export function documentOf(facts: DrillFacts): DrillRun {
  const { id, source, plan, startedAt, serverStart, problems, deep, end } = facts;
  const expected = { deep, receiptId: source.receiptId };
  const members = plan.members.map((one) =>
    end === undefined
      ? waiting(one)
      : memberResult(
          one,
          (end.played ?? []).filter(({ member }) => same(member, one)),
          expected,
        ),
  );
  const verdict = end && verdictOf(members, problems, expected);
  const healthy = members.map(({ timeline }) => timeline.healthyMs);
  const whole = healthy.every((one) => one !== undefined) && verdict !== 'failed';
  const rpo = end === undefined ? undefined : rpoOf(members, serverStart);
  return {
    apiVersion: 'quiesce.dev/v1',
    kind: 'DrillRun',
    mode: 'data',
    id,
    group: source.plan.group,
    source: { ...source.about, namespaces: Object.fromEntries(plan.namespaces) },
    scratch: [...plan.namespaces.values()],
    ...(verdict !== undefined && { verdict }),
    layers: [layerOf(members, startedAt)],
    members,
    problems: [...problems, ...notesOf(end?.played)],
    startedAt: startedAt.toISOString(),
    ...(end !== undefined && { endedAt: new Date().toISOString() }),
    ...(end !== undefined && whole && { rtoSeconds: Math.max(...healthy) / 1_000 }),
    ...(rpo !== undefined && { rpoSeconds: rpo }),
    ...(end?.removed !== undefined && { removed: end.removed }),
    notKept: source.plan.notKept,
  };
}

function waiting({ namespace, kind, name, engine }: CopyPlan['members'][number]): RestoredMember {
  const known = engine === undefined ? {} : { engine };
  return { namespace, kind, name, ...known, problems: [], timeline: {} };
}

/** All copies start at once: they prove data, not an order. */
function layerOf(members: readonly RestoredMember[], startedAt: Date): DrillRun['layers'][number] {
  const at = (ms: number | undefined): string | undefined =>
    ms === undefined ? undefined : new Date(startedAt.getTime() + ms).toISOString();
  const [released, healthy] = [
    members.map(({ timeline }) => timeline.releasedMs),
    members.map(({ timeline }) => timeline.healthyMs),
  ];
  const first = released.some((one) => one === undefined)
    ? undefined
    : Math.min(...(released as number[]));
  const last = healthy.some((one) => one === undefined)
    ? undefined
    : Math.max(...(healthy as number[]));
  const [begin, done] = [at(first), at(last)];
  return {
    members: members.map(({ namespace, kind, name }) => ({ namespace, kind, name })),
    ...(begin !== undefined && { startedAt: begin }),
    ...(done !== undefined && { healthyAt: done }),
  };
}

function notesOf(played: Played | undefined): readonly RestoreProblem[] {
  return (played ?? []).flatMap(({ notes, pod }) =>
    notes.map((message) => ({ code: 'COPY_DIFFERS', message, object: `Pod/${pod}` })),
  );
}

function same(a: MemberRef, b: MemberRef): boolean {
  return a.namespace === b.namespace && a.kind === b.kind && a.name === b.name;
}
