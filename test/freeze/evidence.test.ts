import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { by, CoordinatorRig, failure, receiptOf } from '../support/coordinator-rig.ts';

let rig: CoordinatorRig;
beforeEach(async () => {
  rig = await CoordinatorRig.make();
});
afterEach(() => rig.remove());

describe('the evidence of a freeze on the volume', () => {
  const folder = (): string => dirname(rig.receiptPath);
  const label = (): string => join(folder(), 'scripted.label');

  it.each<[string, () => Promise<unknown>]>([
    ['the whole folder is gone', () => rm(folder(), { recursive: true })],
    ['the receipt is gone', () => rm(rig.receiptPath)],
    ['a file that a restore must put back is gone', () => rm(label())],
    ['a file that a restore must put back is changed', () => writeFile(label(), 'another\n')],
    ['the receipt is truncated', () => writeFile(rig.receiptPath, '{}')],
    [
      'the receipt belongs to another freeze',
      async () => {
        const text = await readFile(rig.receiptPath, 'utf8');
        await writeFile(rig.receiptPath, text.replace('"id": "a"', '"id": "b"'));
      },
    ],
    [
      'a folder has replaced the receipt',
      async () => {
        await rm(rig.receiptPath);
        await mkdir(rig.receiptPath);
      },
    ],
  ])('is lost, and the thaw fails, where %s', async (_, spoil) => {
    const c = rig.coordinator();
    const held = await c.freeze({ id: 'a', by });
    expect(held.evidence.onVolume).toBe(true);
    await spoil();
    const thaw = await failure(c.thaw({ id: 'a', by }));
    expect(thaw).toMatchObject({ code: 'NOT_CONSISTENT' });
    expect(receiptOf(thaw).reasons).toContain('evidence-lost');
    expect(rig.engine.held).toBe(0);
  });

  it('is not required where the freeze could write nothing there and its receipt says so', async () => {
    await rm(join(rig.root, 'data'), { recursive: true });
    const c = rig.coordinator();
    expect((await c.freeze({ id: 'a', by })).evidence.onVolume).toBe(false);
    const thawed = await c.thaw({ id: 'a', by });
    expect(thawed).toMatchObject({ verdict: 'consistent', evidence: { onVolume: false } });
  });

  it('is intact after a renewal, and after an earlier freeze that lost its evidence', async () => {
    const c = rig.coordinator();
    await c.freeze({ id: 'a', by });
    await rm(folder(), { recursive: true });
    await failure(c.thaw({ by }));
    await c.freeze({ id: 'b', by });
    await c.freeze({ id: 'b', renew: true, by });
    expect(await c.thaw({ by })).toMatchObject({ verdict: 'consistent' });
  });
});
