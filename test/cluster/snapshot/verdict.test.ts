import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type {
  FreezeFacts,
  MemberFacts,
  PodFacts,
  RunFacts,
} from '../../../src/cluster/snapshot/facts.ts';
import { judge } from '../../../src/cluster/snapshot/verdict.ts';
import type { CutSnapshot, PlannedClaim } from '../../../src/cluster/snapshot/volumes.ts';
import type { Receipt } from '../../../src/receipt/receipt.ts';

const ID = 'shop-20261130120000-0a1b';

const receipt = (more: Partial<Receipt>): Receipt =>
  ({
    kind: 'Receipt',
    id: ID,
    frozenAt: 't',
    writesBlocked: true,
    reasons: [],
    ...more,
  }) as Receipt;

const mark = (order: number) => ({ order, ms: order });

function perfect(): RunFacts {
  const freeze: FreezeFacts = {
    frozenAsked: mark(1),
    frozen: mark(2),
    held: receipt({ verdict: 'held' }),
    thawAsked: mark(5),
    thawed: mark(6),
    final: receipt({ verdict: 'consistent' }),
  };
  const pod: PodFacts = { name: 'db-0', uid: 'p', uidAtEnd: 'p', freeze };
  const member: MemberFacts = {
    namespace: 'shop',
    kind: 'StatefulSet',
    name: 'db',
    protection: 'sidecar',
    claims: ['data-db-0'],
    pods: [pod],
    atEnd: { pods: ['db-0'], claims: ['data-db-0'] },
    durable: false,
  };
  const claim: PlannedClaim = {
    namespace: 'shop',
    claim: 'data-db-0',
    uid: 'c',
    driver: 'd',
    snapshotClass: 's',
    atomic: true,
  };
  const snapshot: CutSnapshot = {
    namespace: 'shop',
    name: 'snap',
    claim: 'data-db-0',
    cut: true,
    ready: true,
    claimUid: 'c',
    cutAt: '2026-11-30T12:00:00Z',
  };
  return {
    id: ID,
    members: [member],
    claims: [claim],
    cutBegun: mark(3),
    cutSeen: mark(4),
    group: true,
    snapshots: [snapshot],
    leaseHeld: true,
    failures: [],
    startedAt: '2026-11-30T11:59:59Z',
    calledAt: '2026-11-30T11:59:59Z',
  };
}

const LOOSE = { claim: 'data-db-0', volume: 'data', why: 'Job/import writes to it' };

const unseen = (name: string): Receipt => {
  const restore = { [name === 'redis' ? 'dir' : 'dataDirectory']: null };
  const engine = { name, version: null, role: null, identity: {} };
  return receipt({ verdict: 'consistent', engine, restore });
};

type Change = (facts: RunFacts) => RunFacts;
const ofMember =
  (change: (member: MemberFacts) => MemberFacts): Change =>
  (facts) => ({ ...facts, members: facts.members.map((one) => change(one)) });
const ofPod = (change: (pod: PodFacts) => PodFacts): Change =>
  ofMember((member) => ({ ...member, pods: member.pods.map((one) => change(one)) }));
const ofFreeze = (more: Partial<FreezeFacts>): Change =>
  ofPod((pod) => ({ ...pod, freeze: { ...pod.freeze, ...more } }));
const ofSnapshot =
  (more: Partial<CutSnapshot>): Change =>
  (facts) => ({ ...facts, snapshots: facts.snapshots.map((one) => ({ ...one, ...more })) });
const ofClaim =
  (more: Partial<PlannedClaim>): Change =>
  (facts) => ({ ...facts, claims: facts.claims.map((one) => ({ ...one, ...more })) });

