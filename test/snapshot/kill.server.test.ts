import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { heldBy, labels, shop, snapshot, start } from './shop.ts';
import { killAtEveryStep } from './kill.ts';

describe('kill -9', () => {
  it('leaves what the next run releases and marks', async () => {
    const made = await shop();
    const bind = made.api.cluster.onSnapshot;
    made.api.cluster.onSnapshot = () => undefined;
    const first = start(made.api);
    await expect.poll(() => labels(made).length, { timeout: 20_000 }).toBe(2);
    first.child.kill('SIGKILL');
    await sleep(100);
    expect(heldBy(made)).toEqual([1, 1]);
    made.api.cluster.onSnapshot = bind;
    const ended = await snapshot(made.api);
    expect([ended.code, ended.run.verdict]).toEqual([0, 'proven']);
    expect(ended.run.problems.map(({ message }) => message).join()).toMatch(
      /2 pods were still frozen/,
    );
    expect(
      labels(made)
        .map(String)
        .toSorted((a, b) => (a < b ? -1 : 1)),
    ).toEqual(['failed', 'failed', 'proven', 'proven']);
  });

  it('at a few steps leaves nothing frozen past its lease, and nothing falsely proven', async () => {
    const made = await shop();
    expect(await killAtEveryStep(made, { runs: 4, seed: 7, outwaitEvery: 0 })).toBe(4);
  });
});
