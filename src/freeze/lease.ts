import {
  forgetRetried,
  type DueThaw,
  limitOpenEnded,
  addDue,
  countThaw,
  LATE_AT_MOST_MS,
  lateWindow,
  mayBeDue,
  withoutCall,
  unexpired,
} from './due-thaws.ts';
import type {
  Cause,
  Command,
  Freezing,
  Frozen,
  LeaseEvent,
  LeaseState,
  Owner,
  Reply,
  Step,
  Thawed,
  Thawing,
} from './lease-types.ts';

/**
 * The freeze as a lease: a pure function of (state, event, now). `now` and every instant here are
 * milliseconds on a monotonic clock, so a jump of the wall clock changes nothing.
 *
 * Promises, each with a property test:
 * - after any sequence of events the lease is never frozen at or after `expiresAt`, and never
 *   freezing at or after its deadline: the next event ends it first;
 * - the verdict is consistent only where a thaw that can belong to no other freeze ended the lease
 *   before it expired, nothing was lost, and no evidence speaks against the hold;
 * - a success is reported once, to the request that ended the freeze;
 * - a thaw that may belong to another freeze never reports a success, unless it is late by more than
 *   the length of its lease or by more than a minute;
 * - a release is never refused while something is or may be held.
 */

/** More than the receipts kept: an id without a receipt on record cannot be mistaken for another freeze. */
const KEPT_IDS = 100;

export const initialLease: Thawed = { phase: 'thawed', last: null, due: [], refused: [] };

/** The lease of a process that finds a freeze that an earlier process left open. */
export function interruptedLease(owner: Owner, due: readonly DueThaw[]): Thawing {
  return {
    phase: 'thawing',
    ...ownerOf(owner),
    cause: 'interrupted',
    windowMs: LATE_AT_MOST_MS,
    due,
    refused: [],
  };
}

/** The only transition function: first ends what has expired by `now`, then applies the event. */
export function reduce(state: LeaseState, event: LeaseEvent, now: number): Step {
  const over = expire({ ...state, due: unexpired(state.due, now) }, now);
  const next = apply(over.state, event, now);
  return { ...next, commands: [...over.commands, ...next.commands] };
}

/** When to send a `tick` if no event comes before; `null`: never. */
export function nextDeadline(state: LeaseState): number | null {
  if (state.phase === 'freezing') return state.deadline;
  if (state.phase === 'frozen') return state.expiresAt;
  return null;
}

function expire(state: LeaseState, now: number): Step {
  const at = nextDeadline(state);
  if (at === null || now < at) return unchanged(state);
  return end(state, state.phase === 'freezing' ? 'freeze-timeout' : 'lease-expired', now);
}

function apply(state: LeaseState, event: LeaseEvent, now: number): Step {
  switch (event.type) {
    case 'freeze':
      return onFreeze(state, event, now);
    case 'renew':
      return onRenew(state, event, now);
    case 'gave-up':
      return unchanged(refuse(state, event, now));
    case 'held':
      return onHeld(state, event, now);
    case 'thaw':
      return onThaw(state, event.id, now);
    case 'abandon':
      return onAbandon(state, event.id, now);
    case 'failed':
      return endIf(state, ['freezing'], 'freeze-failed', now);
    case 'gone':
      return endIf(state, ['freezing'], 'caller-gone', now);
    case 'lost':
      return endIf(state, ['freezing', 'frozen'], 'hold-lost', now);
    case 'stop':
      return endIf(state, ['freezing', 'frozen'], 'sidecar-stopped', now);
    case 'released':
      return onReleased(state, event, now);
    case 'tick':
      return unchanged(state);
  }
}

function onFreeze(
  state: LeaseState,
  event: Extract<LeaseEvent, { type: 'freeze' }>,
  now: number,
): Step {
  const { id, named, shared, ttlMs, timeoutMs } = event;
  if (state.phase !== 'thawed') {
    return replied(refuse(state, event, now), { type: 'refused', id: state.id });
  }
  const next: Freezing = {
    phase: 'freezing',
    ...ownerOf(event),
    ttlMs,
    deadline: now + timeoutMs,
    due: forgetRetried(state.due, { ...keyOf(event), id: named ? id : null, shared }),
    refused: state.refused.filter((one) => one !== id),
  };
  return { state: next, commands: [{ type: 'make-hold', id }], reply: { type: 'began', id } };
}

/** The refused caller may still thaw, as Velero's post hook does after a failed pre hook. */
function refuse(
  state: LeaseState,
  caller: Owner & { readonly ttlMs: number },
  now: number,
): LeaseState {
  const { id, named } = caller;
  const ofAnother = state.phase === 'thawed' || state.id !== id;
  const due = addDue(withoutCall(state.due, caller.key), {
    id: named ? id : null,
    named,
    until: state.phase === 'thawed' ? now + lateWindow(caller.ttlMs) : Infinity,
    retried: named && ofAnother,
    ...keyOf(caller),
  });
  const others = state.refused.filter((one) => one !== id);
  const refused = named && ofAnother ? [...others, id].slice(-KEPT_IDS) : state.refused;
  return { ...state, due, refused };
}