/** Each breaks one condition of a proven run. */
const BREAKS: readonly (readonly [string, 'failed' | 'unproven', Change])[] = [
  ['no freeze', 'failed', ofPod((pod) => ({ ...pod, freeze: undefined }))],
  ['no receipt of the freeze', 'failed', ofFreeze({ held: undefined })],
  [
    'a receipt of another freeze',
    'failed',
    ofFreeze({ held: receipt({ id: 'x', verdict: 'held' }) }),
  ],
  ['no answer to the thaw', 'failed', ofFreeze({ final: undefined })],
  ['not consistent', 'failed', ofFreeze({ final: receipt({ verdict: 'inconsistent' }) })],
  [
    'the thaw of another freeze',
    'failed',
    ofFreeze({ final: receipt({ id: 'x', verdict: 'consistent' }) }),
  ],
  [
    'the thaw of a later freeze',
    'failed',
    ofFreeze({ final: receipt({ frozenAt: 'u', verdict: 'consistent' }) }),
  ],
  ['frozen after the cut began', 'failed', ofFreeze({ frozen: mark(3.5) })],
  ['thaw asked before the cut was seen', 'failed', ofFreeze({ thawAsked: mark(3.5) })],
  ['no cut begun', 'failed', (facts) => ({ ...facts, cutBegun: undefined })],
  ['no cut seen', 'failed', (facts) => ({ ...facts, cutSeen: undefined })],
  ['another pod', 'failed', ofPod((pod) => ({ ...pod, uidAtEnd: 'q' }))],
  ['a pod that is gone', 'failed', ofPod((pod) => ({ ...pod, uidAtEnd: undefined }))],
  ['a pod without a uid', 'failed', ofPod((pod) => ({ ...pod, uid: '', uidAtEnd: '' }))],
  [
    'a new pod',
    'failed',
    ofMember((one) => ({ ...one, atEnd: { pods: ['db-0', 'db-1'], claims: one.claims } })),
  ],
  [
    'a new claim',
    'failed',
    ofMember((one) => ({ ...one, atEnd: { pods: ['db-0'], claims: ['data-db-0', 'n'] } })),
  ],
  ['no second look', 'failed', ofMember((one) => ({ ...one, atEnd: undefined }))],
  [
    'no pods',
    'failed',
    ofMember((one) => ({ ...one, pods: [], atEnd: { pods: [], claims: one.claims } })),
  ],
  ['no snapshot', 'failed', (facts) => ({ ...facts, snapshots: [] })],
  [
    'two snapshots',
    'failed',
    (facts) => ({ ...facts, snapshots: [...facts.snapshots, ...facts.snapshots] }),
  ],
  ['a snapshot that was not cut', 'failed', ofSnapshot({ cut: false })],
  ['a snapshot that is not ready', 'failed', ofSnapshot({ ready: false })],
  ['another claim', 'failed', ofSnapshot({ claimUid: 'z' })],
  ['a claim that is gone', 'failed', ofSnapshot({ claimUid: '' })],
  ['a claim that was left out', 'failed', (facts) => ({ ...facts, claims: [] })],
  ['no members', 'failed', (facts) => ({ ...facts, members: [] })],
  ['a lost Lease', 'failed', (facts) => ({ ...facts, leaseHeld: false })],
  [
    'a failure on the way',
    'failed',
    (facts) => ({ ...facts, failures: [{ code: 'X', message: 'x' }] }),
  ],
  ['a live copy', 'unproven', ofClaim({ atomic: false })],
  ['a claim that nothing freezes', 'unproven', ofMember((one) => ({ ...one, unfrozen: [LOOSE] }))],
  [
    'a database whose data is not cut',
    'unproven',
    (facts) => ({ ...facts, dataNotCut: ['It is on an emptyDir.'] }),
  ],
  ...(['postgres', 'mongodb', 'redis'] as const).map(
    (name) =>
      [
        `data that the sidecar of ${name} does not see`,
        'unproven',
        ofFreeze({ final: unseen(name) }),
      ] as const,
  ),
  [
    'another number of replicas meanwhile',
    'failed',
    ofMember((one) => ({
      ...one,
      revision: 'db 1',
      atEnd: { pods: ['db-0'], claims: one.claims, revision: 'db 3' },
    })),
  ],
  ['a member declared unfrozen', 'unproven', ofMember((one) => ({ ...one, protection: 'none' }))],
  [
    'a member at rest',
    'unproven',
    ofMember((one) => ({
      ...one,
      protection: 'at-rest',
      pods: [],
      atEnd: { pods: [], claims: one.claims },
    })),
  ],
];

