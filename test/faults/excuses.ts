import { HANDS } from './callers.ts';
import type { Called, RunRecord } from './records.ts';

/** However long a lease was, thaws that are later than this are not waited for. */
const LATE_AT_MOST_MS = 60_000;
/** The log says that a freeze has ended a little after it has. */
const SAID_LATE_MS = 500;

/**
 * Why this success may have been told for a copy cut outside of its hold; `undefined`: for no reason. The
 * limits, all of them of thaws that bear no id, or one that others bear as well: one came later than is
 * waited for, a hand thawed without --abandon, or a freeze that never was in place has passed its name on, or
 * is thawed without the id it was given.
 */
export function excuseFor(told: Called, record: RunRecord): string | undefined {
  const { calls } = record;
  if (isOwn(told, calls)) return undefined;
  const before = calls.filter((c) => c.verb === 'thaw' && c.calledAt < told.returnedAt);
  const hand = before.find((c) => c !== told && HANDS.includes(c.by));
  if (hand) return `a hand (${hand.by}) thawed before`;
  for (const thaw of before) {
    if (isOwn(thaw, calls)) continue;
    const freeze = freezeOf(thaw, calls);
    if (!freeze) continue;
    if (thaw.returnedAt > lateFrom(freeze, record)) return `the thaw by ${thaw.by} is too late`;
    if (hasPassedOn(freeze, thaw, calls)) return `${thaw.by} has passed its name on`;
    if (hidesItsName(freeze, thaw)) return `${thaw.by} thaws without the id of its failed freeze`;
  }
  return undefined;
}

/** Nobody else's freeze bears the id that this thaw bears. */
export function isOwn({ id, by }: Called, calls: readonly Called[]): boolean {
  if (id === undefined) return false;
  const owner = by === 'retry-thaw' ? 'main' : by;
  // A renewal is a call of the freeze's own caller.
  const bearers = calls.filter((c) => c.verb === 'freeze' && c.id === id && c.by !== 'renew');
  return bearers.every((c) => c.by === owner);
}

/** The freeze of the backup whose thaw this is: the last try of it. */
function freezeOf({ by, calledAt }: Called, calls: readonly Called[]): Called | undefined {
  const owner = by === 'retry-thaw' ? 'main' : by;
  return calls.findLast((c) => c.verb === 'freeze' && c.by === owner && c.calledAt < calledAt);
}

/** When a thaw is first later than it is waited for. */
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
  // From the end of the freeze that was held instead, and for as long as that one's lease was.
  const shortest = Math.min(...calls.flatMap((c) => (c.ttlMs === undefined ? [] : [c.ttlMs])));
  const ended = ends.find((at) => at > calledAt) ?? calledAt;
  return Math.max(calledAt, ended - SAID_LATE_MS) + Math.min(shortest, LATE_AT_MOST_MS);
}

/** The lease as the engine gave it: it may bear no longer one. */
function leaseOf({ receipt }: Called): number | undefined {
  const { frozenAt, expiresAt } = receipt ?? {};
  if (typeof frozenAt !== 'string' || typeof expiresAt !== 'string') return undefined;
  const ms = Date.parse(expiresAt) - Date.parse(frozenAt);
  return ms > 0 ? ms : undefined;
}

/** Its freeze bore an id and failed: a thaw of it is expected by that id only. */
function hidesItsName(freeze: Called, thaw: Called): boolean {
  const failed = !freeze.ok && !isRefused(freeze);
  return failed && freeze.id !== undefined && thaw.id === undefined;
}

/** A later freeze that bears its name, or none as it did, was taken for its caller's next try. */
function hasPassedOn(freeze: Called, thaw: Called, calls: readonly Called[]): boolean {
  if (freeze.ok) return false;
  // Whoever was refused without a name is not known by the lack of one.
  if (freeze.id === undefined && isRefused(freeze)) return false;
  const others = calls.filter((c) => c.verb === 'freeze' && c.id === freeze.id && c.by !== thaw.by);
  const later = others.find(
    (c) => c.returnedAt > freeze.calledAt && c.calledAt < thaw.returnedAt && !isRefused(c),
  );
  if (!later) return false;
  // An id under which a freeze has been held, and has ended, is known to be shared.
  const known = calls.some(
    (c) => c.verb === 'thaw' && c.receipt?.id === freeze.id && c.returnedAt < later.calledAt,
  );
  return freeze.id === undefined || !known;
}

export function isRefused({ outcome }: Called): boolean {
  return outcome.includes('FREEZE_HELD');
}
