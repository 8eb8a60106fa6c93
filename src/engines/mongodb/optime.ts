import { Timestamp } from 'mongodb';

/** A position in the oplog, written as `seconds:increment:term`. Comparable only within one set. */
export interface OpTime {
  readonly seconds: number;
  readonly increment: number;
  readonly term: number;
}

export function readOpTime(value: unknown): OpTime | undefined {
  const { ts, t } = (value ?? {}) as { ts?: unknown; t?: unknown };
  if (!(ts instanceof Timestamp) || (ts.t === 0 && ts.i === 0)) return undefined;
  return { seconds: ts.t, increment: ts.i, term: Number(t ?? -1) };
}

/** Orders as `sort` expects. Compares the term first, as the server does. */
export function compareOpTimes(a: OpTime, b: OpTime): number {
  return a.term - b.term || a.seconds - b.seconds || a.increment - b.increment;
}

export function formatOpTime({ seconds, increment, term }: OpTime): string {
  return `${seconds}:${increment}:${term}`;
}

/** Reverses `formatOpTime`; `undefined` for any other text. */
export function parseOpTime(text: string): OpTime | undefined {
  const match = /^(\d{1,10}):(\d{1,10}):(-?\d{1,15})$/.exec(text);
  if (!match) return undefined;
  return { seconds: Number(match[1]), increment: Number(match[2]), term: Number(match[3]) };
}
