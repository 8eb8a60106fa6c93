import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { initialLease, nextDeadline, reduce, REPEAT_WINDOW_MS } from '../../src/freeze/lease.ts';
import type { Effect, LeaseEvent, LeaseState } from '../../src/freeze/lease-types.ts';
import { leaseAfter, type LeaseStep } from '../support/lease-steps.ts';

const id = fc.constantFrom('a', 'b', 'c');
const event: fc.Arbitrary<LeaseEvent> = fc.oneof(
  fc.record({
    type: fc.constant('freeze' as const),
    id,
    ttlMs: fc.integer({ min: 1, max: 500 }),
    timeoutMs: fc.integer({ min: 1, max: 200 }),
  }),
  fc.record({ type: fc.constant('held' as const), heldAt: fc.constant(0) }),
  fc.record({ type: fc.constant('thaw' as const), id: fc.option(id, { nil: undefined }) }),
  fc.record({ type: fc.constant('released' as const), held: fc.boolean() }),
  fc.constantFrom<LeaseEvent>(
    { type: 'failed' },
    { type: 'gone' },
    { type: 'lost' },
    { type: 'stop' },
    { type: 'tick' },
  ),
);
const script = fc.array(fc.record({ wait: fc.integer({ min: 0, max: 300 }), event }), {
  maxLength: 60,
});

interface Seen {
  readonly now: number;
  readonly event: LeaseEvent;
  readonly before: LeaseState;
  readonly state: LeaseState;
  readonly effects: readonly Effect[];
}

/** Plays a script; a hold is taken at the very moment its event says so, as the coordinator does. */
function play(steps: readonly { wait: number; event: LeaseEvent }[]): Seen[] {
  let state: LeaseState = initialLease;
  let now = 1_000;
  return steps.map(({ wait, event: raw }) => {
    now += wait;
    const current = raw.type === 'held' ? { ...raw, heldAt: now } : raw;
    const before = state;
    const step = reduce(state, current, now);
    state = step.state;
    return { now, event: current, before, state, effects: step.effects };
  });
}

const runs = { numRuns: 2_000 };

describe('from any sequence of events', () => {
  it('the lease is never open at or after its deadline', () => {
    fc.assert(
      fc.property(script, (steps) => {
        for (const { state, now } of play(steps)) {
          const at = nextDeadline(state);
          if (at !== null) expect(at).toBeGreaterThan(now);
        }
      }),
      runs,
    );
  });

  it('one look at the deadline ends it, and one release thaws it', () => {
    fc.assert(
      fc.property(script, (steps) => {
        const last = play(steps).at(-1)?.state ?? initialLease;
        const at = nextDeadline(last) ?? 0;
        const ended = reduce(last, { type: 'tick' }, at);
        expect(['thawed', 'thawing']).toContain(ended.state.phase);
        const thawed = reduce(ended.state, { type: 'released', held: true }, at);
        expect(thawed.state.phase).toBe('thawed');
      }),
      runs,
    );
  });

  it('every freeze that is begun is undone or released exactly once before the next begins', () => {
    fc.assert(
      fc.property(script, (steps) => {
        let open: string | null = null;
        let ending = false;
        for (const { effects } of play(steps)) {
          for (const effect of effects) {
            if (effect.type === 'establish') {
              expect(open).toBeNull();
              open = effect.id;
            } else if (effect.type === 'roll-back' || effect.type === 'release') {
              expect(effect.id).toBe(open);
              expect(ending).toBe(false);
              ending = true;
            } else if (effect.type === 'conclude') {
              expect(effect.id).toBe(open);
              expect(ending).toBe(true);
              open = null;
              ending = false;
            }
          }
        }
      }),
      runs,
    );
  });

  it('consistent means: thawed before the lease ended, never lost, and proven held', () => {
    fc.assert(
      fc.property(script, (steps) => {
        // A model that knows nothing of the reducer's states: when did this hold begin and end?
        let expiresAt = 0;
        let frozen = false;
        let thawedInTime = false;
        for (const { event: e, before, state, effects, now } of play(steps)) {
          if (before.phase === 'freezing' && state.phase === 'frozen') {
            frozen = true;
            expiresAt = state.expiresAt;
            thawedInTime = false;
          }
          if (effects.some((effect) => effect.type === 'renewed') && state.phase === 'frozen') {
            expiresAt = state.expiresAt;
          }
          if (frozen && before.phase === 'frozen' && state.phase === 'thawing') {
            thawedInTime = e.type === 'thaw' && now < expiresAt;
          }
          for (const effect of effects) {
            if (effect.type !== 'conclude') continue;
            expect(effect.consistent).toBe(
              frozen && thawedInTime && e.type === 'released' && e.held,
            );
            frozen = false;
            thawedInTime = false;
          }
        }
      }),
      runs,
    );
  });

  it('a thaw that could mean the open freeze is never refused', () => {
    fc.assert(
      fc.property(script, (steps) => {
        for (const { event: e, before, effects } of play(steps)) {
          if (e.type !== 'thaw' || before.phase === 'thawed') continue;
          if (e.id !== undefined && e.id !== before.id) continue;
          expect(effects.map((effect) => effect.type)).not.toContain('not-held');
          expect(effects.map((effect) => effect.type)).not.toContain('refuse-held');
        }
      }),
      runs,
    );
  });

  it('a freeze of another id never changes the lease of the one that is open', () => {
    fc.assert(
      fc.property(script, (steps) => {
        for (const { event: e, before, state } of play(steps)) {
          if (e.type !== 'freeze' || before.phase === 'thawed' || before.id === e.id) continue;
          if (state.phase === 'thawing') continue;
          expect(nextDeadline(state)).toBe(nextDeadline(before));
        }
      }),
      runs,
    );
  });
});

