import type { Cause } from './lease-types.ts';
import type { Receipt } from './receipt.ts';

/**
 * Thaws that are still to come. A freeze that ends by itself while its caller believes it held leaves
 * one behind: that caller's late thaw. Without an id it cannot be told from the thaw of the freeze that
 * is held by then, and must not be handed that one's success.
 *
 * A thaw without an id settles whichever is given up soonest: who it came from is not known, and those
 * that stay are waited for the longest. All functions are pure; instants are monotonic milliseconds.
 */
export interface Overdue {
  /** The freeze whose thaw is still to come. */
  readonly id: string;
  /** From this instant on its thaw is no longer expected. */
  readonly until: number;
}

export function stillDue(overdue: readonly Overdue[], now: number): readonly Overdue[] {
  return overdue.filter(({ until }) => now < until);
}

/** Its thaw is to come from now on. */
export function addDue(overdue: readonly Overdue[], one: Overdue): readonly Overdue[] {
  return [...settle(overdue, one.id), one];
}

/** Its thaw has come, by its id; or its caller has begun anew. */
export function settle(overdue: readonly Overdue[], id: string): readonly Overdue[] {
  return overdue.filter((one) => one.id !== id);
}

/** Some thaw has come, and nobody can tell of which. */
export function settleAny(overdue: readonly Overdue[]): readonly Overdue[] {
  const soonest = Math.min(...overdue.map(({ until }) => until));
  const at = overdue.findIndex(({ until }) => until === soonest);
  return overdue.filter((_, index) => index !== at);
}

/** However long a lease was: the next freezes must be provable soon, also where that thaw never comes. */
const LATE_AT_MOST_MS = 60_000;

/** The ends after which the caller of a freeze that was held may still thaw. */
const LEAVING_ONE_DUE: readonly Cause[] = [
  'thaw-ambiguous',
  'lease-expired',
  'hold-lost',
  'sidecar-stopped',
  'interrupted',
];

/**
 * When the thaw of a freeze that has ended so is given up: once it is late by as much as the lease was
 * long, or by a minute. Where a thaw without an id has ended it, that was one of two; the other comes
 * within the lease, or most likely never.
 */
export function awaitedUntil(cause: Cause, expiresAt: number, leaseMs: number): number {
  if (cause === 'thaw-ambiguous') return expiresAt;
  return expiresAt + Math.min(leaseMs, LATE_AT_MOST_MS);
}

/**
 * What is still to come by the receipts that an earlier process left. Whether it was asked for a thaw
 * since is not known any more, so it is taken to be still to come.
 *
 * @param clock the same moment on the monotonic and on the wall clock; however the latter was set since,
 * no lease is taken to run for longer than its length from now.
 */
export function dueByReceipts(
  receipts: readonly Receipt[],
  clock: { readonly now: number; readonly wallNow: number },
): readonly Overdue[] {
  const due = receipts.flatMap(({ id, frozenAt, expiresAt, reasons }): Overdue[] => {
    const cause = LEAVING_ONE_DUE.find((one) => reasons.includes(one));
    if (cause === undefined || frozenAt === null || expiresAt === null) return [];
    const leaseMs = Date.parse(expiresAt) - Date.parse(frozenAt);
    const leftMs = Date.parse(expiresAt) - clock.wallNow;
    const expires = clock.now + Math.min(leftMs, leaseMs);
    return [{ id, until: awaitedUntil(cause, expires, leaseMs) }];
  });
  return stillDue(due, clock.now);
}
