import { describe, expect, it } from 'vitest';
import { judgeRestore } from '../../src/receipt/restore-level.ts';

const ok = { ok: true };
const differs = { ok: false };
const unseen = { ok: false, unchecked: true };
const deep = (check: object) => ({ ...ok, ...check, deep: true });

describe('the level of a restore', () => {
  it('is refused only where something was found to differ', () => {
    expect(judgeRestore([ok, differs, unseen], false)).toEqual({ level: 'refused' });
    expect(judgeRestore([ok, unseen], false)).toEqual({ level: 'unproven', reason: 'unchecked' });
    expect(judgeRestore([ok, ok], false)).toEqual({ level: 'position' });
  });

  it.each([
    ['passed', 'content', [ok, deep({})]],
    ['failed', 'position', [ok, deep({}), deep(differs), deep(unseen)]],
    ['unchecked', 'position', [ok, deep(unseen), deep({})]],
    ['unchecked', 'position', [ok]],
    ['passed', 'unproven', [unseen, deep({})]],
    ['passed', 'refused', [differs, deep({})]],
  ] as const)('with a deep check that %s is %s', (content, level, checks) => {
    expect(judgeRestore(checks, true)).toMatchObject({ level, content });
  });
});
