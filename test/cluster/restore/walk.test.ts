import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { MemberState } from '../../../src/cluster/health/state.ts';
import { membersOf, type PlanMember } from '../../../src/cluster/plan/document.ts';
import { mapPlan } from '../../../src/cluster/restore/mapped.ts';
import {
  beginWalk,
  inLayer,
  keptBack,
  nextStep,
  observe,
  releaseNext,
  verdictOf,
  type Walk,
  waitingFor,
} from '../../../src/cluster/restore/walk.ts';
import { planFor, type PartOptions, shop } from './shop.ts';

const RULES = { layerTimeoutMs: 60_000, requireProof: false };

function begin(change: Readonly<Record<string, PartOptions>> = {}, rules = RULES): Walk {
  return beginWalk(planFor(shop(change)), rules);
}

function state(member: PlanMember, more: Partial<MemberState> = {}): MemberState {
  const level = member.claims.length > 0 ? ({ level: 'position' } as const) : {};
  return { member, ready: true, judged: true, receipts: [], causes: [], ...level, ...more };
}

const SICK = {
  ready: false,
  judged: false,
  causes: [
    { code: 'CRASH_LOOP', message: 'It exits with 1.', object: 'shop Pod/x-0', passing: true },
  ],
};
const HOPELESS = {
  ...SICK,
  causes: [{ ...SICK.causes[0], code: 'SECRET_MISSING', passing: false }],
};

function looks(walk: Walk, now: number, more: Readonly<Record<string, object>> = {}): Walk {
  return observe(
    walk,
    inLayer(walk).map(({ member }) => state(member, more[member.name])),
    now,
  );
}

const phases = ({ members }: Walk): Readonly<Record<string, string>> =>
  Object.fromEntries([...members.values()].map(({ member, phase }) => [member.name, phase]));

