import { initialLease, reduce } from '../../src/freeze/lease.ts';
import type { Command, LeaseEvent, LeaseState, Reply } from '../../src/freeze/lease-types.ts';

/** An event, and the monotonic millisecond at which it happens. */
export type LeaseStep = readonly [at: number, event: LeaseEvent];

/** The state after these events, starting with a new lease, and the command and reply of the last one. */
export function leaseAfter(...steps: readonly LeaseStep[]): {
  state: LeaseState;
  last: Command | undefined;
  reply: Reply | undefined;
} {
  let state: LeaseState = initialLease;
  let last: Command | undefined;
  let reply: Reply | undefined;
  for (const [at, event] of steps) {
    const step = reduce(state, event, at);
    state = step.state;
    last = step.commands.at(-1);
    reply = step.reply;
  }
  return { state, last, reply };
}