describe('the verdict of a run', () => {
  it('is proven with a driver of which nothing is known: the run names it', () => {
    expect(judge(ofClaim({ atomic: 'unknown' })(perfect())).verdict).toBe('proven');
  });

  it('is proven where every condition holds, and exact in one group snapshot', () => {
    const { verdict, problems, together } = judge(perfect());
    expect([verdict, problems]).toEqual(['proven', []]);
    expect(together).toEqual({ kind: 'exact', at: '2026-11-30T12:00:00Z' });
  });

  it.each(BREAKS)('is not proven with %s', (_name, verdict, change) => {
    const judged = judge(change(perfect()));
    expect(judged.verdict).toBe(verdict);
    expect(judged.problems.length).toBeGreaterThan(0);
    expect(judged.together).toBeUndefined();
  });

  it('is proven with a claim that is declared to need no freeze, says so, and is not exact', () => {
    const declared = { ...LOOSE, declared: 'quiesce.dev/freeze: data=none' };
    const judged = judge(ofMember((one) => ({ ...one, unfrozen: [declared] }))(perfect()));
    expect([judged.verdict, judged.together?.kind]).toEqual(['proven', 'complete-to']);
    expect(judged.problems.map(({ code }) => code)).toEqual(['CLAIM_UNFROZEN']);
  });

  it('asks no freeze of pods that only read', () => {
    const reader = ofMember((one) => ({ ...one, protection: 'not-needed' }));
    expect(judge(ofPod((pod) => ({ ...pod, freeze: undefined }))(reader(perfect()))).verdict).toBe(
      'proven',
    );
  });

  it('is never proven with any number of them, in any order', () => {
    const some = fc.uniqueArray(fc.nat(BREAKS.length - 1), { minLength: 1, maxLength: 6 });
    fc.assert(
      fc.property(some, (chosen) => {
        const facts = chosen.reduce((one, index) => BREAKS[index]?.[2](one) ?? one, perfect());
        // Some undo one another: a member that nothing froze needs no receipt.
        const undone = JSON.stringify(facts) === JSON.stringify(perfect());
        return undone || judge(facts).verdict !== 'proven';
      }),
      { numRuns: 2_000 },
    );
  });

  it('follows only the order of steps: no time of day changes it', () => {
    const times = fc.date({ noInvalidDate: true }).map((one) => one.toISOString());
    fc.assert(
      fc.property(times, times, times, (frozenAt, cutAt, calledAt) => {
        const shifted = ofFreeze({
          held: receipt({ verdict: 'held', frozenAt, expiresAt: cutAt }),
          final: receipt({ verdict: 'consistent', frozenAt, thawedAt: calledAt }),
        })({ ...ofSnapshot({ cutAt })(perfect()), calledAt });
        return judge(shifted).verdict === 'proven';
      }),
    );
  });
});

describe('how the members stand to one another', () => {
  const sealed = ofFreeze({ final: receipt({ verdict: 'consistent', writesBlocked: false }) });
  const kindOf = (facts: RunFacts) => judge(facts).together?.kind;

  it('is exact only if the cut is one, and each blocks writers or is durable at each commit', () => {
    expect(kindOf({ ...perfect(), group: false })).toBe('complete-to');
    expect(kindOf(sealed(perfect()))).toBe('complete-to');
    expect(kindOf(ofMember((one) => ({ ...one, durable: true }))(sealed(perfect())))).toBe('exact');
  });

  it('names the moment of the driver’s clock only where the clock of the command allows it', () => {
    const whole = { ...perfect(), cutBegun: mark(3), cutSeen: { order: 4, ms: 2_500 } };
    const at = (cutAt: string) => judge(ofSnapshot({ cutAt })(whole)).together;
    for (const cutAt of ['2026-11-30T11:59:59Z', '2026-11-30T12:00:01Z']) {
      expect(at(cutAt)).toEqual({ kind: 'exact', at: cutAt });
    }
    for (const driverAt of ['2026-11-30T12:59:59Z', '2026-11-30T11:00:00Z', 'never']) {
      expect(at(driverAt)).toEqual({
        kind: 'exact',
        at: '2026-11-30T11:59:59.003Z',
        until: '2026-11-30T12:00:01.500Z',
        driverAt,
      });
    }
  });

  it('is else complete to the moment before the first freeze was asked', () => {
    const { together } = judge({ ...perfect(), group: false });
    expect(together?.at).toBe('2026-11-30T11:59:59Z');
  });

  it('by the clock that is furthest behind: a command’s clock that is ahead claims no later writes', () => {
    const requestedAt = '2026-11-30T11:00:01Z';
    const held = receipt({ verdict: 'held', requestedAt });
    const { together } = judge(ofFreeze({ held })({ ...perfect(), group: false }));
    expect(together?.at).toBe(requestedAt);
  });
});