describe('a staged restore', () => {
  it('releases a layer only when every member of the one before is healthy', () => {
    let walk = begin();
    expect(nextStep(walk)).toBe('release');
    walk = releaseNext(walk, 0);
    expect(phases(walk)).toMatchObject({ db: 'released', queue: 'waiting' });
    expect(nextStep(walk)).toBe('wait');
    walk = looks(walk, 1_000, { db: { ready: true, judged: false } });
    expect(nextStep(walk)).toBe('wait');
    expect(waitingFor(walk, 5_000)).toBe(
      'layer 1 of 3: StatefulSet/db, for 5 s: its data is being judged',
    );
    walk = looks(walk, 2_000);
    expect(nextStep(walk)).toBe('release');
    walk = looks(releaseNext(walk, 3_000), 4_000);
    walk = releaseNext(walk, 5_000);
    expect(phases(walk)).toMatchObject({ api: 'released', web: 'released' });
    walk = looks(walk, 6_000, { web: SICK });
    expect(nextStep(walk)).toBe('wait');
    walk = looks(walk, 7_000);
    expect(nextStep(walk)).toBe('done');
    expect(verdictOf(walk, [])).toBe('proven');
    expect(walk.members.get('shop/StatefulSet/db')?.timeline).toEqual({
      releasedMs: 0,
      readyMs: 1_000,
      verifiedMs: 2_000,
      healthyMs: 2_000,
    });
  });

  it('stops before the next layer if a member is not healthy in time, and says why', () => {
    let walk = releaseNext(begin(), 0);
    walk = looks(walk, 59_999, { db: SICK });
    expect(nextStep(walk)).toBe('wait');
    walk = looks(walk, 60_000, { db: SICK });
    expect(nextStep(walk)).toBe('stop');
    expect(verdictOf(walk, [])).toBe('failed');
    expect(walk.members.get('shop/StatefulSet/db')?.problems).toMatchObject([
      { code: 'CRASH_LOOP', object: 'shop Pod/x-0' },
    ]);
    expect(phases(walk)).toMatchObject({ queue: 'waiting', api: 'waiting' });
  });

  it('does not wait in vain, but believes it only after a while', () => {
    let walk = looks(releaseNext(begin(), 0), 1_000, { db: HOPELESS });
    expect(nextStep(walk)).toBe('wait');
    walk = looks(walk, 10_000);
    expect(nextStep(walk)).toBe('release');
    walk = looks(releaseNext(begin(), 0), 1_000, { db: HOPELESS });
    walk = looks(walk, 10_000, { db: SICK });
    walk = looks(walk, 17_000, { db: HOPELESS });
    expect(nextStep(walk)).toBe('wait');
    walk = looks(walk, 32_000, { db: HOPELESS });
    expect(nextStep(walk)).toBe('stop');
    expect(walk.members.get('shop/StatefulSet/db')?.problems[0]?.code).toBe('SECRET_MISSING');
  });

  it('ends with data that contradicts its receipt', () => {
    const walk = looks(releaseNext(begin(), 0), 1_000, {
      db: { level: 'refused', message: 'WAL ends before the receipt.' },
    });
    expect(nextStep(walk)).toBe('stop');
    expect(walk.members.get('shop/StatefulSet/db')?.problems).toEqual([
      {
        code: 'DATA_REFUSED',
        message: 'WAL ends before the receipt.',
        object: 'shop StatefulSet/db',
      },
    ]);
  });

  it('goes on with data without proof, and is unproven; or stops, if proof is required', () => {
    for (const db of [{ level: 'unproven' }, { level: undefined }]) {
      let walk = begin();
      for (const now of [0, 1_000, 2_000]) walk = looks(releaseNext(walk, now), now, { db });
      expect(nextStep(walk)).toBe('done');
      expect(verdictOf(walk, [])).toBe('unproven');
      const strict = begin({}, { ...RULES, requireProof: true });
      const stopped = looks(releaseNext(strict, 0), 1_000, { db });
      expect(nextStep(stopped)).toBe('stop');
      expect(stopped.members.get('shop/StatefulSet/db')?.problems[0]?.code).toBe('DATA_UNPROVEN');
    }
  });

  it('is not proven with a problem of the run, nor with a member that is no longer ready', () => {
    let walk = begin();
    for (const now of [0, 1_000, 2_000]) walk = looks(releaseNext(walk, now), now);
    expect(verdictOf(walk, [{ code: 'VELERO_PARTIALLY_FAILED', message: 'x' }])).toBe('unproven');
    const [db] = membersOf(walk.plan);
    expect(verdictOf(observe(walk, [state(db as PlanMember, SICK)], 3_000), [])).toBe('failed');
  });

  it('goes on past a member of low priority, but not to what depends on it', () => {
    let walk = begin({ queue: { priority: 'low' }, web: {} });
    walk = looks(releaseNext(walk, 0), 0);
    walk = looks(releaseNext(walk, 0), 60_000, { queue: SICK });
    expect(nextStep(walk)).toBe('release');
    walk = releaseNext(walk, 60_000);
    expect(phases(walk)).toEqual({
      db: 'healthy',
      queue: 'failed',
      api: 'held-back',
      web: 'held-back',
    });
    expect(keptBack(walk).map(({ name }) => name)).toEqual(['api', 'web']);
    expect(nextStep(walk)).toBe('done');
    expect(verdictOf(walk, [])).toBe('failed');
  });

  it('has each member where it will be, with what it depends on', () => {
    const objects = [...shop(), ...shopIn('pay', 'shop/db')];
    const plan = mapPlan(planFor(objects), new Map([['shop', 'shop-2']]));
    const pay = membersOf(plan).find(({ name }) => name === 'pay');
    expect(pay?.dependsOn).toEqual(['shop-2/StatefulSet/db']);
    expect(plan.namespaces).toEqual(['pay', 'shop-2']);
    let walk = releaseNext(beginWalk(plan, RULES), 0);
    walk = looks(walk, 60_000, { db: SICK });
    expect(nextStep(walk)).toBe('stop');
  });

  it('never releases a member before all that it depends on are healthy, whatever is seen', () => {
    const seen = fc.constantFrom(
      {},
      SICK,
      HOPELESS,
      { judged: false },
      { level: 'refused' as const },
    );
    const priorities = fc.constantFrom('low', 'normal', 'high');
    const looksOf = fc.array(fc.record({ db: seen, queue: seen, api: seen, web: seen }), {
      minLength: 1,
      maxLength: 30,
    });
    fc.assert(
      fc.property(priorities, priorities, looksOf, (db, queue, all) => {
        let walk = begin({ db: { priority: db }, queue: { priority: queue } });
        let now = 0;
        for (const more of all) {
          if (nextStep(walk) === 'release') walk = releaseNext(walk, now);
          now += 20_000;
          walk = looks(walk, now, more);
          const phase = phases(walk);
          const open = (one: string) => phase[one] !== 'waiting' && phase[one] !== 'held-back';
          if (open('api')) expect([phase['db'], phase['queue']]).toEqual(['healthy', 'healthy']);
          if (open('web')) expect(phase['queue']).toBe('healthy');
        }
      }),
    );
  });
});

function shopIn(namespace: string, dependsOn: string) {
  return shop().flatMap((one) =>
    one.kind === 'StatefulSet' && one.metadata?.name === 'web'
      ? [
          {
            ...one,
            metadata: {
              ...one.metadata,
              name: 'pay',
              namespace,
              annotations: { 'quiesce.dev/depends-on': dependsOn },
            },
          },
        ]
      : [],
  );
}
