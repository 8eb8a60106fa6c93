import type {
  Cause,
  Freezing,
  Frozen,
  LeaseEvent,
  LeaseState,
  Step,
  Thawed,
  Thawing,
} from './lease-types.ts';
import { addDue, awaitedUntil, type Overdue, settle, settleAny, stillDue } from './overdue.ts';

/**
 * The freeze as a lease: a pure function of (state, event, now). `now` and every instant in here are
 * milliseconds on a monotonic clock, so that a jump of the wall clock changes nothing.
 *
 * Promises, each with a property test:
 * - from any sequence of events the lease is never frozen at or after `expiresAt`, and never
 *   freezing at or after its deadline: whatever event comes first ends it;
 * - a conclusion is consistent only when a thaw was asked for before the lease ended, nothing was
 *   lost, and the engine's evidence said that the hold held;
 * - the late thaw of a freeze that ended by itself, with an id or without, is not answered with the
 *   success of another one, unless it is late by as much as the lease was long, or by a minute;
 * - a release is never refused while something is or may be held.
 */

/**
 * How long a thaw without an id may stand for the freeze that ended last, when that one was
 * consistent. Longer, and the post hook of a backup whose own freeze never reached the sidecar
 * would be handed the success of the backup before.
 */
export const REPEAT_WINDOW_MS = 5 * 60_000;

export const initialLease: Thawed = { phase: 'thawed', last: null, overdue: [] };

/** The lease of a process that finds a freeze left open by an earlier one. */
export function interruptedLease(id: string, overdue: readonly Overdue[]): Thawing {
  return { phase: 'thawing', id, cause: 'interrupted', contended: false, overdue };
}

/** The one transition function: ends what has run out by `now`, then applies the event. */
export function reduce(state: LeaseState, event: LeaseEvent, now: number): Step {
  const due = runOut({ ...state, overdue: stillDue(state.overdue, now) }, now);
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
      overdue: settle(state.overdue, id),
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
  const { id, ttlMs } = state;
  const expiresAt = heldAt + Math.min(ttlMs, longestMs);
  const { contended, overdue } = state;
  const frozen: Frozen = { phase: 'frozen', id, ttlMs, expiresAt, longestMs, contended, overdue };
  // A process that was stopped between taking the hold and saying so may wake after the lease.
  return runOut(frozen, now);
}

function onThaw(before: LeaseState, id: string | undefined, now: number): Step {
  if (id === undefined) return onThawOfAny(before, now);
  const state = { ...before, overdue: settle(before.overdue, id) };
  if (state.phase === 'thawed') {
    return {
      state,
      effects: [state.last?.id === id ? { type: 'repeat', id } : { type: 'not-held' }],
    };
  }
  if (id !== state.id) return { state, effects: [{ type: 'not-held' }] };
  if (state.phase === 'thawing') return { state, effects: [{ type: 'join-end', id }] };
  return end(state, state.phase === 'freezing' ? 'freeze-aborted' : 'thaw');
}

/** A thaw without an id: it ends whatever is open, and may mean another one. */
function onThawOfAny(state: LeaseState, now: number): Step {
  const unclear = state.overdue.length > 0;
  switch (state.phase) {
    case 'freezing':
      return end(state, 'freeze-aborted');
    case 'frozen':
      return end(state, unclear ? 'thaw-ambiguous' : 'thaw');
    case 'thawing': {
      const { id, contended } = state;
      const type = unclear && state.cause === 'thaw' ? 'ambiguous' : 'join-end';
      return { state: heard(state, id, contended), effects: [{ type, id }] };
    }
    case 'thawed':
      return onThawOfNothing(state, now);
  }
}

function onThawOfNothing(state: Thawed, now: number): Step {
  const { last } = state;
  if (last === null) return { state, effects: [{ type: 'not-held' }] };
  const { id, contended } = last;
  if (!last.consistent) {
    return { state: heard(state, id, contended), effects: [{ type: 'repeat', id }] };
  }
  if (contended || state.overdue.length > 0) {
    return { state, effects: [{ type: 'ambiguous', id }] };
  }
  const stale = now - last.at > REPEAT_WINDOW_MS;
  return { state, effects: [stale ? { type: 'not-held' } : { type: 'repeat', id }] };
}

/**
 * A thaw without an id was told the failure of this freeze: if one of it was to come, it has. Not so where
 * another freeze was refused meanwhile: that one's caller thaws, too.
 */
function heard<State extends LeaseState>(state: State, id: string, contended: boolean): State {
  const due = !contended && state.overdue.some((one) => one.id === id);
  return due ? { ...state, overdue: settleAny(state.overdue) } : state;
}

function onReleased(state: LeaseState, held: boolean, now: number): Step {
  if (state.phase !== 'thawing') return stay(state);
  const { id, cause, contended, overdue } = state;
  const consistent = cause === 'thaw' && held;
  return {
    state: { phase: 'thawed', last: { id, at: now, consistent, contended }, overdue },
    effects: [{ type: 'conclude', id, consistent, cause }],
  };
}

function end(state: LeaseState, cause: Cause): Step {
  if (state.phase !== 'freezing' && state.phase !== 'frozen') return stay(state);
  const { id, contended } = state;
  const type = state.phase === 'freezing' ? 'roll-back' : 'release';
  const overdue = state.phase === 'frozen' ? overdueAfter(state, cause) : state.overdue;
  const next: Thawing = { phase: 'thawing', id, cause, contended, overdue };
  return { state: next, effects: [{ type, id, cause }] };
}

/** Whose thaws are to come once this hold has ended so. */
function overdueAfter(state: Frozen, cause: Cause): readonly Overdue[] {
  const { id, ttlMs, longestMs, expiresAt, overdue } = state;
  if (cause === 'thaw') return overdue;
  const until = awaitedUntil(cause, expiresAt, Math.min(ttlMs, longestMs));
  // One of them has come, and nobody can tell whose.
  return addDue(cause === 'thaw-ambiguous' ? settleAny(overdue) : overdue, { id, until });
}

function stay(state: LeaseState): Step {
  return { state, effects: [] };
}
