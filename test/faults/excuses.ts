import { HANDS } from './callers.ts';
import type { Called, RunRecord } from './records.ts';

/** The sidecar expects a thaw for no longer than this, whatever the length of its lease. */
const LATE_AT_MOST_MS = 60_000;
/** The log reports the end of a freeze a little late. */
const SAID_LATE_MS = 500;

/**
 * The known limit that excuses this success for a copy cut outside of its hold; `undefined`: none does.
 * All limits concern thaws without an id, or with an id that several callers use: a thaw came later than
 * it was expected, an operator thawed without --abandon, a freeze that was never in place was taken for an
 * earlier try of a later one, or it is thawed without the id that its caller had given.
 */
export function excuseFor(told: Called, record: RunRecord): string | undefined {
  const { calls } = record;
  if (isOwn(told, calls)) return undefined;
  const before = calls.filter((c) => c.verb === 'thaw' && c.calledAt < told.returnedAt);
  const hand = before.find((c) => c !== told && HANDS.includes(c.by));
  if (hand) return `an operator (${hand.by}) thawed before`;
  for (const thaw of before) {
    if (isOwn(thaw, calls)) continue;
    const freeze = freezeOf(thaw, calls);
    if (!freeze) continue;
    if (thaw.returnedAt > lateFrom(freeze, record)) return `the thaw by ${thaw.by} is too late`;
    if (wasTakenForRetry(freeze, thaw, calls)) return `${thaw.by} was taken for an earlier try`;
    if (omitsItsId(freeze, thaw)) return `${thaw.by} thaws without the id of its failed freeze`;
  }
  return undefined;
}

/** Whether no other caller's freeze has the id of this thaw. */
export function isOwn({ id, by }: Called, calls: readonly Called[]): boolean {
  if (id === undefined) return false;
  const owner = by === 'retry-thaw' ? 'main' : by;
  // A renewal comes from the caller of the freeze.
  const bearers = calls.filter((c) => c.verb === 'freeze' && c.id === id && c.by !== 'renew');
  return bearers.every((c) => c.by === owner);
}

/** The freeze of the backup that sends this thaw: its last try. */
function freezeOf({ by, calledAt }: Called, calls: readonly Called[]): Called | undefined {
  const owner = by === 'retry-thaw' ? 'main' : by;
  return calls.findLast((c) => c.verb === 'freeze' && c.by === owner && c.calledAt < calledAt);
}

/** From when on a thaw of this freeze is later than it is expected. */
function lateFrom(freeze: Called, { calls, ends }: RunRecord): number {
  const { calledAt, receipt, ok } = freeze;
  const asked = freeze.ttlMs ?? 0;
  if (ok && receipt) {
    const leases = calls
      .filter((c) => c.verb === 'freeze' && c.ok && c.receipt?.id === receipt.id)
      .map((c) => Math.min(c.ttlMs ?? asked, leaseOf(c) ?? Infinity));
    const leaseMs = Math.min(...leases);
    return calledAt + leaseMs + Math.min(leaseMs, LATE_AT_MOST_MS);
  }
  if (!isRefused(freeze)) return calledAt + Math.min(asked, LATE_AT_MOST_MS);
  // It is expected from the end of the freeze that was held instead, for the length of that one's lease.
  const shortest = Math.min(...calls.flatMap((c) => (c.ttlMs === undefined ? [] : [c.ttlMs])));
  const ended = ends.find((at) => at > calledAt) ?? calledAt;
  return Math.max(calledAt, ended - SAID_LATE_MS) + Math.min(shortest, LATE_AT_MOST_MS);
}

/** The lease that the engine allowed, which may be shorter than the requested one. */
function leaseOf({ receipt }: Called): number | undefined {
  const { frozenAt, expiresAt } = receipt ?? {};
  if (typeof frozenAt !== 'string' || typeof expiresAt !== 'string') return undefined;
  const ms = Date.parse(expiresAt) - Date.parse(frozenAt);
  return ms > 0 ? ms : undefined;
}

/** Whether its freeze had an id and failed: its thaw is expected with that id only. */
function omitsItsId(freeze: Called, thaw: Called): boolean {
  const failed = !freeze.ok && !isRefused(freeze);
  return failed && freeze.id !== undefined && thaw.id === undefined;
}

/** Whether a later freeze with the same id, or also without one, was taken for its caller's next try. */
function wasTakenForRetry(freeze: Called, thaw: Called, calls: readonly Called[]): boolean {
  if (freeze.ok) return false;
  // A refused freeze without an id is never matched to a later one without an id.
  if (freeze.id === undefined && isRefused(freeze)) return false;
  const others = calls.filter((c) => c.verb === 'freeze' && c.id === freeze.id && c.by !== thaw.by);
  const later = others.find(
    (c) => c.returnedAt > freeze.calledAt && c.calledAt < thaw.returnedAt && !isRefused(c),
  );
  if (!later) return false;
  // An id is known to be shared once a freeze with it was held and has ended.
  const known = calls.some(
    (c) => c.verb === 'thaw' && c.receipt?.id === freeze.id && c.returnedAt < later.calledAt,
  );
  return freeze.id === undefined || !known;
}

export function isRefused({ outcome }: Called): boolean {
  return outcome.includes('FREEZE_HELD');
}
