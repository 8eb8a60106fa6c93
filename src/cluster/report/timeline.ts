/** A span of time in which a member was in one state. */
export interface Bar {
  /** One word: what it was doing. Also the name of its colour. */
  readonly phase: string;
  /** Milliseconds since the start of the run. */
  readonly from: number;
  readonly to: number;
}

/** A moment of a member. */
export interface Mark {
  readonly what: string;
  readonly at: number;
}

/** One member's part of a timeline. */
export interface Row {
  readonly bars: readonly Bar[];
  readonly mark?: Mark;
}

export interface Timeline<R extends Row = Row> {
  readonly rows: readonly R[];
  /** What is drawn begins and ends there. `to` is greater than `from`. */
  readonly from: number;
  readonly to: number;
}

/** The span that holds every bar and every mark, and these moments. */
export function spanned<R extends Row>(
  rows: readonly R[],
  moments: readonly number[] = [],
): Timeline<R> {
  const all = rows.flatMap(({ bars, mark }) => [
    ...bars.flatMap(({ from, to }) => [from, to]),
    ...(mark === undefined ? [] : [mark.at]),
  ]);
  const points = [...all, ...moments];
  if (points.length === 0) return { rows, from: 0, to: 1 };
  // Not spread into a call: its arguments are limited, and an application may have thousands of members.
  const from = points.reduce((a, b) => Math.min(a, b));
  const to = points.reduce((a, b) => Math.max(a, b));
  return { rows, from, to: Math.max(to, from + 1) };
}

/** A bar, or none where an end of it is not known. */
export function bar(
  phase: string,
  from: number | undefined,
  to: number | undefined,
): readonly Bar[] {
  return from === undefined || to === undefined || to < from ? [] : [{ phase, from, to }];
}

/** A report read from a cluster may have anything in it: keeps the times that are numbers. */
export function finite<T extends object>(times: T | undefined): Partial<Record<keyof T, number>> {
  const known = Object.entries(times ?? {}).filter(([, value]) => Number.isFinite(value));
  return Object.fromEntries(known) as Partial<Record<keyof T, number>>;
}

/** Whether there is anything to draw. */
export function isDrawn({ rows }: Timeline): boolean {
  return rows.some(({ bars, mark }) => bars.length > 0 || mark !== undefined);
}
