import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type KeptRun, retain } from '../../../src/cluster/snapshot/retention.ts';

const NOW = 1_000_000;

const runs = fc.uniqueArray(
  fc.record({
    id: fc.integer({ min: 0, max: 10_000 }).map((n) => `run-${n}`),
    application: fc.constantFrom('shop', 'blog'),
    verdict: fc.constantFrom('proven', 'unproven', 'failed', 'pending'),
    createdAt: fc.integer({ min: 0, max: NOW }),
  }),
  { selector: ({ id }) => id, maxLength: 40 },
);
const rules = fc.record({
  keep: fc.option(fc.integer({ min: 1, max: 10 }), { nil: undefined }),
  keepForMs: fc.option(fc.integer({ min: 0, max: NOW }), { nil: undefined }),
});

/** The ids that go, by the order of the runs. */
function going(list: readonly KeptRun[], given: { keep?: number; keepForMs?: number }) {
  return retain(list, { ...given, now: NOW })
    .filter(({ goes }) => goes)
    .map(({ id }) => id);
}

function run(id: string, verdict: KeptRun['verdict'], createdAt: number): KeptRun {
  return { id, application: 'shop', verdict, createdAt };
}

describe('retention', () => {
  it('never lets the last proven run of an application go, nor one that is not done', () => {
    fc.assert(
      fc.property(runs, rules, (list, given) => {
        const gone = new Set(
          retain(list, { ...given, now: NOW })
            .filter(({ goes }) => goes)
            .map(({ id }) => id),
        );
        for (const application of ['shop', 'blog']) {
          const proven = list.filter(
            (one) => one.application === application && one.verdict === 'proven',
          );
          const last = Math.max(...proven.map(({ createdAt }) => createdAt));
          const stay = proven.some((one) => one.createdAt === last && !gone.has(one.id));
          expect(stay || proven.length === 0).toBe(true);
        }
        expect(list.filter(({ id, verdict }) => verdict === 'pending' && gone.has(id))).toEqual([]);
      }),
    );
  });

  it('decides about each run once, and the order of the runs changes nothing', () => {
    fc.assert(
      fc.property(runs, rules, (list, given) => {
        const forward = retain(list, { ...given, now: NOW });
        const back = retain(list.toReversed(), { ...given, now: NOW });
        expect(forward.map(({ id }) => id)).toEqual(list.map(({ id }) => id));
        expect(new Map(back.map((one) => [one.id, one]))).toEqual(
          new Map(forward.map((one) => [one.id, one])),
        );
      }),
    );
  });

  it('keeps no more than --keep says, but for those that always stay', () => {
    fc.assert(
      fc.property(runs, fc.integer({ min: 1, max: 10 }), (list, keep) => {
        const stay = retain(list, { keep, now: NOW }).filter(({ goes }) => !goes);
        for (const application of ['shop', 'blog']) {
          const own = list.filter((one) => one.application === application);
          const pending = own.filter(({ verdict }) => verdict === 'pending').length;
          const left = own.filter(({ id }) => stay.some((one) => one.id === id)).length;
          expect(left).toBeLessThanOrEqual(Math.max(keep, pending + 2));
        }
      }),
    );
  });

  it('lets failed runs go first, so that a week of failures does not push out what is good', () => {
    const good = [1, 2, 3].map((n) => run(`good-${n}`, 'proven', n));
    const bad = [4, 5, 6].map((n) => run(`bad-${n}`, 'failed', n));
    expect(going([...good, ...bad], { keep: 3 })).toEqual(['good-1', 'bad-4', 'bad-5']);
  });

  it('keeps what one of two rules keeps', () => {
    const list = [run('a', 'proven', 0), run('b', 'proven', 10), run('c', 'proven', NOW)];
    expect(going(list, { keep: 1 })).toEqual(['a', 'b']);
    expect(going(list, { keep: 1, keepForMs: NOW - 5 })).toEqual(['a']);
    expect(going(list, {})).toEqual([]);
  });

  it('keeps the newest run, whose failure an alert is about', () => {
    expect(going([run('new', 'failed', 9), run('old', 'failed', 1)], { keep: 1 })).toEqual(['old']);
  });
});
