import { describe, expect, it } from 'vitest';
import {
  buildHooks as build,
  hookTimeouts,
  parseGoDuration,
} from '../../../src/cluster/inject/hooks.ts';

const buildHooks = (user: Record<string, string>, ms: number, copy?: Parameters<typeof build>[2]) =>
  build(user, hookTimeouts(undefined, ms, false), copy);

const PRE = 'pre.hook.backup.velero.io';
const POST = 'post.hook.backup.velero.io';
const codes = (user: Record<string, string>) =>
  buildHooks(user, 30_000).notices.map(({ code }) => code);

describe('the Velero hooks', () => {
  it('make a freeze time out before Velero gives up', () => {
    for (const [ms, freeze] of [
      [2_000, '1500ms'],
      [10_000, '8s'],
      [30_000, '25s'],
      [600_000, '595s'],
    ] as const) {
      const { annotations } = buildHooks({}, ms);
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

  it('refuse a freeze of which a volume must be copied after Velero’s thaw', () => {
    const command = (copy?: 'snapshot' | 'volumes' | 'files') =>
      JSON.parse(buildHooks({}, 30_000, copy).annotations[`${PRE}/command`] ?? '') as string[];
    expect(command('volumes')).toEqual(['quiesce', 'freeze', '--timeout', '25s', '--thaw-last']);
    for (const copy of [undefined, 'snapshot', 'files'] as const)
      expect(command(copy)).not.toContain('--thaw-last');
  });

  it('always set on-error and container, and fail the backup if the thaw fails', () => {
    expect(buildHooks({}, 30_000).annotations).toMatchObject({
      [`${PRE}/on-error`]: 'Continue',
      [`${PRE}/container`]: 'quiesce',
      [`${POST}/on-error`]: 'Fail',
      [`${POST}/container`]: 'quiesce',
      [`${POST}/command`]: '["quiesce","thaw"]',
    });
  });

  it('keep the user’s timeout, and fit the freeze into it', () => {
    const { annotations } = buildHooks({ [`${PRE}/timeout`]: '1m30s' }, 30_000);
    expect(annotations).not.toHaveProperty([`${PRE}/timeout`]);
    expect(annotations[`${PRE}/command`]).toContain('"85s"');
  });

  it('assume 30 s if Velero cannot read the timeout, and report it', () => {
    expect(codes({ [`${PRE}/timeout`]: '90' })).toEqual(['HookTimeoutUnreadable']);
    expect(
      buildHooks({ [`${PRE}/timeout`]: '90' }, 60_000).annotations[`${PRE}/command`],
    ).toContain('"25s"');
  });

  it.each([
    [{ [`${PRE}/command`]: '["/bin/sh","-c","fsfreeze"]' }],
    [{ [`${POST}/command`]: 'unfreeze' }],
    [{ [`${PRE}/container`]: 'postgres' }],
    [{ [`${PRE}/command`]: '["quiesce","freeze"]', [`${PRE}/container`]: 'other' }],
    [{ [`${PRE}/command`]: '["quiesce","thaw"]' }],
  ])(
    'are not added if the user has one of the two (%j), since half a pair is worse than none',
    (user) => {
      expect(buildHooks(user, 30_000).annotations).toEqual({});
      expect(codes(user)).toEqual(['HooksNotAdded']);
    },
  );

  it('complete a quiesce hook that the user wrote', () => {
    const user = {
      [`${PRE}/command`]: '["/usr/bin/quiesce","freeze","--ttl","20m","--timeout","20s"]',
    };
    const { annotations, notices } = buildHooks(user, 30_000);
    expect(notices).toEqual([]);
    expect(annotations).not.toHaveProperty([`${PRE}/command`]);
    expect(annotations[`${POST}/command`]).toBe('["quiesce","thaw"]');
  });

  it('report timeouts of the user that contradict each other', () => {
    const late = '["quiesce","freeze","--timeout","30s"]';
    expect(codes({ [`${PRE}/command`]: late })).toEqual(['HookTimeoutsContradict']);
    expect(codes({ [`${PRE}/command`]: late, [`${PRE}/timeout`]: '31s' })).toEqual([]);
    expect(
      codes({ [`${PRE}/command`]: '["quiesce","freeze"]', [`${PRE}/timeout`]: '10s' }),
    ).toEqual(['HookTimeoutsContradict']);
  });
});

describe('a Go duration', () => {
  it.each([
    ['30s', 30_000],
    ['1m30s', 90_000],
    ['1.5h', 5_400_000],
    ['.5s', 500],
    ['1h2m3s4ms', 3_723_004],
  ])('%s is read', (text, ms) => expect(parseGoDuration(text)).toBe(ms));

  it.each(['', '30', 's', '-1s', '0s', '1 m', '1d', '1..5s'])('%j is refused', (text) =>
    expect(parseGoDuration(text)).toBeUndefined(),
  );
});
