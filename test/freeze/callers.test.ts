import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { LeaseEvent } from '../../src/freeze/lease-types.ts';
import { fromPersisted, toPersisted } from '../../src/freeze/persisted-due.ts';
import { lateThawOf } from '../../src/freeze/left-open.ts';
import type { FreezeRun } from '../../src/freeze/freeze-run.ts';
import { type Act, Callers, type Naming, type Told, TTL } from '../support/callers.ts';
import { leaseAfter, type LeaseStep } from '../support/lease-steps.ts';

const CALLERS = 4;
const who = fc.integer({ min: 0, max: CALLERS - 1 });
const fate = fc.constantFrom('held', 'held', 'held', 'held', 'fails', 'gone' as const);
const acts: fc.Arbitrary<Act> = fc.oneof(
  { weight: 12, arbitrary: fc.record({ do: fc.constant('freeze' as const), who, fate }) },
  { weight: 12, arbitrary: fc.record({ do: fc.constant('thaw' as const), who }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('retry' as const), who }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('renew' as const), who }) },
  {
    weight: 1,
    arbitrary: fc.record({
      do: fc.constant('abandon' as const),
      who: fc.option(who, { nil: null }),
    }),
  },
  { weight: 1, arbitrary: fc.constant<Act>({ do: 'hand' }) },
  { weight: 1, arbitrary: fc.constant<Act>({ do: 'lose' }) },
  { weight: 1, arbitrary: fc.constant<Act>({ do: 'restart' }) },
  { weight: 1, arbitrary: fc.constant<Act>({ do: 'forget' }) },
);
const wait = fc.oneof(
  { weight: 3, arbitrary: fc.integer({ min: 0, max: 0.1 * TTL }) },
  { weight: 2, arbitrary: fc.integer({ min: 0, max: 0.9 * TTL }) },
);
const story = fc.array(fc.record({ wait, act: acts }), { maxLength: 40 });
const naming = fc.constantFrom<Naming>('unique', 'shared', 'none');

/** Plays the story twice: with copies cut just before their thaw, and as early as they can be. */
function told(names: readonly Naming[], steps: readonly { wait: number; act: Act }[]): Told[] {
  const late = new Callers(names);
  const early = new Callers(names);
  for (const step of steps) {
    late.play([step]);
    early.play([step]);
    early.cutAll();
  }
  return [...late.told, ...early.told];
}

describe('of callers that do not know of each other', () => {
  it('none is told a success for a copy that was cut outside of that hold, unless its thaw is too late', () => {
    let successes = 0;
    fc.assert(
      fc.property(
        fc.array(naming, { minLength: CALLERS, maxLength: CALLERS }),
        story,
        (names, steps) => {
          for (const { cutInside, excused } of told(names, steps)) {
            if (excused) continue;
            expect(cutInside).toBe(true);
            successes += 1;
          }
        },
      ),
      { numRuns: 40_000 },
    );
    expect(successes).toBeGreaterThan(4_000);
  });

  it('none ever is that names each of its freezes', () => {
    let successes = 0;
    fc.assert(
      fc.property(story, (steps) => {
        const names = Array.from({ length: CALLERS }, (): Naming => 'unique');
        for (const { cutInside } of told(names, steps)) {
          expect(cutInside).toBe(true);
          successes += 1;
        }
      }),
      { numRuns: 20_000 },
    );
    expect(successes).toBeGreaterThan(2_000);
  });

  it('every one succeeds that freezes, and thaws in time, while nobody else does', () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(who, naming), { maxLength: 12 }), (backups) => {
        for (const name of ['unique', 'shared', 'none'] as const) {
          const callers = new Callers([name]);
          const steps = backups.flatMap(([one]) => [
            { wait: 10, act: { do: 'freeze', who: one, fate: 'held' } as const },
            { wait: 10, act: { do: 'thaw', who: one } as const },
          ]);
          expect(callers.play(steps)).toHaveLength(backups.length);
        }
      }),
    );
  });

  it('every one succeeds that names its freeze, is not refused, and thaws in time', () => {
    let tried = 0;
    fc.assert(
      fc.property(story, (steps) => {
        const names = Array.from({ length: CALLERS }, (): Naming => 'unique');
        const callers = new Callers(names);
        const others = steps.filter(({ act }) => act.do === 'freeze' || act.do === 'thaw');
        callers.play(others.slice(0, 30));
        fc.pre(callers.state.phase === 'thawed');
        const before = callers.told.length;
        callers.play([
          { wait: 0, act: { do: 'freeze', who: CALLERS, fate: 'held' } },
          { wait: 10, act: { do: 'freeze', who: CALLERS + 1, fate: 'held' } },
          { wait: 10, act: { do: 'thaw', who: CALLERS } },
        ]);
        expect(callers.told).toHaveLength(before + 1);
        tried += 1;
      }),
    );
    expect(tried).toBeGreaterThan(10);
  });
});

