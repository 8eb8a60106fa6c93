import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { initialLease, reduce } from '../../src/freeze/lease.ts';
import type { Effect, LeaseEvent, LeaseState } from '../../src/freeze/lease-types.ts';
import { dueByReceipts } from '../../src/freeze/overdue.ts';
import type { Receipt } from '../../src/freeze/receipt.ts';
import { leaseAfter, type LeaseStep } from '../support/lease-steps.ts';

const TTL = 100;
const OWNERS = ['a', 'b', 'c', 'd'] as const;
type Owner = (typeof OWNERS)[number];

type Act =
  | { readonly do: 'freeze'; readonly owner: Owner }
  | { readonly do: 'thaw'; readonly owner: Owner; readonly withId: boolean }
  | { readonly do: 'lose' };

const owner = fc.constantFrom(...OWNERS);
const act: fc.Arbitrary<Act> = fc.oneof(
  { weight: 4, arbitrary: fc.record({ do: fc.constant('freeze' as const), owner }) },
  {
    weight: 5,
    arbitrary: fc.record({ do: fc.constant('thaw' as const), owner, withId: fc.boolean() }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('lose' as const) }) },
);
const story = fc.array(fc.record({ wait: fc.integer({ min: 0, max: 0.9 * TTL }), act }), {
  maxLength: 40,
});

/** A backup as its own caller sees it, who freezes once, hears that it is held, and thaws once. */
interface Backup {
  readonly id: string;
  readonly owner: Owner;
  readonly frozenAt: number;
}

interface Answer {
  readonly to: Backup;
  /** The freeze whose success the thaw was given; `null`: it failed. */
  readonly success: string | null;
  /** That freeze had ended before this thaw was called. */
  readonly endedBefore: boolean;
  /** Later than it is waited for: as late as the lease was long, or at all where another's ended it. */
  readonly tooLate: boolean;
}

/**
 * Plays callers that do not know of each other against the lease, with an engine that releases at once.
 * A caller whose freeze is refused knows that its backup failed, and calls no thaw (as Velero's hooks).
 */
function play(steps: readonly { wait: number; act: Act }[]): Answer[] {
  let state: LeaseState = initialLease;
  let now = 1_000;
  let count = 0;
  const open = new Map<Owner, Backup>();
  const verdicts = new Map<string, boolean>();
  const cut = new Set<string>();
  const answers: Answer[] = [];
  const send = (event: LeaseEvent): readonly Effect[] => {
    const first = reduce(state, event, now);
    state = first.state;
    if (state.phase === 'thawing') {
      const released = reduce(state, { type: 'released', held: true }, now);
      state = released.state;
      for (const one of released.effects) {
        if (one.type === 'conclude') verdicts.set(one.id, one.consistent);
      }
    }
    return first.effects;
  };
  for (const { wait, act: what } of steps) {
    now += wait;
    send({ type: 'tick' });
    if (what.do === 'lose') {
      send({ type: 'lost' });
    } else if (what.do === 'freeze' && !open.has(what.owner)) {
      const id = `${what.owner}-${(count += 1)}`;
      const effects = send({ type: 'freeze', id, ttlMs: TTL, timeoutMs: 50 });
      if (effects.at(-1)?.type !== 'establish') continue;
      send({ type: 'held', heldAt: now });
      open.set(what.owner, { id, owner: what.owner, frozenAt: now });
    } else if (what.do === 'thaw') {
      const to = open.get(what.owner);
      if (!to) continue;
      open.delete(what.owner);
      const ended = new Set(verdicts.keys());
      const told = send({ type: 'thaw', id: what.withId ? to.id : undefined }).at(-1);
      const id = told && 'id' in told ? told.id : null;
      const yes = told?.type !== 'ambiguous' && id !== null && verdicts.get(id) === true;
      const endedBefore = ended.has(id ?? '');
      const tooLate = now >= to.frozenAt + (cut.has(to.id) ? TTL : 2 * TTL);
      answers.push({ to, success: yes ? id : null, endedBefore, tooLate });
      if (id !== null && id !== to.id && !endedBefore) cut.add(id);
    }
  }
  return answers;
}

