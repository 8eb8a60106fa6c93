import { bar, finite, type Row, spanned, type Timeline } from '../../report/timeline.ts';
import type { MemberRef } from '../../plan/document.ts';
import type { RecoveryRun, RestoredMember } from '../document.ts';

export const PHASES = ['waiting', 'starting', 'checking'] as const;
export const VERIFIED = 'data verified';

/** One member's part of the timeline. */
export interface RecoveryRow extends Row {
  readonly member: RestoredMember;
  /** The number of its layer, from 0; absent: it is in none. */
  readonly layer?: number;
  readonly healthyMs?: number;
}

/** The members in the order of their layers, each with what it waited for. */
export function timelineOf(run: RecoveryRun): Timeline<RecoveryRow> {
  const layers = new Map(
    run.layers.flatMap(({ members }, layer) => members.map((one) => [keyOf(one), layer] as const)),
  );
  const end = endOf(run);
  const rows = run.members.map((member) => rowOf(member, layers.get(keyOf(member)), end));
  const last = run.layers.length;
  const inOrder = rows.toSorted((a, b) => (a.layer ?? last) - (b.layer ?? last));
  return spanned(inOrder, inOrder.some(({ bars }) => bars.length > 0) ? [0] : []);
}

function rowOf(member: RestoredMember, layer: number | undefined, end: number): RecoveryRow {
  const { gatedMs, releasedMs, readyMs, verifiedMs, healthyMs } = finite(member.timeline);
  // A member that never reached a step was in the one before until the run ended: that is what to look at.
  const until = (...steps: readonly (number | undefined)[]): number =>
    steps.find((step) => step !== undefined) ?? end;
  return {
    member,
    ...(layer !== undefined && { layer }),
    bars: [
      ...bar('waiting', gatedMs, until(releasedMs, readyMs, healthyMs)),
      ...bar('starting', releasedMs, until(readyMs, healthyMs)),
      ...bar('checking', readyMs, until(healthyMs)),
    ],
    ...(verifiedMs !== undefined && { mark: { what: VERIFIED, at: verifiedMs } }),
    ...(healthyMs !== undefined && { healthyMs }),
  };
}

/** The last moment that the run knows of. */
function endOf({ members, startedAt, endedAt }: RecoveryRun): number {
  const steps = members.flatMap(({ timeline }) => Object.values(finite(timeline)));
  const whole = Date.parse(endedAt ?? '') - Date.parse(startedAt);
  return [...steps, ...(whole > 0 ? [whole] : [])].reduce((a, b) => Math.max(a, b), 0);
}

function keyOf({ namespace, kind, name }: MemberRef): string {
  return `${namespace}\n${kind}\n${name}`;
}
