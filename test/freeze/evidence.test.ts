import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { by, CoordinatorRig, failure, receiptOf } from '../support/coordinator-rig.ts';

let rig: CoordinatorRig;
beforeEach(async () => {
  rig = await CoordinatorRig.make();
});
afterEach(() => rig.remove());

describe('at the thaw, what the freeze has left on the volume', () => {
  const folder = (): string => dirname(rig.receiptPath);
  const label = (): string => join(folder(), 'scripted.label');

  it.each<[string, () => Promise<unknown>]>([
    ['the whole folder is gone', () => rm(folder(), { recursive: true })],
    ['the receipt is gone', () => rm(rig.receiptPath)],
    ['what a restore must put back is gone', () => rm(label())],
    ['what a restore must put back is changed', () => writeFile(label(), 'another\n')],
    ['the receipt is cut short', () => writeFile(rig.receiptPath, '{}')],
    [
      'the receipt is another freeze’s',
      async () => {
        const text = await readFile(rig.receiptPath, 'utf8');
        await writeFile(rig.receiptPath, text.replace('"id": "a"', '"id": "b"'));
      },
    ],
    [
      'a folder has its name',
      async () => {
        await rm(rig.receiptPath);
        await mkdir(rig.receiptPath);
      },
    ],
  ])('is not there as it was: %s', async (_, spoil) => {
    const c = rig.coordinator();
    const held = await c.freeze({ id: 'a', by });
    expect(held.evidence.onVolume).toBe(true);
    await spoil();
    const thaw = await failure(c.thaw({ id: 'a', by }));
    expect(thaw).toMatchObject({ code: 'NOT_CONSISTENT' });
    expect(receiptOf(thaw).reasons).toContain('evidence-lost');
    expect(rig.engine.held).toBe(0);
  });

  it('is not asked for where the freeze could put nothing there, which its receipt says', async () => {
    await rm(join(rig.root, 'data'), { recursive: true });
    const c = rig.coordinator();
    expect((await c.freeze({ id: 'a', by })).evidence.onVolume).toBe(false);
    const thawed = await c.thaw({ id: 'a', by });
    expect(thawed).toMatchObject({ verdict: 'consistent', evidence: { onVolume: false } });
  });

  it('is there also after a renewal, and after a freeze that went wrong before', async () => {
    const c = rig.coordinator();
    await c.freeze({ id: 'a', by });
    await rm(folder(), { recursive: true });
    await failure(c.thaw({ by }));
    await c.freeze({ id: 'b', by });
    await c.freeze({ id: 'b', renew: true, by });
    expect(await c.thaw({ by })).toMatchObject({ verdict: 'consistent' });
  });
});
