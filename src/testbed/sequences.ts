/** One statement about a ledger, proven or refuted. */
export interface LedgerCheck {
  readonly name: 'acknowledged' | 'no-gap' | 'counts' | 'sum' | 'balances' | 'payload' | 'values';
  readonly ok: boolean;
  /** One sentence: the fact that was proven, or exactly what is missing or differs. */
  readonly message: string;
}

/** A database compared with what its writers got acknowledged. */
export interface LedgerReport {
  readonly ok: boolean;
  readonly checks: readonly LedgerCheck[];
  /** The writers' writes that were found. */
  readonly rows: number;
  /** Those beyond the acknowledged ones: committed after the acknowledgements were read. */
  readonly beyond: number;
  /** Acknowledged writes that were not found. */
  readonly missing: number;
  /** Numbers that a writer's sequence lacks below its last number found: a torn copy. */
  readonly gaps: number;
}

/** What the numbers alone show; each engine adds checks of the values. */
export type SequenceReport = Omit<LedgerReport, 'ok'>;

const LISTED = 5;

/**
 * Compares the numbers that a database has of each writer with those acknowledged (1 to `acked[writer]`).
 * Missing at the end is one fault, and a gap in the middle is another: each has a check.
 */
export function compareSequences(
  acked: readonly number[],
  found: readonly ReadonlySet<number>[],
): SequenceReport {
  const lost = acked.map((upTo, writer) => absent(found[writer], upTo));
  const gaps = found.map((numbers) => absent(numbers, maximum(numbers)));
  const rows = sum(found.map(({ size }) => size));
  const acknowledged = sum(acked);
  const missing = sum(lost.map(({ length }) => length));
  return {
    checks: [
      acknowledgedCheck(
        `${acknowledged} acknowledged writes`,
        describeEach(lost, (writer) => `of ${acked[writer]}`),
      ),
      gapCheck(
        `${found.length} writers`,
        describeEach(gaps, (writer) => `below ${maximum(found[writer])}`),
      ),
    ],
    rows,
    beyond: rows - (acknowledged - missing),
    missing,
    gaps: sum(gaps.map(({ length }) => length)),
  };
}

/**
 * @param what `8 acknowledged writes`
 * @param lost what is missing; empty: nothing
 */
export function acknowledgedCheck(what: string, lost: string): LedgerCheck {
  const ok = lost === '';
  const message = ok ? `all ${what} are present` : `acknowledged but missing: ${lost}`;
  return { name: 'acknowledged', ok, message };
}

/**
 * @param whose `8 writers`
 * @param gaps where they are; empty: there are none
 */
export function gapCheck(whose: string, gaps: string): LedgerCheck {
  const ok = gaps === '';
  const message = ok ? `no gap in the sequences of ${whose}` : `gaps in sequences: ${gaps}`;
  return { name: 'no-gap', ok, message };
}

/** `1–4, 9, 12–13`; at most five ranges, then `and N more`. */
export function describeRanges(sorted: readonly number[]): string {
  const parts: [number, number][] = [];
  for (const value of sorted) {
    const last = parts.at(-1);
    if (last && last[1] === value - 1) last[1] = value;
    else parts.push([value, value]);
  }
  const texts = parts.map(([a, b]) => (a === b ? String(a) : `${a}–${b}`));
  const more = texts.length - LISTED;
  return texts.slice(0, LISTED).join(', ') + (more > 0 ? ` and ${more} more` : '');
}

function describeEach(
  numbers: readonly (readonly number[])[],
  suffix: (writer: number) => string,
): string {
  return numbers
    .flatMap((some, writer) =>
      some.length === 0 ? [] : [`writer ${writer} lacks ${describeRanges(some)} ${suffix(writer)}`],
    )
    .join('; ');
}

/** The numbers from 1 to `upTo` that a set lacks. */
function absent(found: ReadonlySet<number> | undefined, upTo: number): number[] {
  const lacking: number[] = [];
  for (let n = 1; n <= upTo; n += 1) if (!found?.has(n)) lacking.push(n);
  return lacking;
}

function maximum(numbers: ReadonlySet<number> | undefined): number {
  let most = 0;
  for (const n of numbers ?? []) most = Math.max(most, n);
  return most;
}

const sum = (numbers: readonly number[]): number => numbers.reduce((all, one) => all + one, 0);
