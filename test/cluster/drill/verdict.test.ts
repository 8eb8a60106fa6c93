import { describe, expect, it } from 'vitest';
import {
  type CopyResult,
  memberResult,
  rpoOf,
  verdictOf,
} from '../../../src/cluster/drill/verdict.ts';
import type { Judged } from '../../../src/cluster/drill/states.ts';

const RUN = 'shop-20261130020000-cd34';
const member = {
  namespace: 'shop',
  kind: 'StatefulSet',
  name: 'db',
  engine: 'postgres',
  doubts: [],
};
const copy = (judged: Partial<Judged> | undefined, own: Partial<CopyResult> = {}): CopyResult => ({
  pod: 'db-0',
  notes: [],
  bytes: 100,
  createdMs: 1_000,
  readyMs: 2_000,
  judgedMs: 3_000,
  ...(judged && {
    judged: {
      level: 'position',
      message: 'm',
      receipt: RUN,
      dataAt: '2026-11-30T02:00:00Z',
      ...judged,
    },
  }),
  ...own,
});
const expected = { deep: false, receiptId: RUN };

function verdict(
  copies: readonly CopyResult[],
  own: { deep?: boolean; doubts?: typeof member.doubts } = {},
) {
  const all = { ...expected, deep: own.deep ?? false };
  const one = memberResult({ ...member, doubts: own.doubts ?? [] }, copies, all);
  return { one, verdict: verdictOf([one], [], all) };
}

describe('the verdict of a drill', () => {
  it('proven: every copy of every member has its data by position', () => {
    const { one, verdict: all } = verdict([copy({}), copy({ level: 'content' }, { pod: 'db-1' })]);
    expect([one.level, all, one.bytes]).toEqual(['position', 'proven', 200]);
    expect(one.timeline).toEqual({
      releasedMs: 1_000,
      readyMs: 2_000,
      verifiedMs: 3_000,
      healthyMs: 3_000,
    });
  });

  it('one replica without its data is enough for unproven', () => {
    const { one, verdict: all } = verdict([copy({}), copy({ level: 'unproven' }, { pod: 'db-1' })]);
    expect([one.level, all]).toEqual(['unproven', 'unproven']);
  });

  it('data that contradicts its receipt has failed', () => {
    const { one, verdict: all } = verdict([
      copy({ level: 'refused', message: 'before the position' }),
    ]);
    expect([one.level, all, one.problems[0]?.message]).toEqual([
      'refused',
      'failed',
      'before the position',
    ]);
  });

  it('the receipt of another freeze is never position', () => {
    const { one, verdict: all } = verdict([copy({ receipt: 'shop-20261129020000-0000' })]);
    expect([one.level, all, one.problems[0]?.code]).toEqual([
      'unproven',
      'failed',
      'RECEIPT_OF_ANOTHER',
    ]);
    expect(one.problems[0]?.message).toContain(RUN);
  });

  it('a copy that was not judged in time, or did not start, has failed', () => {
    const { readyMs: _, judgedMs: __, ...begun } = copy(undefined);
    expect(verdict([begun]).verdict).toBe('failed');
    expect(verdict([{ ...begun, failed: { code: 'CRASH_LOOP', why: 'x' } }]).verdict).toBe(
      'failed',
    );
    expect(verdict([{ ...begun, failed: { code: 'RESTORE_REFUSED', why: 'x' } }]).one.level).toBe(
      'refused',
    );
  });

  it('the deep check counts where it was asked for', () => {
    expect(verdict([copy({ level: 'content', content: 'passed' })], { deep: true }).verdict).toBe(
      'proven',
    );
    expect(verdict([copy({ content: 'unchecked' })], { deep: true }).verdict).toBe('unproven');
    expect(verdict([copy({ content: 'failed' })], { deep: true }).one.level).toBe('refused');
  });

  it('a member of which nothing was looked at is unproven', () => {
    const doubts = [
      { code: 'VOLUME_NOT_IN_SOURCE', message: 'no snapshot' },
    ] as unknown as typeof member.doubts;
    const { one, verdict: all } = verdict([], { doubts });
    expect([one.level, all]).toEqual(['unproven', 'unproven']);
  });

  it('a source that is itself unproven makes no proven drill; any other problem a failed one', () => {
    const { one } = verdict([copy({})]);
    const problem = (code: string) => [{ code, message: 'm' }];
    expect(verdictOf([one], problem('SOURCE_UNPROVEN'), expected)).toBe('unproven');
    expect(verdictOf([one], problem('DRILL_NOT_REMOVED'), expected)).toBe('failed');
    expect(verdictOf([], [], expected)).toBe('failed');
  });

  it('the age of the data is that of the oldest member, and unknown where one is unknown', () => {
    const { one } = verdict([copy({}), copy({ dataAt: '2026-11-30T01:00:00Z' }, { pod: 'db-1' })]);
    const start = Date.parse('2026-11-30T03:00:00Z');
    expect(rpoOf([one], start)).toBe(7_200);
    const { dataAt: _, ...unknown } = one;
    expect(rpoOf([one, unknown], start)).toBeUndefined();
  });
});
