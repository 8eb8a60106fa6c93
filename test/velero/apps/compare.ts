import { quantile } from '../../../src/testbed/latency.ts';
import type { LedgerReport } from '../../../src/testbed/sequences.ts';
import { ackedBefore, type Ledger } from './ledger.ts';

/** When the database was held. With several pods: from the first freeze to the last thaw. */
export interface Hold {
  /** `requestedAt` of the receipt. What was acknowledged before it must be in the copy. */
  readonly freezeCalledAt: Date;
  /** `thawedAt` of the receipt; default: the ledger's end. */
  readonly thawedAt?: Date;
}

/** The writers' waits, in milliseconds. */
export interface Waits {
  readonly commits: number;
  readonly p50: number;
  readonly p99: number;
  readonly maxMs: number;
}

/** The hold that receipts state: from the first request to the last thaw. */
export function holdOf(
  receipts: readonly { readonly requestedAt: string; readonly thawedAt: string | null }[],
): Hold {
  const times = (texts: readonly string[]): number[] => texts.map((text) => Date.parse(text));
  const thaws = receipts.flatMap(({ thawedAt }) => thawedAt ?? []);
  if (receipts.length === 0) throw new Error('there are no receipts');
  return {
    freezeCalledAt: new Date(Math.min(...times(receipts.map(({ requestedAt }) => requestedAt)))),
    ...(thaws.length > 0 && { thawedAt: new Date(Math.max(...times(thaws))) }),
  };
}

export interface Comparison {
  /** Whether nothing is missing, torn or wrong, and the application can work. */
  readonly ok: boolean;
  readonly acknowledged: number;
  readonly acknowledgedBeforeFreeze: number;
  /** The writers' writes that the restored database has. */
  readonly restored: number;
  /** Acknowledged before the freeze was called, and not there. */
  readonly missing: number;
  /** Numbers that a client's sequence lacks below its last one. */
  readonly gaps: number;
  /** Of writes that were waited for at any time of the hold. */
  readonly whileHeld: Waits;
  readonly canLogIn: boolean;
  readonly canWrite: boolean;
  /** All that is wrong, one sentence each; empty if `ok`. */
  readonly problems: readonly string[];
}

/** The restored database, as its application sees it. */
export interface Session {
  verify(acked: readonly number[]): Promise<LedgerReport>;
  /** Writes, and reads what it wrote from another connection. */
  write(): Promise<void>;
  close(): Promise<void>;
}

/**
 * @param open logs in as the application; its failure is a finding, not an error of the comparison
 */
export async function compareWith(
  open: () => Promise<Session>,
  ledger: Ledger,
  hold: Hold,
): Promise<Comparison> {
  const before = ackedBefore(ledger, hold.freezeCalledAt);
  const acknowledgedBeforeFreeze = sum(before);
  const problems: string[] = [];
  // A database of which nothing was promised would pass any comparison.
  if (acknowledgedBeforeFreeze === 0) problems.push('nothing was acknowledged before the freeze');
  const seen = await examine(open, before, problems);
  return {
    ok: problems.length === 0,
    acknowledged: sum(ackedBefore(ledger)),
    acknowledgedBeforeFreeze,
    restored: seen.report?.rows ?? 0,
    missing: seen.report?.missing ?? acknowledgedBeforeFreeze,
    gaps: seen.report?.gaps ?? 0,
    whileHeld: whileHeld(ledger, hold),
    canLogIn: seen.canLogIn,
    canWrite: seen.canWrite,
    problems,
  };
}

interface Seen {
  readonly canLogIn: boolean;
  readonly canWrite: boolean;
  readonly report?: LedgerReport;
}

async function examine(
  open: () => Promise<Session>,
  before: readonly number[],
  problems: string[],
): Promise<Seen> {
  const trying = async <T>(what: string, step: () => Promise<T>): Promise<T | undefined> => {
    try {
      return await step();
    } catch (error) {
      problems.push(`${what}: ${(error as Error).message}`);
      return undefined;
    }
  };
  const session = await trying('the application cannot log in', open);
  if (session === undefined) return { canLogIn: false, canWrite: false };
  try {
    const report = await trying('the data cannot be read', () => session.verify(before));
    for (const { ok, message } of report?.checks ?? []) if (!ok) problems.push(message);
    const wrote = await trying('the application cannot write', async () => {
      await session.write();
      return true;
    });
    return { canLogIn: true, canWrite: wrote === true, ...(report && { report }) };
  } finally {
    await session.close().catch(() => undefined);
  }
}

/** The waits of all writes that had not been acknowledged when the hold began, and were sent before it ended. */
export function whileHeld({ entries }: Ledger, { freezeCalledAt, thawedAt }: Hold): Waits {
  const [from, to] = [freezeCalledAt.getTime(), thawedAt?.getTime() ?? Infinity];
  const waits = entries
    .filter(({ at, tookMs }) => at >= from && at - tookMs <= to)
    .map(({ tookMs }) => tookMs)
    .sort((a, b) => a - b);
  return {
    commits: waits.length,
    p50: quantile(waits, 0.5),
    p99: quantile(waits, 0.99),
    maxMs: waits.at(-1) ?? 0,
  };
}

const sum = (numbers: readonly number[]): number => numbers.reduce((all, one) => all + one, 0);
