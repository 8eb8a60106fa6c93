/**
 * The freeze as a lease: a pure function of (state, event, now). `now` and every instant in here are
 * milliseconds on a monotonic clock, so that a jump of the wall clock changes nothing.
 *
 * Promises, each with a property test:
 * - from any sequence of events the lease is never frozen at or after `expiresAt`, and never
 *   freezing at or after its deadline: whatever event comes first ends it;
 * - a conclusion is consistent only when a thaw was asked for before the lease ended, nothing was
 *   lost, and the engine's evidence said that the hold held;
 * - a release is never refused while something is or may be held.
 */

/** What ended a freeze. Every cause but `thaw` makes the verdict inconsistent, with it as reason. */
export type Cause =
  | 'thaw'
  | 'lease-expired'
  | 'hold-lost'
  | 'freeze-timeout'
  | 'freeze-failed'
  | 'freeze-aborted'
  | 'caller-gone'
  | 'sidecar-stopped'
  | 'interrupted';

/** The last freeze that ended, as far as this process knows. */
interface Ended {
  readonly id: string;
  readonly at: number;
  readonly consistent: boolean;
  /** Another freeze was refused while this one was under way. */
  readonly contended: boolean;
}

export interface Thawed {
  readonly phase: 'thawed';
  readonly last: Ended | null;
}

export interface Freezing {
  readonly phase: 'freezing';
  readonly id: string;
  readonly ttlMs: number;
  readonly deadline: number;
  readonly contended: boolean;
}

export interface Frozen {
  readonly phase: 'frozen';
  readonly id: string;
  readonly ttlMs: number;
  readonly expiresAt: number;
  /** No lease of this hold runs longer; `Infinity`: any may. */
  readonly longestMs: number;
  readonly contended: boolean;
}

export interface Thawing {
  readonly phase: 'thawing';
  readonly id: string;
  readonly cause: Cause;
  readonly contended: boolean;
}

export type LeaseState = Thawed | Freezing | Frozen | Thawing;

export type LeaseEvent =
  | {
      readonly type: 'freeze';
      readonly id: string;
      readonly ttlMs: number;
      readonly timeoutMs: number;
    }
  /** The hold is in place, receipt written; it was taken at `heldAt` and bears no longer lease. */
  | { readonly type: 'held'; readonly heldAt: number; readonly longestMs?: number }
  /** The freeze failed before it was held; rolling back has begun. */
  | { readonly type: 'failed' }
  | { readonly type: 'thaw'; readonly id: string | undefined }
  /** Every caller of a freeze in the making has gone away. */
  | { readonly type: 'gone' }
  | { readonly type: 'lost' }
  /** Nothing is held any more. `held`: the engine's evidence that the hold held until now. */
  | { readonly type: 'released'; readonly held: boolean }
  | { readonly type: 'stop' }
  | { readonly type: 'tick' };

export type Effect =
  /** Begin to make the hold. */
  | { readonly type: 'establish'; readonly id: string }
  /** Abort what is being established, or undo it if it has just arrived. */
  | { readonly type: 'roll-back'; readonly id: string; readonly cause: Cause }
  /** Take the hold's evidence and release it. */
  | { readonly type: 'release'; readonly id: string; readonly cause: Cause }
  /** The lease of this freeze now runs until `expiresAt`. */
  | { readonly type: 'renewed'; readonly id: string; readonly expiresAt: number }
  /** The caller waits for the freeze in the making. */
  | { readonly type: 'join-freeze'; readonly id: string }
  /** The caller waits for the end under way. */
  | { readonly type: 'join-end'; readonly id: string }
  /** The caller gets the answer of the freeze that ended last. */
  | { readonly type: 'repeat'; readonly id: string }
  /** As `repeat`, but nobody can tell whose freeze the caller means. */
  | { readonly type: 'ambiguous'; readonly id: string }
  | { readonly type: 'refuse-held'; readonly id: string }
  /** Nothing that this thaw could mean is held; an earlier freeze of that id may be on record. */
  | { readonly type: 'not-held' }
  | {
      readonly type: 'conclude';
      readonly id: string;
      readonly consistent: boolean;
      readonly cause: Cause;
    };

export interface Step {
  readonly state: LeaseState;
  readonly effects: readonly Effect[];
}

/**
 * How long a thaw without an id may stand for the freeze that ended last, when that one was
 * consistent. Longer, and the post hook of a backup whose own freeze never reached the sidecar
 * would be handed the success of the backup before.
 */
export const REPEAT_WINDOW_MS = 5 * 60_000;

export const initialLease: Thawed = { phase: 'thawed', last: null };

/** The one transition function: ends what has run out by `now`, then applies the event. */
export function reduce(state: LeaseState, event: LeaseEvent, now: number): Step {
  const due = runOut(state, now);
  const next = apply(due.state, event, now);
  return { state: next.state, effects: [...due.effects, ...next.effects] };
}

