import { describe, expect, it } from 'vitest';
import { parseGoDuration, planHooks } from '../../../src/cluster/inject/hooks.ts';

const PRE = 'pre.hook.backup.velero.io';
const POST = 'post.hook.backup.velero.io';
const codes = (user: Record<string, string>) =>
  planHooks(user, 30_000).notices.map(({ code }) => code);

describe('the Velero hooks', () => {
  it('let a freeze give up before Velero does', () => {
    for (const [ms, freeze] of [
      [2_000, '1500ms'],
      [10_000, '8s'],
      [30_000, '25s'],
      [600_000, '595s'],
    ] as const) {
      const { annotations } = planHooks({}, ms);
      expect(JSON.parse(annotations[`${PRE}/command`] ?? '')).toEqual([
        'quiesce',
        'freeze',
        '--timeout',
        freeze,
      ]);
      expect(parseGoDuration(freeze)).toBeLessThan(
        parseGoDuration(annotations[`${PRE}/timeout`] ?? '') ?? 0,
      );
    }
  });

  it('always name on-error and container, and thaw with the verdict', () => {
    expect(planHooks({}, 30_000).annotations).toMatchObject({
      [`${PRE}/on-error`]: 'Continue',
      [`${PRE}/container`]: 'quiesce',
      [`${POST}/on-error`]: 'Fail',
      [`${POST}/container`]: 'quiesce',
      [`${POST}/command`]: '["quiesce","thaw"]',
    });
  });

  it('go by a timeout that the user gave, which stays', () => {
    const { annotations } = planHooks({ [`${PRE}/timeout`]: '1m30s' }, 30_000);
    expect(annotations).not.toHaveProperty([`${PRE}/timeout`]);
    expect(annotations[`${PRE}/command`]).toContain('"85s"');
  });

  it('count with 30 s where Velero cannot read the timeout, and say so', () => {
    expect(codes({ [`${PRE}/timeout`]: '90' })).toEqual(['HookTimeoutUnreadable']);
    expect(planHooks({ [`${PRE}/timeout`]: '90' }, 60_000).annotations[`${PRE}/command`]).toContain(
      '"25s"',
    );
  });

  it.each([
    [{ [`${PRE}/command`]: '["/bin/sh","-c","fsfreeze"]' }],
    [{ [`${POST}/command`]: 'unfreeze' }],
    [{ [`${PRE}/container`]: 'postgres' }],
    [{ [`${PRE}/command`]: '["quiesce","freeze"]', [`${PRE}/container`]: 'other' }],
    [{ [`${PRE}/command`]: '["quiesce","thaw"]' }],
  ])('are none where the user has others (%j), for half of a pair is worse', (user) => {
    expect(planHooks(user, 30_000).annotations).toEqual({});
    expect(codes(user)).toEqual(['HooksNotAdded']);
  });

  it('complete a call of quiesce that the user wrote', () => {
    const user = {
      [`${PRE}/command`]: '["/usr/bin/quiesce","freeze","--ttl","20m","--timeout","20s"]',
    };
    const { annotations, notices } = planHooks(user, 30_000);
    expect(notices).toEqual([]);
    expect(annotations).not.toHaveProperty([`${PRE}/command`]);
    expect(annotations[`${POST}/command`]).toBe('["quiesce","thaw"]');
  });

  it('say where the user’s timeouts contradict each other', () => {
    const late = '["quiesce","freeze","--timeout","30s"]';
    expect(codes({ [`${PRE}/command`]: late })).toEqual(['HookTimeoutsContradict']);
    expect(codes({ [`${PRE}/command`]: late, [`${PRE}/timeout`]: '31s' })).toEqual([]);
    expect(
      codes({ [`${PRE}/command`]: '["quiesce","freeze"]', [`${PRE}/timeout`]: '10s' }),
    ).toEqual(['HookTimeoutsContradict']);
  });
});

describe('a duration of Go', () => {
  it.each([
    ['30s', 30_000],
    ['1m30s', 90_000],
    ['1.5h', 5_400_000],
    ['.5s', 500],
    ['1h2m3s4ms', 3_723_004],
  ])('%s', (text, ms) => expect(parseGoDuration(text)).toBe(ms));

  it.each(['', '30', 's', '-1s', '0s', '1 m', '1d', '1..5s'])('is not %j', (text) =>
    expect(parseGoDuration(text)).toBeUndefined(),
  );
});
