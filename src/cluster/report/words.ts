import { oneLine } from '../../lib/command-line/printable.ts';
import { formatDuration } from '../../lib/duration.ts';
import type { MemberRef } from '../plan/document.ts';

/** Text of others on one line: nothing in it moves the cursor or turns the direction of reading. */
export function plain(text: string): string {
  return oneLine(text);
}

/** A document whose texts may all be shown to people. */
export function plainly<T>(value: T): T {
  if (typeof value === 'string') return plain(value) as T;
  if (Array.isArray(value)) return value.map((one: unknown) => plainly(one)) as T;
  if (typeof value !== 'object' || value === null) return value;
  const fields = Object.entries(value).map(([key, one]) => [plain(key), plainly<unknown>(one)]);
  return Object.fromEntries(fields) as T;
}

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

/** `1 member`, `3 members`. */
export function counted(count: number, noun: string): string {
  return `${count} ${count === 1 ? noun : `${noun}s`}`;
}
