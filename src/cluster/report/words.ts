import { oneLine as plain } from '../../lib/command-line/printable.ts';
import { formatDuration } from '../../lib/duration.ts';
import type { MemberRef } from '../plan/document.ts';

export { plain };

/** `StatefulSet/db`, with its namespace where the run has several. */
export function memberName({ namespace, kind, name }: MemberRef, several: boolean): string {
  return plain(several ? `${namespace} ${kind}/${name}` : `${kind}/${name}`);
}

export function namespacesIn({
  members,
}: {
  readonly members: readonly MemberRef[];
}): readonly string[] {
  return [...new Set(members.map(({ namespace }) => namespace))].toSorted();
}

/** `2026-11-30 18:03:05 UTC`, with milliseconds where `exact`. */
export function moment(text: string, exact = false): string {
  const date = new Date(text);
  if (Number.isNaN(date.getTime())) return plain(text);
  const iso = date.toISOString().replace('T', ' ');
  return `${iso.slice(0, exact ? 23 : 19)} UTC`;
}

/** From the start of a run to its end, by the clock of the machine that made it. */
export function tookText(run: {
  readonly startedAt: string;
  readonly endedAt?: string;
}): string | undefined {
  const ms = Date.parse(run.endedAt ?? '') - Date.parse(run.startedAt);
  return Number.isFinite(ms) && ms >= 0 ? formatDuration(ms) : undefined;
}
