import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { initialLease, nextDeadline, reduce } from '../../src/freeze/lease.ts';
import type { Command, LeaseEvent, LeaseState, Reply } from '../../src/freeze/lease-types.ts';
import { leaseAfter, type LeaseStep } from '../support/lease-steps.ts';

const id = fc.constantFrom('a', 'b', 'c');
/** What takes a freeze from step to step comes often, so that many come to their end, whatever that is. */
const event: fc.Arbitrary<LeaseEvent> = fc.oneof(
  {
    weight: 3,
    arbitrary: fc.record({
      type: fc.constant('freeze' as const),
      id,
      named: fc.boolean(),
      shared: fc.boolean(),
      ttlMs: fc.integer({ min: 1, max: 500 }),
      timeoutMs: fc.integer({ min: 1, max: 200 }),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({ type: fc.constant('held' as const), heldAt: fc.constant(0) }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      type: fc.constant('thaw' as const),
      id: fc.option(id, { nil: undefined }),
    }),
  },
  fc.record({ type: fc.constant('abandon' as const), id: fc.option(id, { nil: undefined }) }),
  fc.record({
    type: fc.constant('renew' as const),
    id,
    ttlMs: fc.integer({ min: 1, max: 500 }),
  }),
  {
    weight: 3,
    arbitrary: fc.record({
      type: fc.constant('released' as const),
      evidence: fc.constantFrom([], [{ code: 'server-restarted', note: 'It restarted.' }]),
    }),
  },
  fc.constantFrom<LeaseEvent>(
    { type: 'failed' },
    { type: 'gone' },
    { type: 'lost' },
    { type: 'stop' },
    { type: 'tick' },
  ),
);
const wait = fc.oneof(
  { weight: 3, arbitrary: fc.integer({ min: 0, max: 20 }) },
  fc.integer({ min: 0, max: 300 }),
);
const script = fc.array(fc.record({ wait, event }), {
  maxLength: 60,
  // Left to itself it makes lists of a few, in which hardly anything happens.
  size: 'max',
});

interface Seen {
  readonly now: number;
  readonly event: LeaseEvent;
  readonly before: LeaseState;
  readonly state: LeaseState;
  readonly commands: readonly Command[];
  readonly reply: Reply;
}

/** Plays a script. A hold is taken at the moment of its event, as in the coordinator. */
function play(steps: readonly { wait: number; event: LeaseEvent }[]): Seen[] {
  let state: LeaseState = initialLease;
  let now = 1_000;
  return steps.map(({ wait, event: raw }) => {
    now += wait;
    const current = raw.type === 'held' ? { ...raw, heldAt: now } : raw;
    const before = state;
    const step = reduce(state, current, now);
    state = step.state;
    return { now, event: current, before, state, commands: step.commands, reply: step.reply };
  });
}

const runs = { numRuns: 2_000 };
/** How often, at the least, the runs come to what a property is about. */
const MANY = 30;

describe('after any sequence of events', () => {
  it('the lease is never open at or after its deadline', () => {
    let open = 0;
    fc.assert(
      fc.property(script, (steps) => {
        for (const { state, now } of play(steps)) {
          const at = nextDeadline(state);
          if (at === null) continue;
          expect(at).toBeGreaterThan(now);
          open += 1;
        }
      }),
      runs,
    );
    expect(open).toBeGreaterThan(MANY);
  });

  it('one tick at the deadline ends it, and one release thaws it', () => {
    fc.assert(
      fc.property(script, (steps) => {
        const last = play(steps).at(-1)?.state ?? initialLease;
        const at = nextDeadline(last) ?? 0;
        const ended = reduce(last, { type: 'tick' }, at);
        expect(['thawed', 'thawing']).toContain(ended.state.phase);
        const thawed = reduce(ended.state, { type: 'released', evidence: [] }, at);
        expect(thawed.state.phase).toBe('thawed');
      }),
      runs,
    );
  });

  it('every freeze that starts is rolled back or released exactly once before the next one starts', () => {
    let begun = 0;
    let ended = 0;
    fc.assert(
      fc.property(script, (steps) => {
        let open: string | null = null;
        let ending = false;
        for (const { commands, reply } of play(steps)) {
          for (const command of commands) {
            if (command.type === 'make-hold') {
              expect(open).toBeNull();
              open = command.id;
              begun += 1;
            } else {
              expect(command.id).toBe(open);
              expect(ending).toBe(false);
              ending = true;
            }
          }
          if (reply.type !== 'verdict') continue;
          expect(reply.id).toBe(open);
          expect(ending).toBe(true);
          open = null;
          ending = false;
          ended += 1;
        }
      }),
      runs,
    );
    expect(begun).toBeGreaterThan(MANY);
    expect(ended).toBeGreaterThan(MANY);
  });

  it('consistent means: thawed before the lease expired, never lost, and proven to have held', () => {
    const verdicts = { consistent: 0, inconsistent: 0 };
    fc.assert(
      fc.property(script, (steps) => {
        // A model without the reducer's states: it only knows when this hold started and ended.
        let expiresAt = 0;
        let frozen = false;
        let thawedInTime = false;
        let alone = false;
        for (const { event: e, before, state, reply, now } of play(steps)) {
          if (before.phase === 'freezing' && state.phase === 'frozen') {
            frozen = true;
            expiresAt = state.expiresAt;
            thawedInTime = false;
          }
          if (reply.type === 'renewed' && state.phase === 'frozen') expiresAt = state.expiresAt;
          if (frozen && before.phase === 'frozen' && state.phase === 'thawing') {
            thawedInTime = e.type === 'thaw' && now < expiresAt;
            // The callers' property tests which thaws are ambiguous.
            alone = state.cause !== 'thaw-ambiguous';
          }
          if (reply.type !== 'verdict') continue;
          expect(reply.verdict.consistent).toBe(
            frozen && thawedInTime && alone && e.type === 'released' && e.evidence.length === 0,
          );
          verdicts[reply.verdict.consistent ? 'consistent' : 'inconsistent'] += 1;
          frozen = false;
          thawedInTime = false;
        }
      }),
      runs,
    );
    expect(verdicts.consistent).toBeGreaterThan(MANY);
    expect(verdicts.inconsistent).toBeGreaterThan(MANY);
  });

  it('a success is reported once: to the request that ends the freeze', () => {
    let told = 0;
    fc.assert(
      fc.property(script, (steps) => {
        let ends = 0;
        for (const { event: e, commands, reply } of play(steps)) {
          if (commands.some(({ type }) => type === 'make-hold')) ends = 0;
          if (reply.type !== 'ends') continue;
          ends += 1;
          expect(['thaw', 'abandon']).toContain(e.type);
          expect(ends).toBe(1);
          told += 1;
        }
      }),
      runs,
    );
    expect(told).toBeGreaterThan(MANY);
  });

  it('a thaw that could be meant for the open freeze is never refused', () => {
    let thaws = 0;
    fc.assert(
      fc.property(script, (steps) => {
        for (const { event: e, before, reply } of play(steps)) {
          if (e.type !== 'thaw' || before.phase === 'thawed') continue;
          if (e.id !== undefined && e.id !== before.id) continue;
          expect(['ends', 'joins']).toContain(reply.type);
          thaws += 1;
        }
      }),
      runs,
    );
    expect(thaws).toBeGreaterThan(MANY);
  });

  it('a freeze request never changes the lease of the open freeze', () => {
    let freezes = 0;
    fc.assert(
      fc.property(script, (steps) => {
        for (const { event: e, before, state } of play(steps)) {
          if (e.type !== 'freeze' || before.phase === 'thawed') continue;
          if (state.phase === 'thawing') continue;
          expect(nextDeadline(state)).toBe(nextDeadline(before));
          freezes += 1;
        }
      }),
      runs,
    );
    expect(freezes).toBeGreaterThan(MANY);
  });
});

describe('the lease', () => {
  const freeze = (name: string, ttlMs = 100, timeoutMs = 50): LeaseEvent => ({
    type: 'freeze',
    id: name,
    named: true,
    shared: false,
    ttlMs,
    timeoutMs,
  });
  const renew = (name: string): LeaseEvent => ({ type: 'renew', id: name, ttlMs: 100 });
  const held: LeaseStep[] = [
    [0, freeze('a')],
    [10, { type: 'held', heldAt: 10 }],
  ];

  it('is never longer than its hold allows, not even after a renewal', () => {
    const short = { type: 'held', heldAt: 10, longestMs: 30 } as const;
    expect(nextDeadline(leaseAfter([0, freeze('a')], [12, short]).state)).toBe(40);
    const renewed = leaseAfter([0, freeze('a')], [12, short], [20, renew('a')]);
    expect(nextDeadline(renewed.state)).toBe(50);
  });

  it('starts at the moment of the hold, not when the hold is reported', () => {
    const { state } = leaseAfter([0, freeze('a')], [40, { type: 'held', heldAt: 10 }]);
    expect(state).toMatchObject({ phase: 'frozen', expiresAt: 110 });
  });

  it('expires immediately when the hold is reported after the end of the lease', () => {
    const { state, last } = leaseAfter([0, freeze('a', 20)], [45, { type: 'held', heldAt: 10 }]);
    expect(state.phase).toBe('thawing');
    expect(last).toMatchObject({ type: 'release', cause: 'lease-expired' });
  });

  it('is renewed only by a renewal with the id of the open freeze', () => {
    const renewed = leaseAfter(...held, [60, renew('a')]);
    expect(renewed.reply).toEqual({ type: 'renewed', id: 'a', expiresAt: 160 });
    expect(renewed.state).toMatchObject({ expiresAt: 160 });
    for (const name of ['a', 'b']) {
      const { state, reply } = leaseAfter(...held, [60, freeze(name)]);
      expect(reply).toEqual({ type: 'refused', id: 'a' });
      expect(state).toMatchObject({ expiresAt: 110 });
    }
  });

  it('is not renewed by another id, nor before or after it is held', () => {
    expect(leaseAfter(...held, [60, renew('b')]).reply).toEqual({ type: 'refused', id: 'a' });
    const notHeld = { type: 'not-held' };
    expect(leaseAfter([0, renew('a')]).reply).toEqual(notHeld);
    expect(leaseAfter([0, freeze('a')], [5, renew('a')]).reply).toEqual(notHeld);
    expect(leaseAfter(...held, [60, { type: 'lost' }], [61, renew('a')]).reply).toEqual(notHeld);
    expect(leaseAfter(...held, [110, renew('a')]).reply).toEqual(notHeld);
  });

  const thaw = (name?: string): LeaseEvent => ({ type: 'thaw', id: name });

  it('is ended by one thaw; concurrent and later thaws do not end it', () => {
    const first: LeaseStep[] = [...held, [20, thaw()]];
    expect(leaseAfter(...first).reply).toEqual({ type: 'ends', id: 'a' });
    for (const name of [undefined, 'a']) {
      expect(leaseAfter(...first, [20, thaw(name)]).reply).toEqual({ type: 'joins', id: 'a' });
      const after = leaseAfter(
        ...first,
        [21, { type: 'released', evidence: [] }],
        [22, thaw(name)],
      );
      expect(after.reply).toEqual({ type: 'ended', id: 'a' });
    }
  });

  it('is not ended by a thaw with another id', () => {
    const { state, reply } = leaseAfter(...held, [20, thaw('b')]);
    expect(state.phase).toBe('frozen');
    expect(reply).toEqual({ type: 'not-held' });
  });
});