describe('of callers that do not know of each other, with ids or without', () => {
  it('none is given a success but for the hold that its own thaw ended, while none is too late', () => {
    let successes = 0;
    fc.assert(
      fc.property(story, (steps) => {
        const answers = play(steps);
        if (answers.some(({ tooLate }) => tooLate)) return;
        for (const { to, success, endedBefore } of answers) {
          if (success === null) continue;
          expect(success).toBe(to.id);
          expect(endedBefore).toBe(false);
          successes += 1;
        }
      }),
      { numRuns: 40_000 },
    );
    expect(successes).toBeGreaterThan(1_000);
  });

  it('every one succeeds that freezes, and thaws in time, while no thaw is still to come', () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(owner, fc.boolean()), { maxLength: 12 }), (backups) => {
        const steps = backups.flatMap(([who, withId]) => [
          { wait: 10, act: { do: 'freeze' as const, owner: who } },
          { wait: 10, act: { do: 'thaw' as const, owner: who, withId } },
        ]);
        for (const { to, success } of play(steps)) expect(success).toBe(to.id);
      }),
    );
  });
});

describe('a freeze that ended by itself', () => {
  const thaw = (id?: string): LeaseEvent => ({ type: 'thaw', id });
  const held = (name: string, now: number): LeaseStep[] => [
    [now, { type: 'freeze', id: name, ttlMs: TTL, timeoutMs: 50 }],
    [now, { type: 'held', heldAt: now }],
  ];
  const expired: LeaseStep[] = [
    ...held('a', 0),
    [TTL, { type: 'tick' }],
    [TTL, { type: 'released', held: true }],
  ];

  it('leaves a thaw to come, which is not answered with the success of the next freeze', () => {
    const { last: late } = leaseAfter(...expired, ...held('b', TTL + 20), [TTL + 30, thaw()]);
    expect(late).toEqual({ type: 'release', id: 'b', cause: 'thaw-ambiguous' });
  });

  it.each([
    ['without an id', undefined],
    ['by its id', 'a'],
  ])('leaves none once it has been thawed %s', (_, id) => {
    const { last: next } = leaseAfter(...expired, [TTL + 10, thaw(id)], ...held('b', TTL + 20), [
      TTL + 30,
      thaw(),
    ]);
    expect(next).toEqual({ type: 'release', id: 'b', cause: 'thaw' });
  });

  it('leaves none once its own thaw has come by its id, though another freeze is held by then', () => {
    const { last: next } = leaseAfter(
      ...expired,
      ...held('b', TTL + 20),
      [TTL + 25, thaw('a')],
      [TTL + 30, thaw()],
    );
    expect(next).toEqual({ type: 'release', id: 'b', cause: 'thaw' });
  });

  it('changes nothing for a freeze that is thawed by its id', () => {
    const steps: LeaseStep[] = [...expired, ...held('b', TTL + 20), [TTL + 30, thaw('b')]];
    expect(leaseAfter(...steps).last).toEqual({ type: 'release', id: 'b', cause: 'thaw' });
    const { last: joined } = leaseAfter(...steps, [TTL + 31, thaw()]);
    expect(joined).toEqual({ type: 'ambiguous', id: 'b' });
    const { last: after } = leaseAfter(
      ...steps,
      [TTL + 31, { type: 'released', held: true }],
      [TTL + 32, thaw()],
    );
    expect(after).toEqual({ type: 'ambiguous', id: 'b' });
  });

  it.each([
    ['as long again as its lease was', 1_000, 1_000],
    ['a minute, where its lease was longer', 600_000, 60_000],
  ])('is forgotten after %s', (_, ttlMs, lateMs) => {
    const freeze = { type: 'freeze', id: 'a', ttlMs, timeoutMs: 50 } as const;
    const after = (ms: number): Effect | undefined =>
      leaseAfter(
        [0, freeze],
        [0, { type: 'held', heldAt: 0 }],
        [ttlMs, { type: 'tick' }],
        [ttlMs, { type: 'released', held: true }],
        ...held('b', ttlMs + lateMs - 10),
        [ttlMs + ms, thaw()],
      ).last;
    expect(after(lateMs - 1)).toMatchObject({ cause: 'thaw-ambiguous' });
    expect(after(lateMs)).toMatchObject({ cause: 'thaw' });
  });

  it('is not settled by the thaw of a caller that was refused meanwhile', () => {
    const { last: next } = leaseAfter(
      ...held('a', 0),
      [10, { type: 'freeze', id: 'refused', ttlMs: TTL, timeoutMs: 50 }],
      [TTL, { type: 'tick' }],
      [TTL, { type: 'released', held: true }],
      [TTL + 10, thaw()],
      ...held('b', TTL + 20),
      [TTL + 30, thaw()],
    );
    expect(next).toMatchObject({ cause: 'thaw-ambiguous' });
  });

  it('is forgotten when its caller begins anew with the same id', () => {
    const { last: next } = leaseAfter(...expired, ...held('a', TTL + 20), [TTL + 30, thaw()]);
    expect(next).toEqual({ type: 'release', id: 'a', cause: 'thaw' });
  });

  it('is one of several, and a thaw without an id settles but one of them', () => {
    const ids = (steps: LeaseStep[]): string[] =>
      leaseAfter(...steps).state.overdue.map(({ id }) => id);
    expect(ids([...expired, ...held('b', TTL + 10)])).toEqual(['a']);
    expect(ids([...expired, ...held('b', TTL + 10), [TTL + 20, { type: 'lost' }]])).toEqual([
      'a',
      'b',
    ]);
    expect(
      ids([...expired, ...held('b', TTL + 10), [TTL + 20, { type: 'lost' }], [TTL + 21, thaw()]]),
    ).toEqual(['b']);
  });

  it('is not left by one whose caller was told that it failed', () => {
    const failed: LeaseStep[] = [
      [0, { type: 'freeze', id: 'a', ttlMs: TTL, timeoutMs: 50 }],
      [50, { type: 'tick' }],
      [50, { type: 'released', held: false }],
    ];
    const { last: next } = leaseAfter(...failed, ...held('b', 60), [70, thaw()]);
    expect(next).toEqual({ type: 'release', id: 'b', cause: 'thaw' });
  });
});

