import { Timestamp } from 'mongodb';

/** A position in the oplog: comparable within one set, and written as `seconds:increment:term`. */
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

/** Negative, zero or positive, as for `sort`. The term counts first, as in the server. */
export function compareOpTimes(a: OpTime, b: OpTime): number {
  return a.term - b.term || a.seconds - b.seconds || a.increment - b.increment;
}

export function formatOpTime({ seconds, increment, term }: OpTime): string {
  return `${seconds}:${increment}:${term}`;
}

/** `undefined` for what `formatOpTime` would not have written. */
export function parseOpTime(text: string): OpTime | undefined {
  const match = /^(\d{1,10}):(\d{1,10}):(-?\d{1,15})$/.exec(text);
  if (!match) return undefined;
  return { seconds: Number(match[1]), increment: Number(match[2]), term: Number(match[3]) };
}
