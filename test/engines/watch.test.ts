import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import type { Breach } from '../../src/engines/engine.ts';
import { Looks } from '../../src/engines/shared/watch.ts';

const BREACH: readonly Breach[] = [{ code: 'server-lost', note: 'It is gone.' }];

describe('looks at a held server', () => {
  it('continue until one finds a breach, which becomes the reason of the loss', async () => {
    let asked = 0;
    const looks = new Looks({
      everyMs: 5,
      look: async () => {
        asked += 1;
        return asked < 3 ? [] : BREACH;
      },
    });
    await expect.poll(() => looks.lost.aborted).toBe(true);
    expect(looks.lost.reason).toBe(BREACH);
    await sleep(30);
    expect(asked).toBe(3);
  });

  it('do not count a failed look as a loss, unless `failed` returns a breach', async () => {
    const seen: number[] = [];
    let asked = 0;
    const looks = new Looks({
      everyMs: 5,
      look: async () => {
        asked += 1;
        if (asked === 2) return [];
        throw new Error('no answer');
      },
      failed: (_error, failures) => {
        seen.push(failures);
        return failures === 2 ? BREACH : [];
      },
    });
    await expect.poll(() => looks.lost.aborted, { timeout: 5_000 }).toBe(true);
    expect(seen).toEqual([1, 1, 2]);
  });

  it('declare no loss after a stop, which waits for the last one', async () => {
    let ended = false;
    const looks = new Looks({
      look: async () => {
        await sleep(30);
        ended = true;
        return BREACH;
      },
    });
    await sleep(5);
    await looks.stop();
    expect(ended).toBe(true);
    looks.declare(BREACH);
    expect([looks.over, looks.lost.aborted]).toEqual([true, false]);
  });

  it('begin after the given delay', async () => {
    let asked = 0;
    const looks = new Looks({
      firstAfterMs: 60_000,
      look: async () => {
        asked += 1;
        return [];
      },
    });
    await sleep(20);
    await looks.stop();
    expect(asked).toBe(0);
  });
});
