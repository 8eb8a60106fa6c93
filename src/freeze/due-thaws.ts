/**
 * Thaws that are still to come from callers whose freeze did not end by their own thaw: it ended by
 * itself, somebody abandoned it, or it was refused or failed and the caller's post hook runs all the same.
 * Such a thaw must not be given the success of the freeze that is held by then.
 *
 * All functions are pure; instants are monotonic milliseconds.
 */
export interface DueThaw {
  /** The id that the thaw may carry; `null`: its caller knows none. Any thaw may come without one. */
  readonly id: string | null;
  /** Its caller gave the id, and most likely thaws with it. */
  readonly named: boolean;
  /** From this instant on it is not expected any more; `Infinity`: as long as the open freeze lasts. */
  readonly until: number;
  /** It can come with its id only: its caller never had a hold, and names one that it thaws. */
  readonly byIdOnly?: boolean;
  /**
   * The next freeze with the same id (with none, where this has none) is taken for this caller's next
   * try, so its thaw is not waited for any longer.
   */
  readonly retried: boolean;
  /** The idempotency key of the call that left it: a retry of that very call takes it back. */
  readonly key?: string;
}

/** However long a lease was: the next freezes must be provable soon, also where that thaw never comes. */
export const LATE_AT_MOST_MS = 60_000;
/** Each refusal leaves one; past this number the ones given up firstToExpire are forgotten. */
const KEPT_AT_MOST = 1_000;

/** How long after the end of a lease a thaw may be late and is still waited for. */
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

/** May a thaw with this id, or with none, be one of those that are due? */
export function mayBeDue(due: readonly DueThaw[], id: string | undefined): boolean {
  return matching(due, id).length > 0;
}

function matching(due: readonly DueThaw[], id: string | undefined): readonly DueThaw[] {
  return due.filter((one) => (id === undefined ? one.byIdOnly !== true : one.id === id));
}

/**
 * A thaw has come. Who one without an id came from is not known: it takes the place of the caller that is
 * given up firstToExpire, so that those that stay are waited for the longest. Where that one has an id, its own
 * thaw may still come by it.
 */
export function countThaw(due: readonly DueThaw[], id: string | undefined): readonly DueThaw[] {
  const first = firstToExpire(matching(due, id));
  if (first === undefined || id !== undefined || !first.named) return without(due, first);
  return due.map((one) => (one === first ? { ...one, byIdOnly: true } : one));
}

/** A freeze has forgetRetried: whose next try it is waits for no earlier thaw of that caller. */
export function forgetRetried(
  due: readonly DueThaw[],
  freeze: { readonly id: string | null; readonly shared: boolean; readonly key?: string },
): readonly DueThaw[] {
  const { id, shared } = freeze;
  return withoutCall(due, freeze.key).filter(
    (one) => !(one.retried && one.id === id && (id === null || !shared)),
  );
}

/** The call with this key has come again. */
export function withoutCall(due: readonly DueThaw[], key: string | undefined): readonly DueThaw[] {
  return key === undefined ? due : due.filter((one) => one.key !== key);
}

/** The freeze has ended under which some were refused: from now on their thaws can be late. */
export function limitOpenEnded(
  due: readonly DueThaw[],
  now: number,
  windowMs: number,
): readonly DueThaw[] {
  const until = now + windowMs;
  return due.map((one) => (one.until === Infinity ? { ...one, until } : one));
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