function onRenew(
  state: LeaseState,
  { id, ttlMs }: Extract<LeaseEvent, { type: 'renew' }>,
  now: number,
): Step {
  if (state.phase !== 'thawed' && state.id !== id) {
    return replied(state, { type: 'refused', id: state.id });
  }
  if (state.phase !== 'frozen') return replied(state, { type: 'not-held' });
  const expiresAt = now + Math.min(ttlMs, state.longestMs);
  return replied({ ...state, ttlMs, expiresAt }, { type: 'renewed', id, expiresAt });
}

function onHeld(
  state: LeaseState,
  { heldAt, longestMs = Infinity }: Extract<LeaseEvent, { type: 'held' }>,
  now: number,
): Step {
  if (state.phase !== 'freezing') return unchanged(state);
  const { ttlMs, due, refused } = state;
  const expiresAt = heldAt + Math.min(ttlMs, longestMs);
  const frozen: Frozen = {
    phase: 'frozen',
    ...ownerOf(state),
    ttlMs,
    expiresAt,
    longestMs,
    due,
    refused,
  };
  // A process that was stopped between taking the hold and reporting it may wake after the lease has expired.
  return expire(frozen, now);
}

function onThaw(before: LeaseState, id: string | undefined, now: number): Step {
  const ambiguous = mayBeDue(before.due, id);
  const state = { ...before, due: countThaw(before.due, id) };
  if (state.phase === 'thawed') {
    const { last } = state;
    const known = last !== null && (id === undefined || id === last.id);
    return replied(state, known ? { type: 'ended', id: last.id } : { type: 'not-held' });
  }
  if (id !== undefined && id !== state.id) return replied(state, { type: 'not-held' });
  if (state.phase === 'thawing') return replied(state, { type: 'joins', id: state.id });
  const cause = ambiguous ? 'thaw-ambiguous' : 'thaw';
  const ended = end(state, state.phase === 'freezing' ? 'freeze-aborted' : cause, now);
  return { ...ended, reply: { type: 'ends', id: state.id } };
}

function onAbandon(state: LeaseState, id: string | undefined, now: number): Step {
  if (state.phase === 'thawed' || (id !== undefined && id !== state.id)) {
    return replied(state, { type: 'not-held' });
  }
  if (state.phase === 'thawing') return replied(state, { type: 'joins', id: state.id });
  return { ...end(state, 'abandoned', now), reply: { type: 'ends', id: state.id } };
}

function onReleased(
  state: LeaseState,
  { evidence }: Extract<LeaseEvent, { type: 'released' }>,
  now: number,
): Step {
  if (state.phase !== 'thawing') return unchanged(state);
  const { id, cause, refused } = state;
  const consistent = cause === 'thaw' && evidence.length === 0;
  const due = limitOpenEnded(state.due, now, state.windowMs);
  const next: Thawed = { phase: 'thawed', last: { id }, due, refused };
  return replied(next, { type: 'verdict', id, verdict: { consistent, cause, evidence } });
}

function endIf(
  state: LeaseState,
  phases: readonly LeaseState['phase'][],
  cause: Cause,
  now: number,
): Step {
  return phases.includes(state.phase) ? end(state, cause, now) : unchanged(state);
}

function end(state: LeaseState, cause: Cause, now: number): Step {
  if (state.phase !== 'freezing' && state.phase !== 'frozen') return unchanged(state);
  const { id, refused } = state;
  const leaseMs = state.phase === 'frozen' ? Math.min(state.ttlMs, state.longestMs) : state.ttlMs;
  const windowMs = lateWindow(leaseMs);
  const left = state.phase === 'frozen' ? dueAfterHeld(state, cause) : dueAfterUnheld(state, now);
  const due = left === null ? state.due : addDue(state.due, left);
  const next: Thawing = { phase: 'thawing', ...ownerOf(state), cause, windowMs, due, refused };
  const type: Command['type'] = state.phase === 'freezing' ? 'roll-back' : 'release';
  return { state: next, commands: [{ type, id, cause }], reply: { type: 'none' } };
}

/** The thaw still expected after a hold; `null`: it has come. After an ambiguous thaw one of two is still expected. */
function dueAfterHeld(state: Frozen, cause: Cause): DueThaw | null {
  if (cause === 'thaw') return null;
  const notBefore = state.expiresAt + lateWindow(Math.min(state.ttlMs, state.longestMs));
  const { id, named } = state;
  return { id, named, until: Infinity, notBefore, retried: false, ...keyOf(state) };
}

/**
 * A caller whose freeze failed, or that disconnected, may still thaw: without an id where it gave none,
 * otherwise only with its id.
 */
function dueAfterUnheld(state: Freezing, now: number): DueThaw {
  const { id, named } = state;
  const until = now + lateWindow(state.ttlMs);
  const key = keyOf(state);
  return named
    ? { id, named, until, retried: true, byIdOnly: true, ...key }
    : { id: null, named, until, retried: true, ...key };
}

function ownerOf({ id, named, key }: Owner): Owner {
  return { id, named, ...keyOf({ key }) };
}

function keyOf({ key }: { readonly key?: string | undefined }): { readonly key?: string } {
  return key === undefined ? {} : { key };
}

function replied(state: LeaseState, reply: Reply): Step {
  return { state, commands: [], reply };
}

function unchanged(state: LeaseState): Step {
  return replied(state, { type: 'none' });
}
