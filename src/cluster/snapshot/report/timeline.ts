import { bar, finite, type Row, spanned, type Timeline } from '../../report/timeline.ts';
import type { RunMember, SnapshotRun } from '../document.ts';

export const CUT = 'seen as cut';

/** One member's part of the timeline. Times are milliseconds since the start of the run. */
export interface RunRow extends Row {
  readonly member: RunMember;
  /** From the first answer of its freeze until it was asked to thaw. */
  readonly heldMs?: number;
  readonly readyMs?: number;
}

/** The steps of a run that can be drawn. Readiness, which takes minutes on some storage, is no part of the span. */
export function timelineOf({ members }: SnapshotRun): Timeline<RunRow> {
  return spanned(members.map(rowOf));
}

function rowOf(member: RunMember): RunRow {
  const times = finite(member.timeline);
  const { freezeAskedMs, frozenMs, cutSeenMs, thawAskedMs, thawedMs, readyMs } = times;
  const held = thawAskedMs ?? cutSeenMs;
  return {
    member,
    bars: [
      ...bar('freezing', freezeAskedMs, frozenMs),
      ...bar('held', frozenMs, held),
      ...bar('thawing', thawAskedMs, thawedMs),
    ],
    ...(cutSeenMs !== undefined && { mark: { what: CUT, at: cutSeenMs } }),
    ...(frozenMs !== undefined && held !== undefined && { heldMs: held - frozenMs }),
    ...(readyMs !== undefined && { readyMs }),
  };
}
