import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { LeaseEvent } from '../../src/freeze/lease-types.ts';
import { fromPersisted, toPersisted } from '../../src/freeze/persisted-due.ts';
import { lateThawOf } from '../../src/freeze/left-open.ts';
import type { FreezeRun } from '../../src/freeze/freeze-run.ts';
import { type Act, Callers, type Naming, type Success, TTL } from '../support/callers.ts';
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
const sequence = fc.array(fc.record({ wait, act: acts }), { maxLength: 40 });
const naming = fc.constantFrom<Naming>('unique', 'shared', 'none');

/** Plays the steps twice: with copies cut just before their thaw, and as early as possible. @returns all successes */
function successesOf(
  names: readonly Naming[],
  steps: readonly { wait: number; act: Act }[],
): Success[] {
  const late = new Callers(names);
  const early = new Callers(names);
  for (const step of steps) {
    late.play([step]);
    early.play([step]);
    early.cutAll();
  }
  return [...late.successes, ...early.successes];
}

describe('callers that do not know of each other', () => {
  it('never get a success for a copy cut outside of that hold, unless their thaw is too late', () => {
    let successes = 0;
    fc.assert(
      fc.property(
        fc.array(naming, { minLength: CALLERS, maxLength: CALLERS }),
        sequence,
        (names, steps) => {
          for (const { cutInside, excused } of successesOf(names, steps)) {
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

  it('never get one at all if each freeze has its own id', () => {
    let successes = 0;
    fc.assert(
      fc.property(sequence, (steps) => {
        const names = Array.from({ length: CALLERS }, (): Naming => 'unique');
        for (const { cutInside } of successesOf(names, steps)) {
          expect(cutInside).toBe(true);
          successes += 1;
        }
      }),
      { numRuns: 20_000 },
    );
    expect(successes).toBeGreaterThan(2_000);
  });

  it('all succeed that freeze and thaw in time while no other caller does anything', () => {
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

  it('all succeed that give their own id, are not refused and thaw in time', () => {
    let tried = 0;
    fc.assert(
      fc.property(sequence, (steps) => {
        const names = Array.from({ length: CALLERS }, (): Naming => 'unique');
        const callers = new Callers(names);
        const others = steps.filter(({ act }) => act.do === 'freeze' || act.do === 'thaw');
        callers.play(others.slice(0, 30));
        fc.pre(callers.state.phase === 'thawed');
        const before = callers.successes.length;
        callers.play([
          { wait: 0, act: { do: 'freeze', who: CALLERS, fate: 'held' } },
          { wait: 10, act: { do: 'freeze', who: CALLERS + 1, fate: 'held' } },
          { wait: 10, act: { do: 'thaw', who: CALLERS } },
        ]);
        expect(callers.successes).toHaveLength(before + 1);
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

describe('a freeze that expired', () => {
  it('leaves an expected thaw, which does not get the success of the next freeze', () => {
    const { last } = leaseAfter(...expired, ...held('b', TTL + 20), [TTL + 30, thaw()]);
    expect(last).toEqual(ambiguous('b'));
  });

  it.each([
    ['without an id', undefined],
    ['with its id', 'a'],
  ])('leaves none once its thaw has come %s', (_, id) => {
    const steps: LeaseStep[] = [...expired, [TTL + 10, thaw(id)], ...held('b', TTL + 20)];
    expect(leaseAfter(...steps, [TTL + 30, thaw()]).last).toEqual(proven('b'));
  });

  it('leaves none once its thaw has come with its id while another freeze was held', () => {
    const steps: LeaseStep[] = [...expired, ...held('b', TTL + 20), [TTL + 25, thaw('a')]];
    expect(leaseAfter(...steps, [TTL + 30, thaw()]).last).toEqual(proven('b'));
  });

  it('changes nothing for a later freeze that is thawed with its own id', () => {
    const steps: LeaseStep[] = [...expired, ...held('b', TTL + 20), [TTL + 30, thaw('b')]];
    expect(leaseAfter(...steps).last).toEqual(proven('b'));
    expect(leaseAfter(...steps, [TTL + 31, thaw()]).reply).toEqual({ type: 'joins', id: 'b' });
  });

  it('makes the thaw of a later freeze with the same id ambiguous: another backup may have made it', () => {
    const { last } = leaseAfter(...expired, ...held('a', TTL + 20), [TTL + 30, thaw('a')]);
    expect(last).toEqual(ambiguous('a'));
  });

  it.each([
    ['the length of its lease', 1_000, 1_000],
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

  it('is expected as long after a release that came late', () => {
    const releasedAt = 3 * TTL;
    const after = (ms: number) =>
      leaseAfter(
        ...held('a', 0),
        [TTL, { type: 'tick' }],
        released(releasedAt),
        ...held('b', releasedAt + 1),
        [releasedAt + ms, thaw()],
      ).last;
    expect(after(TTL - 1)).toEqual(ambiguous('b'));
    expect(after(TTL)).toEqual(proven('b'));
  });

  it('may be one of several; a thaw without an id counts for only one of them', () => {
    const both: LeaseStep[] = [...expired, ...held('b', TTL + 10), [TTL + 20, { type: 'lost' }]];
    const one: LeaseStep[] = [...both, released(TTL + 20), [TTL + 21, thaw()]];
    const two: LeaseStep[] = [...one, [TTL + 22, thaw()]];
    const next = (steps: LeaseStep[]) =>
      leaseAfter(...steps, ...held('c', TTL + 30), [TTL + 40, thaw()]).last;
    expect(next([...both, released(TTL + 20)])).toEqual(ambiguous('c'));
    expect(next(one)).toEqual(ambiguous('c'));
    expect(next(two)).toEqual(proven('c'));
  });

  it('is missing again after each ambiguous thaw, until a thaw while nothing is held counts as it', () => {
    const ended: LeaseStep[] = [...held('made', 0, false), [TTL, { type: 'tick' }], released(TTL)];
    const again: LeaseStep[] = [
      ...ended,
      ...held('made2', TTL + 10, false),
      [TTL + 20, thaw()],
      released(TTL + 20),
    ];
    const next = (steps: LeaseStep[]) =>
      leaseAfter(...steps, ...held('made3', TTL + 30, false), [TTL + 40, thaw()]).last;
    expect(next(again)).toEqual(ambiguous('made3'));
    expect(next([...again, [TTL + 25, thaw()]])).toEqual(proven('made3'));
  });

  it('still leaves the thaw with its id after one without an id, which may have been another caller’s', () => {
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
    ['with the same id', freeze('a'), thaw('a')],
    ['with the same id', freeze('a'), thaw()],
    ['without an id', freeze('made', false), thaw()],
    ['with another id, before a thaw without one,', freeze('b'), thaw()],
  ])('%s makes a thaw ambiguous that may be its caller’s', (_, refused, event) => {
    expect(leaseAfter(...during(refused), [20, event]).last).toEqual(ambiguous('a'));
  });

  it.each([
    ['with another id', freeze('b')],
    ['without an id', freeze('made', false)],
  ])('%s never makes a thaw with the id of the open freeze ambiguous', (_, refused) => {
    expect(leaseAfter(...during(refused), [20, thaw('a')]).last).toEqual(proven('a'));
  });

  it('leaves one expected thaw, whose time starts at the end of the open freeze', () => {
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

  it('is taken for an earlier try of the next freeze with its id, unless several callers share the id', () => {
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

  it('leaves no expected thaw where the same call comes again and holds', () => {
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

  it('counts as refused also after it has waited in vain', () => {
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

  it('leaves an expected thaw of a caller without an id, until that caller tries again', () => {
    const other: LeaseStep[] = [...failed('made', false), ...held('b', 20), [30, thaw()]];
    expect(leaseAfter(...other).last).toEqual(ambiguous('b'));
    const again: LeaseStep[] = [
      ...failed('made', false),
      ...held('made2', 20, false),
      [30, thaw()],
    ];
    expect(leaseAfter(...again).last).toEqual(proven('made2'));
  });

  it('leaves none of a caller with an id, which matches no other freeze', () => {
    expect(leaseAfter(...failed('a', true), ...held('b', 20), [30, thaw()]).last).toEqual(
      proven('b'),
    );
  });
});

describe('a caller that abandons', () => {
  it('ends the freeze, whose own thaw is still expected', () => {
    const steps: LeaseStep[] = [...held('a', 0, false), [10, abandon()], released(10)];
    expect(leaseAfter(...held('a', 0), [10, abandon('a')])).toMatchObject({
      last: { type: 'release', cause: 'abandoned' },
      reply: { type: 'ends', id: 'a' },
    });
    expect(leaseAfter(...steps, ...held('b', 20), [30, thaw()]).last).toEqual(ambiguous('b'));
  });

  it('ends nothing by another id, and does not count as an expected thaw', () => {
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

  it('the same thaws are expected, for as long as before', () => {
    const kept = toPersisted([one, { ...one, id: null, until: Infinity }], clock);
    const later = { now: 100, wallNow: clock.wallNow + 10_000 };
    expect(fromPersisted(JSON.parse(JSON.stringify(kept)), later)).toEqual([
      { ...one, until: 100 + 20_000 },
      { ...one, id: null, until: 100 + 60_000 },
    ]);
    expect(fromPersisted(kept, { now: 0, wallNow: clock.wallNow + 90_000 })).toHaveLength(1);
  });

  it('a wall clock that was set forward does not shorten the wait for them', () => {
    const boot = { id: 'start', ms: 1_000 };
    const kept = toPersisted([one], { ...clock, boot });
    const hour = { now: 100, wallNow: clock.wallNow + 3_600_000 };
    const soon = { ...boot, ms: 11_000 };
    expect(fromPersisted(kept, { ...hour, boot: soon })).toEqual([{ ...one, until: 100 + 20_000 }]);
    expect(fromPersisted(kept, { ...hour, boot: { ...soon, id: 'another start' } })).toEqual([]);
  });

  it('a wall clock that was set back does not extend the wait for them', () => {
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

  it('the thaw of a freeze that was held is expected until it would be too late', () => {
    expect(left(true, -10_000)).toMatchObject([{ id: 'a', until: 5_000 + 50_000 + 60_000 }]);
    expect(left(true, 86_400_000)).toMatchObject([{ id: 'a', until: 5_000 + 120_000 }]);
    expect(left(true, -86_400_000)).toMatchObject([{ id: 'a', until: 5_000 + 60_000 }]);
  });

  it('the thaw of a freeze that was not held is expected in the form in which it may come', () => {
    expect(left(true, null)).toMatchObject([{ id: 'a', byIdOnly: true, until: 65_000 }]);
    expect(left(false, null)).toMatchObject([{ id: null, retried: true, until: 65_000 }]);
  });
});