describe('after a restart of the sidecar', () => {
  const epoch = Date.parse('2026-01-01T00:00:00Z');
  const iso = (ms: number): string => new Date(epoch + ms).toISOString();
  const receipt = (id: string, reasons: string[], frozenAt: number | null = 0): Receipt =>
    ({
      id,
      reasons,
      frozenAt: frozenAt === null ? null : iso(frozenAt),
      expiresAt: frozenAt === null ? null : iso(frozenAt + 60_000),
    }) as Receipt;
  const due = (receipts: Receipt[], wallNow: number): unknown =>
    dueByReceipts(receipts, { now: 5_000, wallNow: epoch + wallNow });

  it.each(['lease-expired', 'hold-lost', 'sidecar-stopped', 'interrupted'])(
    'a thaw is still to come of a freeze that ended by %s',
    (reason) => {
      expect(due([receipt('a', [reason])], 30_000)).toEqual([{ id: 'a', until: 95_000 }]);
      expect(due([receipt('a', [reason])], 120_000)).toEqual([]);
    },
  );

  it('none is of one that was thawed, or never held', () => {
    expect(due([receipt('a', []), receipt('b', ['interrupted'], null)], 0)).toEqual([]);
  });

  it('a wall clock that was set back makes no lease run longer than it is', () => {
    expect(due([receipt('a', ['interrupted'])], -86_400_000)).toEqual([
      { id: 'a', until: 125_000 },
    ]);
  });
});
