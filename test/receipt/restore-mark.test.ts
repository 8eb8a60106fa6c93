import { describe, expect, it } from 'vitest';
import { originOf, parseRestoreMark, RESTORE_MARK } from '../../src/receipt/restore-mark.ts';

describe('the mark of a pod', () => {
  it.each([
    [undefined, undefined],
    ['', null],
    [',', null],
    ['monday,', 'monday'],
    [',tuesday', 'tuesday'],
    ['monday,tuesday', 'monday,tuesday'],
    ['monday,monday', 'monday'],
  ])('%j is read as %j', (text, mark) => {
    expect(parseRestoreMark(text)).toBe(mark);
  });

  it.each(['a b', 'a\n', '$(QUIESCE_RESTORE_MARK)', 'x'.repeat(254)])('%j is refused', (text) => {
    expect(RESTORE_MARK.pattern.test(text)).toBe(false);
  });
});

describe('where the data of a pod comes from', () => {
  it.each([
    ['a live pod that never was restored', null, null, 'live'],
    ['a restored pod, restarted in place', 'x', 'x', 'live'],
    ['the successor of a restored pod, without its label', 'x', null, 'live'],
    ['the first restore', null, 'x', 'copy'],
    ['a second restore of the copy of a restored pod', 'x', 'y', 'copy'],
    ['the receipt of a release that recorded no mark', undefined, 'x', 'copy'],
    ['the same, in a pod that no restore made', undefined, null, 'live'],
    ['a name that stays in the template, restored by Velero', 'git', 'x,git', 'copy'],
    ['its successor, which keeps the name of the template only', 'x,git', 'git', 'live'],
    ['its second restore', 'x,git', 'y,git', 'copy'],
    ['the same names in another order', 'x,git', 'git,x', 'live'],
    ['a pod of which nobody said anything', 'x', undefined, 'unknown'],
  ] as const)('%s', (_, inReceipt, ofPod, origin) => {
    const receipt = inReceipt === undefined ? {} : { restoreMark: inReceipt };
    expect(originOf(receipt, ofPod)).toBe(origin);
  });
});