const thaw = (id?: string): LeaseEvent => ({ type: 'thaw', id });
const abandon = (id?: string): LeaseEvent => ({ type: 'abandon', id });
const freeze = (id: string, named = true, shared = false): LeaseEvent => ({
  type: 'freeze',
  id,
  named,
  shared,
  ttlMs: TTL,
  timeoutMs: 50,
});
const held = (id: string, now: number, named = true): LeaseStep[] => [
  [now, freeze(id, named)],
  [now, { type: 'held', heldAt: now }],
];
const released = (now: number): LeaseStep => [now, { type: 'released', evidence: [] }];
const expired: LeaseStep[] = [...held('a', 0), [TTL, { type: 'tick' }], released(TTL)];
const proven = (id: string) => ({ type: 'release', id, cause: 'thaw' });
const ambiguous = (id: string) => ({ type: 'release', id, cause: 'thaw-ambiguous' });

describe('a freeze that ended by itself', () => {
  it('leaves a thaw to come, which is not answered with the success of the next freeze', () => {
    const { last } = leaseAfter(...expired, ...held('b', TTL + 20), [TTL + 30, thaw()]);
    expect(last).toEqual(ambiguous('b'));
  });

  it.each([
    ['without an id', undefined],
    ['by its id', 'a'],
  ])('leaves none once it has been thawed %s', (_, id) => {
    const steps: LeaseStep[] = [...expired, [TTL + 10, thaw(id)], ...held('b', TTL + 20)];
    expect(leaseAfter(...steps, [TTL + 30, thaw()]).last).toEqual(proven('b'));
  });

  it('leaves none once its own thaw has come by its id, though another freeze is held by then', () => {
    const steps: LeaseStep[] = [...expired, ...held('b', TTL + 20), [TTL + 25, thaw('a')]];
    expect(leaseAfter(...steps, [TTL + 30, thaw()]).last).toEqual(proven('b'));
  });

  it('changes nothing for a freeze that is thawed by its id', () => {
    const steps: LeaseStep[] = [...expired, ...held('b', TTL + 20), [TTL + 30, thaw('b')]];
    expect(leaseAfter(...steps).last).toEqual(proven('b'));
    expect(leaseAfter(...steps, [TTL + 31, thaw()]).reply).toEqual({ type: 'joins', id: 'b' });
  });

  it('leaves one for a later freeze of the same id, which another backup may have made', () => {
    const { last } = leaseAfter(...expired, ...held('a', TTL + 20), [TTL + 30, thaw('a')]);
    expect(last).toEqual(ambiguous('a'));
  });

  it.each([
    ['as long again as its lease was', 1_000, 1_000],
    ['a minute, where its lease was longer', 600_000, 60_000],
  ])('is forgotten after %s', (_, ttlMs, lateMs) => {
    const after = (ms: number) =>
      leaseAfter(
        [0, { ...freeze('a'), ttlMs } as LeaseEvent],
        [0, { type: 'held', heldAt: 0 }],
        [ttlMs, { type: 'tick' }],
        released(ttlMs),
        ...held('b', ttlMs + lateMs - 10),
        [ttlMs + ms, thaw()],
      ).last;
    expect(after(lateMs - 1)).toEqual(ambiguous('b'));
    expect(after(lateMs)).toEqual(proven('b'));
  });

  it('is one of several, and a thaw without an id settles but one of them', () => {
    const both: LeaseStep[] = [...expired, ...held('b', TTL + 10), [TTL + 20, { type: 'lost' }]];
    const one: LeaseStep[] = [...both, released(TTL + 20), [TTL + 21, thaw()]];
    const two: LeaseStep[] = [...one, [TTL + 22, thaw()]];
    const next = (steps: LeaseStep[]) =>
      leaseAfter(...steps, ...held('c', TTL + 30), [TTL + 40, thaw()]).last;
    expect(next([...both, released(TTL + 20)])).toEqual(ambiguous('c'));
    expect(next(one)).toEqual(ambiguous('c'));
    expect(next(two)).toEqual(proven('c'));
  });

  it('by its id, is still to come after a thaw without one, which may have been another’s', () => {
    const { last } = leaseAfter(
      ...expired,
      ...held('made', TTL + 10, false),
      [TTL + 20, thaw()],
      released(TTL + 20),
      ...held('a', TTL + 30),
      [TTL + 40, thaw('a')],
    );
    expect(last).toEqual(ambiguous('a'));
  });
});

