/**
 * A thaw still expected from a caller whose freeze did not end by its own thaw: it expired, was
 * abandoned, was refused or failed, and the caller's post hook runs anyway. Such a thaw must not get the
 * success of a later freeze that is held by then.
 *
 * All functions are pure; instants are monotonic milliseconds.
 */
export interface DueThaw {
  /** The id that the thaw may carry; `null`: its caller knows no id. Any thaw may come without one. */
  readonly id: string | null;
  /** Whether the caller gave the id, and so most likely thaws with it. */
  readonly named: boolean;
  /** The instant from which it is no longer expected; `Infinity`: while the open freeze lasts. */
  readonly until: number;
  /** Where `until` is `Infinity`: the earliest instant to which it may be limited. */
  readonly notBefore?: number;
  /** The thaw is expected only with its id: the caller gave one and never had a hold. */
  readonly byIdOnly?: boolean;
  /**
   * The next freeze with the same id (without one, where this has none) counts as this caller's next
   * try. The thaw is then no longer expected.
   */
  readonly retried: boolean;
  /** The idempotency key of the freeze call that left it. A retry of that call removes it. */
  readonly key?: string;
}

/** The limit for leases of any length: even if the thaw never comes, later freezes must soon be provable. */
export const LATE_AT_MOST_MS = 60_000;
/** Each refusal adds one. Beyond this number those that expire first are dropped. */
const KEPT_AT_MOST = 1_000;

/**
 * How long its thaw is still expected, in milliseconds: after the end of the lease, and after the release
 * that followed it. A stalled server delays the release, and the caller with it.
 */
export function lateWindow(leaseMs: number): number {
  return Math.min(leaseMs, LATE_AT_MOST_MS);
}

export function unexpired(due: readonly DueThaw[], now: number): readonly DueThaw[] {
  return due.every(({ until }) => now < until) ? due : due.filter(({ until }) => now < until);
}

export function addDue(due: readonly DueThaw[], one: DueThaw): readonly DueThaw[] {
  const all = [...due, one];
  return all.length <= KEPT_AT_MOST ? all : without(all, firstToExpire(all));
}

/** Whether a thaw with this id, or without one, may be one of those expected. */
export function mayBeDue(due: readonly DueThaw[], id: string | undefined): boolean {
  return matching(due, id).length > 0;
}

function matching(due: readonly DueThaw[], id: string | undefined): readonly DueThaw[] {
  return due.filter((one) => (id === undefined ? one.byIdOnly !== true : one.id === id));
}

/**
 * Counts a thaw that has arrived. The caller of a thaw without an id is unknown: it counts for the
 * expected thaw that expires first, so that the remaining ones are expected longest. Where that one has
 * an id, the thaw with the id is still expected.
 */
export function countThaw(due: readonly DueThaw[], id: string | undefined): readonly DueThaw[] {
  const first = firstToExpire(matching(due, id));
  if (first === undefined || id !== undefined || !first.named) return without(due, first);
  return due.map((one) => (one === first ? { ...one, byIdOnly: true } : one));
}

/** A freeze has started. Drops the thaws expected from earlier tries by the same caller. */
export function forgetRetried(
  due: readonly DueThaw[],
  freeze: { readonly id: string | null; readonly shared: boolean; readonly key?: string },
): readonly DueThaw[] {
  const { id, shared } = freeze;
  return withoutCall(due, freeze.key).filter(
    (one) => !(one.retried && one.id === id && (id === null || !shared)),
  );
}

/** Drops the thaws that a call with this key left: the call has come again. */
export function withoutCall(due: readonly DueThaw[], key: string | undefined): readonly DueThaw[] {
  return key === undefined ? due : due.filter((one) => one.key !== key);
}

/**
 * The open freeze has been released. Its own thaw, if it did not come, and those of callers refused during it
 * are expected for `windowMs` from now.
 */
export function limitOpenEnded(
  due: readonly DueThaw[],
  now: number,
  windowMs: number,
): readonly DueThaw[] {
  const until = now + windowMs;
  return due.map((one) =>
    one.until === Infinity ? { ...one, until: Math.max(until, one.notBefore ?? until) } : one,
  );
}

function firstToExpire(due: readonly DueThaw[]): DueThaw | undefined {
  return due.reduce<DueThaw | undefined>(
    (first, one) => (first === undefined || one.until < first.until ? one : first),
    undefined,
  );
}

function without(due: readonly DueThaw[], gone: DueThaw | undefined): readonly DueThaw[] {
  return gone === undefined ? due : due.filter((one) => one !== gone);
}
