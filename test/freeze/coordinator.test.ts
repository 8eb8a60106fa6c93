import { existsSync, readdirSync } from 'node:fs';
import { chmod, mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { pino } from 'pino';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { QuiesceError } from '../../src/errors.ts';
import type { Coordinator, CoordinatorDeps } from '../../src/freeze/coordinator.ts';
import { Journal } from '../../src/freeze/journal.ts';
import { receiptSchema } from '../../src/receipt/receipt.ts';
import { ReceiptVolume } from '../../src/receipt/volume.ts';
import { by, CoordinatorRig, failure, receiptOf } from '../support/coordinator-rig.ts';
import { silentObserver } from '../support/deaf-observer.ts';
import { abortable, ScriptedEngine } from '../support/scripted-engine.ts';

let rig: CoordinatorRig;
let root: string;
let engine: ScriptedEngine;
let consistency: boolean[];
let autoThaws: number;

beforeEach(async () => {
  rig = await CoordinatorRig.make();
  ({ root, engine } = rig);
  consistency = [];
  autoThaws = 0;
});
afterEach(() => rig.remove());

const receiptPath = (): string => rig.receiptPath;

function coordinator(change: Partial<CoordinatorDeps> = {}): Coordinator {
  return rig.coordinator({
    observer: {
      ...silentObserver,
      consistency: (ok) => consistency.push(ok),
      autoThaw: () => {
        autoThaws += 1;
      },
    },
    ...change,
  });
}

it('tells the engine that its caller’s thaw comes last', async () => {
  const told: unknown[] = [];
  engine.onHold = async (_signal, { thawLast }) => {
    told.push(thawLast);
  };
  const c = coordinator();
  await c.freeze({ id: 'last', by, thawLast: true, timeoutMs: 20_000 });
  await c.thaw({ by });
  await c.freeze({ id: 'any', by, timeoutMs: 20_000 });
  expect(told).toEqual([true, false]);
});

describe('a hold that fails halfway', () => {
  it('is undone from what the engine had recorded, with retries until that succeeds', async () => {
    const asked: unknown[] = [];
    engine.onHold = async (_signal, context) => {
      await context.remember({ setting: 'was' });
      throw new QuiesceError('ENGINE_FAILED', 'The server went away in the middle.');
    };
    engine.onRecover = async (journal) => {
      asked.push(journal);
      expect(existsSync(join(root, 'state/open.json'))).toBe(true);
      if (asked.length === 1) throw new QuiesceError('ENGINE_UNREACHABLE', 'It is still away.');
    };
    const c = coordinator();
    expect((await failure(c.freeze({ id: 'half', by }))).code).toBe('ENGINE_FAILED');
    await expect.poll(() => c.phase).toBe('thawed');
    expect(asked).toEqual([{ setting: 'was' }, { setting: 'was' }]);
    await expect.poll(() => existsSync(join(root, 'state/open.json'))).toBe(false);
  });

  it('is not undone where the engine had recorded nothing', async () => {
    engine.onHold = async () => {
      throw new QuiesceError('ENGINE_FAILED', 'It refused.');
    };
    const c = coordinator();
    await failure(c.freeze({ id: 'refused', by }));
    await expect.poll(() => c.phase).toBe('thawed');
    expect(engine.calls).not.toContain('recover');
  });
});

describe('a freeze and its thaw', () => {
  it('give a held receipt, then a consistent one that is valid by the published schema', async () => {
    const c = coordinator();
    const held = await c.freeze({ id: 'a', by });
    expect(held).toMatchObject({
      id: 'a',
      verdict: 'held',
      mode: 'sealed',
      evidence: { onVolume: true },
    });
    const thawed = await c.thaw({ by });
    expect(thawed).toMatchObject({ id: 'a', verdict: 'consistent', reasons: [] });
    expect(receiptSchema.parse(thawed)).toEqual(thawed);
    expect(thawed.durationsMs.held).toBeGreaterThan(0);
    expect(consistency).toEqual([true]);
    expect(engine.held).toBe(0);
  });

  it('write the receipt last, and remove it before anything is released', async () => {
    const c = coordinator();
    engine.onHold = async () => expect(existsSync(receiptPath())).toBe(false);
    const seen: boolean[] = [];
    engine.onCheck = async () => {
      seen.push(existsSync(receiptPath()));
      return [];
    };
    engine.onRelease = async () => void seen.push(existsSync(receiptPath()));
    await c.freeze({ id: 'a', by });
    expect(JSON.parse(await readFile(receiptPath(), 'utf8'))).toMatchObject({
      id: 'a',
      verdict: 'held',
    });
    expect(await readFile(join(root, 'data/.quiesce/scripted.label'), 'utf8')).toBe('label\n');
    await c.thaw({ by });
    expect(seen).toEqual([false, false]);
    expect(readdirSync(join(root, 'data/.quiesce'))).toEqual([]);
  });

  it('report the success once: later thaws fail with the receipt, and say who thawed and when', async () => {
    const c = coordinator();
    await c.freeze({ id: 'a', by });
    const first = await c.thaw({ by: 'velero' });
    expect(first).toMatchObject({ verdict: 'consistent', thawedBy: 'velero' });
    for (const id of [{}, { id: 'a' }]) {
      const again = await failure(c.thaw({ ...id, by }));
      expect(again).toMatchObject({ code: 'ALREADY_THAWED', status: 409, exit: 7 });
      expect(again.message).toContain('by velero');
      expect(again.message).toContain(first.thawedAt);
      expect(receiptOf(again)).toEqual(first);
    }
    expect(engine.calls).toEqual(['prepare', 'hold', 'check', 'release']);
    expect(c.receipts()).toEqual([first]);
  });

  it('report the success to the first of several simultaneous thaws', async () => {
    const c = coordinator();
    await c.freeze({ id: 'a', by });
    const all = await Promise.allSettled([c.thaw({ by }), c.thaw({ id: 'a', by }), c.thaw({ by })]);
    expect(all).toMatchObject([
      { status: 'fulfilled', value: { verdict: 'consistent' } },
      { status: 'rejected', reason: { code: 'ALREADY_THAWED' } },
      { status: 'rejected', reason: { code: 'ALREADY_THAWED' } },
    ]);
    expect(engine.calls.filter((call) => call === 'release')).toHaveLength(1);
  });

  it('report no success where the release failed at first: a second thaw is too late', async () => {
    const c = coordinator();
    await c.freeze({ id: 'a', by });
    let tries = 0;
    engine.onRelease = async () => {
      tries += 1;
      if (tries === 1) throw new QuiesceError('ENGINE_UNREACHABLE', 'not yet');
    };
    expect(await failure(c.thaw({ id: 'a', by }))).toMatchObject({ code: 'ENGINE_FAILED' });
    await expect.poll(() => c.phase).toBe('thawed');
    expect(await failure(c.thaw({ id: 'a', by }))).toMatchObject({ code: 'ALREADY_THAWED' });
  });

  it('fail with NOT_FROZEN where nothing was ever frozen, or another id is', async () => {
    const c = coordinator();
    expect(await failure(c.thaw({ by }))).toMatchObject({ code: 'NOT_FROZEN' });
    await c.freeze({ id: 'a', by });
    expect(await failure(c.thaw({ id: 'b', by }))).toMatchObject({ code: 'NOT_FROZEN' });
    expect(c.phase).toBe('frozen');
    await c.thaw({ id: 'a', by });
  });

  it('generate an id where the caller gives none', async () => {
    const c = coordinator();
    const { id } = await c.freeze({ by });
    expect(id).toMatch(/^\d{8}T\d{6}Z-[0-9a-f]{8}$/);
    await c.thaw({ id, by });
  });
});

describe('single flight', () => {
  it('renews the lease on request, and returns the same receipt', async () => {
    const c = coordinator();
    const first = await c.freeze({ id: 'a', ttlMs: 1_000, by });
    const again = await c.freeze({ id: 'a', ttlMs: 50_000, renew: true, by });
    expect({ ...again, expiresAt: null }).toEqual({ ...first, expiresAt: null });
    expect(c.lease()?.remainingMs).toBeGreaterThan(40_000);
    expect(engine.calls).toEqual(['prepare', 'hold']);
    await c.thaw({ by });
  });

  it('renews only a freeze that is held with that id', async () => {
    const c = coordinator();
    const renewal = (id?: string) => failure(c.freeze({ ...(id ? { id } : {}), renew: true, by }));
    expect(await renewal('a')).toMatchObject({ code: 'NOT_FROZEN', field: 'id' });
    expect(await renewal()).toMatchObject({ code: 'INVALID_FIELD', field: 'id' });
    await c.freeze({ id: 'a', by });
    expect(await renewal('b')).toMatchObject({ code: 'FREEZE_HELD' });
    expect(await c.thaw({ by })).toMatchObject({ verdict: 'consistent' });
    expect(await renewal('a')).toMatchObject({ code: 'NOT_FROZEN' });
  });

  it('refuses a freeze with the same id, another or none, and says whose freeze is open and how to end it', async () => {
    const c = coordinator();
    await c.freeze({ id: 'a', by: 'velero' });
    for (const id of ['b', undefined, 'a']) {
      const error = await failure(c.freeze({ ...(id ? { id } : {}), by }));
      expect(error).toMatchObject({ code: 'FREEZE_HELD', status: 409, exit: 4 });
      expect(error.message).toContain('Freeze a by velero');
      expect(error.hint).toContain('quiesce thaw --abandon --id a');
      expect(error.hint).toContain('quiesce freeze --wait');
    }
    // The thaw may belong to the refused freeze with this id.
    const thaw = await failure(c.thaw({ id: 'a', by }));
    expect(receiptOf(thaw)).toMatchObject({ reasons: ['thaw-ambiguous'] });
  });

  it('does not give the success of an earlier freeze to the thaw of a refused freeze with the same id', async () => {
    const c = coordinator();
    await c.freeze({ id: 'nightly', by });
    await c.thaw({ id: 'nightly', by });
    await c.freeze({ id: 'other', by });
    expect((await failure(c.freeze({ id: 'nightly', by }))).code).toBe('FREEZE_HELD');
    expect((await failure(c.thaw({ id: 'nightly', by }))).code).toBe('NOT_FROZEN');
    await c.thaw({ id: 'other', by });
    expect((await failure(c.thaw({ id: 'nightly', by }))).code).toBe('NOT_FROZEN');
    await c.freeze({ id: 'nightly', by });
    expect((await c.thaw({ id: 'nightly', by })).verdict).toBe('consistent');
  });

  it('refuses a lease or a timeout longer than allowed, names the field, and freezes nothing', async () => {
    const c = coordinator({ ttlMaxMs: 1_000 });
    expect(await failure(c.freeze({ ttlMs: 1_001, by }))).toMatchObject({
      code: 'INVALID_FIELD',
      field: 'ttl',
    });
    expect(await failure(c.freeze({ ttlMs: 10, timeoutMs: 24 * 3_600_000 + 1, by }))).toMatchObject(
      {
        field: 'timeout',
      },
    );
    expect(engine.calls).toEqual([]);
  });
});

describe('the lease', () => {
  it('expires, and a thaw after that fails and says so', async () => {
    const c = coordinator();
    await c.freeze({ id: 'a', ttlMs: 40, by });
    await expect.poll(() => engine.held).toBe(0);
    expect(existsSync(receiptPath())).toBe(false);
    const late = await failure(c.thaw({ by }));
    expect(late).toMatchObject({ code: 'NOT_CONSISTENT', exit: 7 });
    expect(receiptOf(late)).toMatchObject({ verdict: 'inconsistent', reasons: ['lease-expired'] });
    expect(autoThaws).toBe(1);
    expect(consistency).toEqual([false]);
  });

  it('that expired leaves a late thaw, which does not get the success of the next freeze', async () => {
    const c = coordinator();
    await c.freeze({ id: 'a', ttlMs: 2_000, by });
    await expect.poll(() => c.phase, { timeout: 5_000 }).toBe('thawed');
    await c.freeze({ id: 'b', by });
    const late = await failure(c.thaw({ by }));
    expect(late).toMatchObject({ code: 'NOT_CONSISTENT', exit: 7 });
    expect(late.hint).toContain('--wait');
    expect(receiptOf(late)).toMatchObject({ id: 'b', reasons: ['thaw-ambiguous'] });
    expect(engine.held).toBe(0);
    expect(await failure(c.thaw({ id: 'b', by }))).toMatchObject({ code: 'NOT_CONSISTENT' });

    await c.freeze({ id: 'c', by });
    expect(await c.thaw({ by })).toMatchObject({ id: 'c', verdict: 'consistent' });
    expect(consistency).toEqual([false, false, true]);
  });

  it('that was lost leaves a late thaw, which does not spoil a thaw with the id of the next freeze', async () => {
    const c = coordinator();
    await c.freeze({ id: 'a', by });
    engine.lose();
    await expect.poll(() => c.phase).toBe('thawed');
    await c.freeze({ id: 'b', by });
    const [own, late] = await Promise.allSettled([c.thaw({ id: 'b', by }), c.thaw({ by })]);
    expect(own).toMatchObject({ value: { id: 'b', verdict: 'consistent' } });
    expect(late).toMatchObject({ reason: { code: 'ALREADY_THAWED' } });
    expect(await failure(c.thaw({ id: 'b', by }))).toMatchObject({ code: 'ALREADY_THAWED' });
  });

  it('has expired for a thaw that arrives after its end but before the timer', async () => {
    let skew = 0;
    const c = coordinator({ now: () => performance.now() + skew });
    await c.freeze({ id: 'a', ttlMs: 10_000, by });
    skew = 20_000;
    expect(receiptOf(await failure(c.thaw({ by }))).reasons).toEqual(['lease-expired']);
  });

  it('ends immediately when the hold is lost, and the thaw says what was lost', async () => {
    const c = coordinator();
    await c.freeze({ id: 'a', by });
    engine.lose();
    await expect.poll(() => c.phase).toBe('thawed');
    expect(receiptOf(await failure(c.thaw({ by }))).reasons).toEqual(['hold-lost', 'server-lost']);
  });

  it('is not consistent when the engine cannot prove it', async () => {
    const c = coordinator();
    engine.onCheck = async () => [{ code: 'server-restarted', note: 'It restarted.' }];
    await c.freeze({ id: 'a', by });
    const error = await failure(c.thaw({ by }));
    expect(receiptOf(error).reasons).toEqual(['server-restarted']);
    expect(error.message).toContain('It restarted.');
    engine.onCheck = async () => {
      throw new QuiesceError('ENGINE_UNREACHABLE', 'gone');
    };
    await c.freeze({ id: 'b', by });
    expect(receiptOf(await failure(c.thaw({ by }))).reasons).toEqual(['not-provable']);
    expect(engine.held).toBe(0);
  });
});

describe('a freeze whose hold is never in place', () => {
  it('is rolled back at its deadline, and the call fails', async () => {
    const c = coordinator();
    engine.onHold = (signal) => abortable(60_000, signal);
    const error = await failure(c.freeze({ id: 'a', timeoutMs: 30, by }));
    expect(error).toMatchObject({ code: 'FREEZE_TIMEOUT', exit: 6 });
    expect(error.message).toContain('rolled back');
    expect(c.phase).toBe('thawed');
    expect(existsSync(receiptPath())).toBe(false);
  });

  it('releases a hold that arrives after the deadline, however late', async () => {
    const c = coordinator();
    engine.onHold = () => new Promise((resolve) => setTimeout(resolve, 900));
    expect(await failure(c.freeze({ id: 'a', timeoutMs: 600, by }))).toMatchObject({
      code: 'FREEZE_TIMEOUT',
    });
    await expect.poll(() => c.phase).toBe('thawed');
    expect(engine.calls).toContain('release');
    expect(engine.held).toBe(0);
  });

  it('is ended by a thaw that comes before its hold', async () => {
    const c = coordinator();
    engine.onPrepare = (signal) => abortable(60_000, signal);
    const freezing = failure(c.freeze({ id: 'a', by }));
    await expect.poll(() => engine.calls).toContain('prepare');
    const thaw = await failure(c.thaw({ by }));
    expect(thaw).toMatchObject({ code: 'NOT_CONSISTENT' });
    expect(receiptOf(thaw).reasons).toEqual(['freeze-aborted']);
    expect(await freezing).toMatchObject({ code: 'FREEZE_ABORTED', exit: 5 });
    expect(engine.calls).not.toContain('hold');
  });

  it('is rolled back when its caller goes away', async () => {
    const c = coordinator();
    engine.onHold = (signal) => abortable(100, signal);
    const alone = new AbortController();
    const gone = failure(c.freeze({ id: 'b', by, gone: alone.signal }));
    alone.abort();
    expect(await gone).toMatchObject({ code: 'FREEZE_ABORTED' });
    expect(engine.held).toBe(0);
  });

  it('reports why the engine failed, and its thaw does not get the success of an earlier freeze', async () => {
    const c = coordinator();
    await c.freeze({ id: 'a', by });
    await c.thaw({ by });
    engine.onPrepare = async () => {
      throw new QuiesceError('COPY_UNSUPPORTED', 'Not for these volumes.');
    };
    expect(await failure(c.freeze({ id: 'b', by }))).toMatchObject({ code: 'COPY_UNSUPPORTED' });
    const thaw = await failure(c.thaw({ by }));
    expect(thaw).toMatchObject({ code: 'NOT_CONSISTENT' });
    expect(receiptOf(thaw)).toMatchObject({ id: 'b', reasons: ['freeze-failed'] });
    expect(consistency).toEqual([true, false]);
  });

  it('freezes nothing where the journal cannot be written', async () => {
    await writeFile(join(root, 'state'), 'a file where the folder should be');
    const c = coordinator();
    const error = await failure(c.freeze({ id: 'a', by }));
    expect(error).toMatchObject({ code: 'JOURNAL_FAILED', exit: 5 });
    expect(engine.calls).toEqual([]);
  });
});

describe('the writes under the hold', () => {
  it('have space reserved on both disks before anything is held, and none of it is left over', async () => {
    const rooms: string[][] = [];
    const listed = (): string[] =>
      ['state', 'data/.quiesce'].flatMap((folder) =>
        readdirSync(join(root, folder)).filter((name) => name.endsWith('.tmp')),
      );
    engine.onHold = async () => void rooms.push(listed());
    const c = coordinator();
    await c.freeze({ id: 'a', by });
    expect(rooms[0]).toHaveLength(2);
    expect(listed()).toEqual([]);
    await c.thaw({ by });
    engine.onHold = async () => {
      throw new QuiesceError('ENGINE_FAILED', 'It refused.');
    };
    await failure(c.freeze({ id: 'b', by }));
    await expect.poll(() => c.phase).toBe('thawed');
    expect(listed()).toEqual([]);
  });

  it('are in the journal when the freeze answers, so that a hold is known after a crash', async () => {
    const held = await coordinator().freeze({ id: 'a', by });
    expect(await new Journal(join(root, 'state')).load()).toEqual({
      receipt: held,
      engine: { token: 'x' },
      named: true,
    });
  });

  it('leave neither hold nor receipt where the journal cannot be written', async () => {
    engine.onHold = async () => {
      await rm(join(root, 'state'), { recursive: true });
      await writeFile(join(root, 'state'), 'a file where the folder should be');
    };
    const c = coordinator();
    expect((await failure(c.freeze({ id: 'a', by }))).code).toBe('JOURNAL_FAILED');
    await expect.poll(() => c.phase).toBe('thawed');
    expect(engine.held).toBe(0);
    expect(readdirSync(join(root, 'data/.quiesce'))).toEqual([]);
  });
});

describe('a volume on which the receipt cannot be written', () => {
  it('does not stop the freeze; the receipt says so', async () => {
    await rm(join(root, 'data'), { recursive: true });
    const c = coordinator();
    const held = await c.freeze({ id: 'a', by });
    expect(held.evidence).toMatchObject({ onVolume: false });
    expect(held.evidence.detail).toContain('could not be written');
    expect((await c.thaw({ by })).verdict).toBe('consistent');
    expect(existsSync(join(root, 'data'))).toBe(false);
  });

  it('is reported in the receipt where none is mounted', async () => {
    const c = coordinator({ volume: new ReceiptVolume(undefined) });
    expect((await c.freeze({ id: 'a', by })).evidence.detail).toContain('QUIESCE_DATA_DIR');
    await c.thaw({ by });
  });
});

describe('after a crash', () => {
  it('the open freeze is released first and is inconsistent, for a later thaw too', async () => {
    await coordinator().freeze({ id: 'a', by });
    expect(existsSync(receiptPath())).toBe(true);

    const next = coordinator();
    engine.onRecover = async () => expect(existsSync(receiptPath())).toBe(false);
    await next.load();
    await next.resume();
    expect(engine.calls.at(-1)).toBe('recover');
    const thaw = await failure(next.thaw({ by }));
    expect(receiptOf(thaw)).toMatchObject({
      id: 'a',
      verdict: 'inconsistent',
      reasons: ['interrupted'],
    });
    expect(readdirSync(join(root, 'state')).sort()).toEqual(['receipts.json']);
    expect(consistency).toEqual([false]);
  });

  it('the log says since when the freeze was held', async () => {
    const held = await coordinator().freeze({ id: 'a', by });
    const lines: string[] = [];
    const next = coordinator({ logger: pino({}, { write: (line: string) => lines.push(line) }) });
    await next.load();
    await next.resume();
    const ended = lines.find((line) => line.includes('freeze ended by interrupted')) ?? '';
    expect(ended).toContain(`held since ${held.frozenAt}`);
    expect(ended).not.toContain('never held');
  });

  it.each(['crash', 'stop'])(
    'the thaw of a freeze that was open before a %s does not get the success of the next freeze',
    async (how) => {
      const before = coordinator();
      await before.freeze({ id: 'a', by });
      if (how === 'stop') await before.shutdown();
      const next = coordinator();
      await next.load();
      await next.resume();
      await next.freeze({ id: 'b', by });
      expect(receiptOf(await failure(next.thaw({ by })))).toMatchObject({
        id: 'b',
        reasons: ['thaw-ambiguous'],
      });
    },
  );

  it('a freeze of another engine is neither released nor forgotten', async () => {
    await coordinator().freeze({ id: 'a', by });
    const other = new ScriptedEngine();
    other.name = 'other';
    expect(await failure(coordinator({ engine: other }).load())).toMatchObject({
      code: 'CONFIG_INVALID',
      field: 'QUIESCE_ENGINE',
    });
    expect(other.calls).toEqual([]);
    expect(readdirSync(join(root, 'state'))).toContain('open.json');
  });

  it('recovery is retried until the engine has released; until then a freeze is refused', async () => {
    await coordinator().freeze({ id: 'a', by });
    const next = coordinator();
    let tries = 0;
    engine.onRecover = async () => {
      tries += 1;
      if (tries === 1) throw new QuiesceError('ENGINE_UNREACHABLE', 'not yet');
    };
    await next.load();
    const recovered = next.resume();
    await expect.poll(() => tries).toBe(1);
    expect(await failure(next.freeze({ id: 'b', by }))).toMatchObject({ code: 'FREEZE_HELD' });
    expect(await failure(next.thaw({ by }))).toMatchObject({ code: 'ENGINE_FAILED' });
    await recovered;
    expect(tries).toBe(2);
    expect(next.phase).toBe('thawed');
  });

  it('an unreadable journal makes the engine release anything that may be held', async () => {
    await mkdir(join(root, 'state'));
    await writeFile(join(root, 'state/open.json'), '{"half":');
    const next = coordinator();
    await next.load();
    await next.resume();
    expect(engine.calls).toEqual(['recover']);
    expect(existsSync(join(root, 'state/open.json'))).toBe(false);
  });

  it('the success of a freeze before the crash is not reported again, with the id or without', async () => {
    const before = coordinator();
    await before.freeze({ id: 'a', by });
    await before.thaw({ by: 'velero' });
    const next = coordinator();
    await next.load();
    await next.resume();
    for (const id of [{}, { id: 'a' }]) {
      const again = await failure(next.thaw({ ...id, by }));
      expect(again).toMatchObject({ code: 'ALREADY_THAWED' });
      expect(again.message).toContain('by velero');
    }
  });

  it('the receipts of an earlier version are read', async () => {
    const before = coordinator();
    await before.freeze({ id: 'a', by });
    const receipt = await before.thaw({ by });
    await writeFile(join(root, 'state/receipts.json'), JSON.stringify([receipt]));
    const next = coordinator();
    await next.load();
    expect(next.receipts()).toEqual([receipt]);
  });

  it('the receipt of another freeze on a restored volume is kept', async () => {
    await coordinator().freeze({ id: 'a', by });
    const foreign = (await readFile(receiptPath(), 'utf8')).replaceAll(
      '"id": "a"',
      '"id": "other"',
    );
    await chmod(receiptPath(), 0o644);
    await writeFile(receiptPath(), foreign);
    const next = coordinator();
    await next.load();
    await next.resume();
    expect(await readFile(receiptPath(), 'utf8')).toBe(foreign);
  });
});

describe('stopping', () => {
  it('thaws first, and a later thaw fails', async () => {
    const c = coordinator();
    await c.freeze({ id: 'a', by });
    await c.shutdown();
    expect(engine.held).toBe(0);
    expect(receiptOf(await failure(c.thaw({ by }))).reasons).toEqual(['sidecar-stopped']);
    expect(await failure(c.freeze({ id: 'b', by }))).toMatchObject({ code: 'SHUTTING_DOWN' });
  });

  it('rolls back a freeze in the making', async () => {
    const c = coordinator();
    engine.onHold = (signal) => abortable(60_000, signal);
    const freezing = failure(c.freeze({ id: 'a', by }));
    await expect.poll(() => engine.calls).toContain('hold');
    await c.shutdown();
    expect(await freezing).toMatchObject({ code: 'SHUTTING_DOWN' });
    expect(engine.held).toBe(0);
  });
});

it('keeps the last ten receipts, newest first', async () => {
  const c = coordinator();
  for (let n = 0; n < 12; n += 1) {
    await c.freeze({ id: `f${n}`, by });
    await c.thaw({ by });
  }
  expect(c.receipts().map((receipt) => receipt.id)).toEqual(
    Array.from({ length: 10 }, (_, n) => `f${11 - n}`),
  );
});
