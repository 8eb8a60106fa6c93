import { initialLease, reduce } from '../../src/freeze/lease.ts';
import type { Effect, LeaseEvent, LeaseState } from '../../src/freeze/lease-types.ts';

/** An event, and the monotonic millisecond at which it comes. */
export type LeaseStep = readonly [at: number, event: LeaseEvent];

/** Where these events lead to from a new lease, and the last thing that the last of them brought about. */
export function leaseAfter(...steps: readonly LeaseStep[]): {
  state: LeaseState;
  last: Effect | undefined;
} {
  let state: LeaseState = initialLease;
  let last: Effect | undefined;
  for (const [at, event] of steps) {
    const step = reduce(state, event, at);
    state = step.state;
    last = step.effects.at(-1);
  }
  return { state, last };
}
