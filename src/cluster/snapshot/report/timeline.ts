import type { RunMember, SnapshotRun } from '../document.ts';

type Phase = 'freezing' | 'held' | 'thawing';

/** One member's part of the timeline. Times are milliseconds since the start of the run. */
export interface Row {
  readonly member: RunMember;
  readonly phases: readonly { readonly phase: Phase; readonly from: number; readonly to: number }[];
  readonly cut?: number;
  /** From the first answer of its freeze until it was asked to thaw. */
  readonly heldMs?: number;
  readonly readyMs?: number;
}

export interface Timeline {
  readonly rows: readonly Row[];
  /** The span in which anything was frozen, cut or thawed. */
  readonly from: number;
  readonly to: number;
}

/** The steps of a run that can be drawn. Readiness, which takes minutes on some storage, is no part of the span. */
export function timelineOf({ members }: SnapshotRun): Timeline {
  const rows = members.map(rowOf);
  const marks = rows.flatMap(({ phases, cut }) => [
    ...phases.flatMap(({ from, to }) => [from, to]),
    ...(cut === undefined ? [] : [cut]),
  ]);
  if (marks.length === 0) return { rows, from: 0, to: 1 };
  const from = marks.reduce((a, b) => Math.min(a, b));
  const to = marks.reduce((a, b) => Math.max(a, b));
  return { rows, from, to: Math.max(to, from + 1) };
}

function rowOf(member: RunMember): Row {
  const times = finite(member.timeline);
  const { freezeAskedMs, frozenMs, cutSeenMs, thawAskedMs, thawedMs, readyMs } = times;
  const held = thawAskedMs ?? cutSeenMs;
  const span = (phase: Phase, from: number | undefined, to: number | undefined) =>
    from === undefined || to === undefined || to < from ? [] : [{ phase, from, to }];
  return {
    member,
    phases: [
      ...span('freezing', freezeAskedMs, frozenMs),
      ...span('held', frozenMs, held),
      ...span('thawing', thawAskedMs, thawedMs),
    ],
    ...(cutSeenMs !== undefined && { cut: cutSeenMs }),
    ...(frozenMs !== undefined && held !== undefined && { heldMs: held - frozenMs }),
    ...(readyMs !== undefined && { readyMs }),
  };
}

/** A report read from a cluster may have anything in it. */
function finite(timeline: RunMember['timeline'] | undefined): RunMember['timeline'] {
  const known = Object.entries(timeline ?? {}).filter(([, value]) => Number.isFinite(value));
  return Object.fromEntries(known);
}