describe('a freeze that was refused', () => {
  const during = (...events: LeaseEvent[]): LeaseStep[] => [
    ...held('a', 0),
    ...events.map((event): LeaseStep => [10, event]),
  ];

  it.each([
    ['of the same id', freeze('a'), thaw('a')],
    ['of the same id', freeze('a'), thaw()],
    ['without an id', freeze('made', false), thaw()],
    ['by an id, to a thaw without one', freeze('b'), thaw()],
  ])('%s makes the thaw that may be its caller’s prove nothing', (_, refused, event) => {
    expect(leaseAfter(...during(refused), [20, event]).last).toEqual(ambiguous('a'));
  });

  it.each([
    ['of another id', freeze('b')],
    ['without an id', freeze('made', false)],
  ])('%s never contends with a thaw by the id of the freeze held', (_, refused) => {
    expect(leaseAfter(...during(refused), [20, thaw('a')]).last).toEqual(proven('a'));
  });

  it('leaves one thaw each to come, from the end of the freeze held on', () => {
    const steps = [
      ...during(freeze('x', false), freeze('y', false)),
      [20, thaw('a')],
      released(20),
    ];
    const { state } = leaseAfter(...(steps as LeaseStep[]));
    expect(state.due.map(({ until }) => until)).toEqual([20 + TTL, 20 + TTL]);
    const next = [...(steps as LeaseStep[]), [25, thaw()], ...held('c', 30)] as LeaseStep[];
    expect(leaseAfter(...next, [40, thaw()]).last).toEqual(ambiguous('c'));
    expect(leaseAfter(...next, [35, thaw()], released(35)).state.due).toHaveLength(1);
  });

  it('of another id is taken for a next try where it freezes again, unless others share the id', () => {
    const again = (shared: boolean): LeaseStep[] => [
      ...during(freeze('b', true, shared)),
      [20, thaw('a')],
      released(20),
      [30, freeze('b', true, shared)],
      [30, { type: 'held', heldAt: 30 }],
      [40, thaw('b')],
    ];
    expect(leaseAfter(...again(false)).last).toEqual(proven('b'));
    expect(leaseAfter(...again(true)).last).toEqual(ambiguous('b'));
  });

  it('is forgotten where the very same call comes again, and holds', () => {
    const call = { ...freeze('made', false), key: 'k' } as LeaseEvent;
    const { last } = leaseAfter(
      ...during(call),
      [20, thaw('a')],
      released(20),
      [30, call],
      [30, { type: 'held', heldAt: 30 }],
      [40, thaw()],
    );
    expect(last).toEqual(proven('made'));
  });

  it('after it waited, counts as one that was refused', () => {
    const gaveUp: LeaseEvent = { type: 'gave-up', id: 'made', named: false, ttlMs: TTL };
    expect(leaseAfter(...during(gaveUp), [20, thaw()]).last).toEqual(ambiguous('a'));
  });
});

describe('a freeze that failed', () => {
  const failed = (id: string, named: boolean): LeaseStep[] => [
    [0, freeze(id, named)],
    [10, { type: 'failed' }],
    released(10),
  ];

  it('leaves the thaw of a caller without an id to come, until that tries again', () => {
    const other: LeaseStep[] = [...failed('made', false), ...held('b', 20), [30, thaw()]];
    expect(leaseAfter(...other).last).toEqual(ambiguous('b'));
    const again: LeaseStep[] = [
      ...failed('made', false),
      ...held('made2', 20, false),
      [30, thaw()],
    ];
    expect(leaseAfter(...again).last).toEqual(proven('made2'));
  });

  it('leaves none of a caller with an id, who can thaw nothing else by it', () => {
    expect(leaseAfter(...failed('a', true), ...held('b', 20), [30, thaw()]).last).toEqual(
      proven('b'),
    );
  });
});