describe('the lease', () => {
  const freeze = (name: string, ttlMs = 100, timeoutMs = 50): LeaseEvent => ({
    type: 'freeze',
    id: name,
    ttlMs,
    timeoutMs,
  });
  it('runs no longer than its hold bears, and no renewal does', () => {
    const held = { type: 'held', heldAt: 10, longestMs: 30 } as const;
    expect(nextDeadline(leaseAfter([0, freeze('a', 100)], [12, held]).state)).toBe(40);
    const renewed = leaseAfter([0, freeze('a', 100)], [12, held], [20, freeze('a', 100)]);
    expect(nextDeadline(renewed.state)).toBe(50);
  });

  it('runs from the moment of the hold, not from the moment it was reported', () => {
    const { state } = leaseAfter([0, freeze('a')], [40, { type: 'held', heldAt: 10 }]);
    expect(state).toMatchObject({ phase: 'frozen', expiresAt: 110 });
  });

  it('is over at once when the hold is reported after its own end', () => {
    const { state, last } = leaseAfter([0, freeze('a', 20)], [45, { type: 'held', heldAt: 10 }]);
    expect(state.phase).toBe('thawing');
    expect(last).toMatchObject({ type: 'release', cause: 'lease-expired' });
  });

  it('is renewed by the same id and refused to another', () => {
    const held: LeaseStep[] = [
      [0, freeze('a')],
      [10, { type: 'held', heldAt: 10 }],
    ];
    expect(leaseAfter(...held, [60, freeze('a')]).state).toMatchObject({ expiresAt: 160 });
    expect(leaseAfter(...held, [60, freeze('b')]).last).toEqual({ type: 'refuse-held', id: 'a' });
  });

  it('takes the earlier deadline of two callers of one freeze', () => {
    const { state } = leaseAfter([0, freeze('a', 100, 50)], [10, freeze('a', 100, 20)]);
    expect(state).toMatchObject({ phase: 'freezing', deadline: 30 });
  });

  const thawed = (extra: LeaseStep[]): LeaseStep[] => [
    [0, freeze('a')],
    [10, { type: 'held', heldAt: 10 }],
    ...extra,
    [20, { type: 'thaw', id: undefined }],
    [21, { type: 'released', held: true }],
  ];

  it('answers a repeated thaw with the same freeze', () => {
    expect(leaseAfter(...thawed([]), [30, { type: 'thaw', id: undefined }]).last).toEqual({
      type: 'repeat',
      id: 'a',
    });
    expect(leaseAfter(...thawed([]), [30, { type: 'thaw', id: 'a' }]).last).toEqual({
      type: 'repeat',
      id: 'a',
    });
  });

  it('does not hand an old success to a thaw without an id', () => {
    const late = 22 + REPEAT_WINDOW_MS;
    expect(leaseAfter(...thawed([]), [late, { type: 'thaw', id: undefined }]).last).toEqual({
      type: 'not-held',
    });
  });

  it('does not hand the success of a crossed freeze to whoever thaws second without an id', () => {
    const crossed = thawed([[15, freeze('b')]]);
    expect(leaseAfter(...crossed, [30, { type: 'thaw', id: undefined }]).last).toEqual({
      type: 'ambiguous',
      id: 'a',
    });
    expect(leaseAfter(...crossed, [30, { type: 'thaw', id: 'a' }]).last).toEqual({
      type: 'repeat',
      id: 'a',
    });
  });

  it('keeps a freeze safe from a thaw that names another', () => {
    const { state, last } = leaseAfter(
      [0, freeze('a')],
      [10, { type: 'held', heldAt: 10 }],
      [20, { type: 'thaw', id: 'b' }],
    );
    expect(state.phase).toBe('frozen');
    expect(last).toEqual({ type: 'not-held' });
  });
});
