import { describe, expect, it } from 'vitest';
import { hashOf, Known } from '../../src/engines/shared/seal/known.ts';
import { Lanes } from '../../src/engines/shared/seal/lanes.ts';
import { Unsynced } from '../../src/engines/shared/seal/unsynced.ts';

describe('the list of what is not synced', () => {
  it('names the first hundred and counts the others', () => {
    const unsynced = new Unsynced();
    for (let n = 0; n < 12_445; n += 1) unsynced.add(`conf/${n}`, 'not reached in time');
    expect(unsynced.list).toHaveLength(101);
    expect(unsynced.list.at(-1)).toBe('… and 12,345 more');
    expect(unsynced.note).toContain('conf/0 (not reached in time)');
    expect(unsynced.note).toContain('12,442 more');
  });
});

describe('what is remembered', () => {
  it('a file in the state in which it was synced, unless it may have changed within a tick', () => {
    const state = { dev: 1, ino: 2, size: 3, ctimeMs: Date.now() - 5 };
    const known = new Known();
    known.add(state);
    expect(known.has(state), 'changed a moment ago').toBe(false);
    const old = { dev: 1, ino: 2, size: 3, ctimeMs: Date.now() - 60_000.25 };
    known.add(old);
    expect(known.has(old)).toBe(true);
    const changes = [{ dev: 2 }, { ino: 3 }, { size: 4 }, { ctimeMs: old.ctimeMs + 0.25 }];
    for (const change of changes) expect(known.has({ ...old, ...change })).toBe(false);
    const future = { ...old, ctimeMs: Date.now() + 3_600_000 };
    known.add(future);
    expect(known.has(future), 'a clock that is ahead').toBe(false);
  });

  it('with hashes that differ for 50,000 files', () => {
    const hashes = new Set<number>();
    for (let ino = 0; ino < 50_000; ino += 1) {
      hashes.add(
        hashOf({ dev: 7, ino, size: ino % 3, ctimeMs: 1_700_000_000_000 + (ino % 1_000) }),
      );
    }
    expect(hashes.size).toBe(50_000);
  });
});

it('calls that hang keep their lanes over the end of their freeze', async () => {
  const lanes = new Lanes(2);
  let end = (): void => undefined;
  const hanging = lanes.run(() =>
    lanes.on('conf', () => new Promise<void>((done) => (end = done))),
  );
  expect([lanes.free, lanes.busy, lanes.isBusy('conf')]).toEqual([1, ['conf'], true]);
  end();
  await hanging;
  expect([lanes.free, lanes.busy]).toEqual([2, []]);
});