describe('somebody who abandons', () => {
  it('ends the freeze, and leaves the thaw of its caller to come', () => {
    const steps: LeaseStep[] = [...held('a', 0, false), [10, abandon()], released(10)];
    expect(leaseAfter(...held('a', 0), [10, abandon('a')])).toMatchObject({
      last: { type: 'release', cause: 'abandoned' },
      reply: { type: 'ends', id: 'a' },
    });
    expect(leaseAfter(...steps, ...held('b', 20), [30, thaw()]).last).toEqual(ambiguous('b'));
  });

  it('ends nothing by another id, and settles no thaw', () => {
    const { state, reply } = leaseAfter(...held('a', 0), [10, abandon('b')]);
    expect(state.phase).toBe('frozen');
    expect(reply).toEqual({ type: 'not-held' });
    const { state: after } = leaseAfter(...expired, [TTL + 5, abandon()], [TTL + 6, abandon('a')]);
    expect(after.due).toHaveLength(1);
  });

  it('ends a freeze in the making', () => {
    expect(leaseAfter([0, freeze('a')], [5, abandon()]).last).toEqual({
      type: 'roll-back',
      id: 'a',
      cause: 'abandoned',
    });
  });
});

describe('after a restart of the sidecar', () => {
  const clock = { now: 5_000, wallNow: Date.parse('2026-01-01T00:00:00Z') };
  const one = { id: 'a', named: true, retried: false, until: 5_000 + 30_000 };

  it('the same thaws are still to come, for as long as they were', () => {
    const kept = toPersisted([one, { ...one, id: null, until: Infinity }], clock);
    const later = { now: 100, wallNow: clock.wallNow + 10_000 };
    expect(fromPersisted(JSON.parse(JSON.stringify(kept)), later)).toEqual([
      { ...one, until: 100 + 20_000 },
      { ...one, id: null, until: 100 + 60_000 },
    ]);
    expect(fromPersisted(kept, { now: 0, wallNow: clock.wallNow + 90_000 })).toHaveLength(1);
  });

  it('a wall clock that was set forward makes none be waited for any shorter', () => {
    const boot = { id: 'start', ms: 1_000 };
    const kept = toPersisted([one], { ...clock, boot });
    const hour = { now: 100, wallNow: clock.wallNow + 3_600_000 };
    const soon = { ...boot, ms: 11_000 };
    expect(fromPersisted(kept, { ...hour, boot: soon })).toEqual([{ ...one, until: 100 + 20_000 }]);
    expect(fromPersisted(kept, { ...hour, boot: { ...soon, id: 'another start' } })).toEqual([]);
  });

  it('a wall clock that was set back makes none be waited for any longer', () => {
    const kept = toPersisted([one], clock);
    const back = { now: 100, wallNow: clock.wallNow - 86_400_000 };
    expect(fromPersisted(kept, back)).toEqual([{ ...one, until: 100 + 30_000 }]);
  });

  const iso = (ms: number): string => new Date(clock.wallNow + ms).toISOString();
  const left = (named: boolean, frozenAt: number | null) =>
    lateThawOf(
      {
        owner: { id: 'a', named },
        receipt: {
          frozenAt: frozenAt === null ? null : iso(frozenAt),
          expiresAt: frozenAt === null ? null : iso(frozenAt + 60_000),
        },
      } as FreezeRun,
      clock,
    );

  it('the thaw of a freeze that was held is to come, until it would be too late', () => {
    expect(left(true, -10_000)).toMatchObject([{ id: 'a', until: 5_000 + 50_000 + 60_000 }]);
    expect(left(true, 86_400_000)).toMatchObject([{ id: 'a', until: 5_000 + 120_000 }]);
    expect(left(true, -86_400_000)).toMatchObject([{ id: 'a', until: 5_000 + 60_000 }]);
  });

  it('that of a freeze that was not held is, where it may come without an id', () => {
    expect(left(true, null)).toMatchObject([{ id: 'a', byIdOnly: true, until: 65_000 }]);
    expect(left(false, null)).toMatchObject([{ id: null, retried: true, until: 65_000 }]);
  });
});