/** When the state must be looked at again, though nothing happens; `null`: never. */
export function nextDeadline(state: LeaseState): number | null {
  if (state.phase === 'freezing') return state.deadline;
  if (state.phase === 'frozen') return state.expiresAt;
  return null;
}

function runOut(state: LeaseState, now: number): Step {
  const at = nextDeadline(state);
  if (at === null || now < at) return stay(state);
  return end(state, state.phase === 'freezing' ? 'freeze-timeout' : 'lease-expired');
}

function apply(state: LeaseState, event: LeaseEvent, now: number): Step {
  switch (event.type) {
    case 'freeze':
      return onFreeze(state, event, now);
    case 'held':
      return onHeld(state, event, now);
    case 'failed':
      return state.phase === 'freezing' ? end(state, 'freeze-failed') : stay(state);
    case 'thaw':
      return onThaw(state, event.id, now);
    case 'gone':
      return state.phase === 'freezing' ? end(state, 'caller-gone') : stay(state);
    case 'lost':
      return state.phase === 'freezing' || state.phase === 'frozen'
        ? end(state, 'hold-lost')
        : stay(state);
    case 'released':
      return onReleased(state, event.held, now);
    case 'stop':
      return end(state, 'sidecar-stopped');
    case 'tick':
      return stay(state);
  }
}

function onFreeze(
  state: LeaseState,
  event: Extract<LeaseEvent, { type: 'freeze' }>,
  now: number,
): Step {
  const { id, ttlMs, timeoutMs } = event;
  if (state.phase === 'thawed') {
    const next: Freezing = {
      phase: 'freezing',
      id,
      ttlMs,
      deadline: now + timeoutMs,
      contended: false,
    };
    return { state: next, effects: [{ type: 'establish', id }] };
  }
  if (state.id !== id || state.phase === 'thawing') {
    const contended = state.contended || state.id !== id;
    return { state: { ...state, contended }, effects: [{ type: 'refuse-held', id: state.id }] };
  }
  if (state.phase === 'freezing') {
    // The earlier deadline wins: nothing may freeze after any of its callers has given up.
    const deadline = Math.min(state.deadline, now + timeoutMs);
    return { state: { ...state, deadline }, effects: [{ type: 'join-freeze', id }] };
  }
  const expiresAt = now + Math.min(ttlMs, state.longestMs);
  return {
    state: { ...state, ttlMs, expiresAt },
    effects: [{ type: 'renewed', id, expiresAt }],
  };
}

function onHeld(
  state: LeaseState,
  { heldAt, longestMs = Infinity }: Extract<LeaseEvent, { type: 'held' }>,
  now: number,
): Step {
  if (state.phase !== 'freezing') return stay(state);
  const { id, ttlMs, contended } = state;
  const expiresAt = heldAt + Math.min(ttlMs, longestMs);
  const frozen: Frozen = { phase: 'frozen', id, ttlMs, expiresAt, longestMs, contended };
  // A process that was stopped between taking the hold and saying so may wake after the lease.
  return runOut(frozen, now);
}

function onThaw(state: LeaseState, id: string | undefined, now: number): Step {
  if (state.phase === 'thawed') return onThawOfNothing(state, id, now);
  if (id !== undefined && id !== state.id) return { state, effects: [{ type: 'not-held' }] };
  if (state.phase === 'thawing') return { state, effects: [{ type: 'join-end', id: state.id }] };
  return end(state, state.phase === 'freezing' ? 'freeze-aborted' : 'thaw');
}

function onThawOfNothing(state: Thawed, id: string | undefined, now: number): Step {
  const { last } = state;
  if (last === null) return { state, effects: [{ type: 'not-held' }] };
  if (id !== undefined) {
    const effect: Effect = id === last.id ? { type: 'repeat', id } : { type: 'not-held' };
    return { state, effects: [effect] };
  }
  if (last.consistent && last.contended) {
    return { state, effects: [{ type: 'ambiguous', id: last.id }] };
  }
  const stale = last.consistent && now - last.at > REPEAT_WINDOW_MS;
  return { state, effects: [stale ? { type: 'not-held' } : { type: 'repeat', id: last.id }] };
}

function onReleased(state: LeaseState, held: boolean, now: number): Step {
  if (state.phase !== 'thawing') return stay(state);
  const { id, cause, contended } = state;
  const consistent = cause === 'thaw' && held;
  return {
    state: { phase: 'thawed', last: { id, at: now, consistent, contended } },
    effects: [{ type: 'conclude', id, consistent, cause }],
  };
}

function end(state: LeaseState, cause: Cause): Step {
  if (state.phase !== 'freezing' && state.phase !== 'frozen') return stay(state);
  const { id, contended } = state;
  const type = state.phase === 'freezing' ? 'roll-back' : 'release';
  return { state: { phase: 'thawing', id, cause, contended }, effects: [{ type, id, cause }] };
}

function stay(state: LeaseState): Step {
  return { state, effects: [] };
}
