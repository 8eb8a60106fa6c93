import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { pino } from 'pino';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Coordinator } from '../../src/freeze/coordinator.ts';
import { Journal } from '../../src/freeze/journal.ts';
import { ReceiptVolume } from '../../src/receipt/volume.ts';
import { RestoreCheck } from '../../src/restore/verify-at-start.ts';
import { silentObserver } from '../support/deaf-observer.ts';
import { HangingVolume, silence } from '../support/hanging-volume.ts';
import { ScriptedEngine } from '../support/scripted-engine.ts';

const tool = promisify(execFile);
const by = 'test';

let root: string;
let engine: ScriptedEngine;
const undo: (() => Promise<unknown>)[] = [];
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'quiesce-hanging-'));
  undo.push(() => rm(root, { recursive: true, force: true }));
  engine = new ScriptedEngine();
});
afterEach(async () => {
  for (const step of undo.splice(0).toReversed()) await step();
});

async function mount(name: 'data' | 'state'): Promise<HangingVolume> {
  const volume = await HangingVolume.mount(join(root, `${name}.image`), join(root, name));
  undo.push(() => volume.dispose());
  return volume;
}

const logger = pino({ level: 'silent' });
const receiptPath = (): string => join(root, 'data/.quiesce/receipt.json');

function newSidecar() {
  const journal = new Journal(join(root, 'state'));
  const volume = new ReceiptVolume(join(root, 'data'));
  const coordinator = new Coordinator({
    engine,
    journal,
    volume,
    copy: 'snapshot',
    app: undefined,
    logger,
    now: () => performance.now(),
    volumeFree: async () => undefined,
    claimVolume: async () => undefined,
    observer: silentObserver,
    defaults: { ttlMs: 60_000, timeoutMs: 1_000 },
    ttlMaxMs: 3_600_000,
  });
  return { coordinator, volume };
}

describe('a disk that starts to hang under the hold', () => {
  it.each(['data', 'state'] as const)(
    'fails the freeze, and the hold is released (%s)',
    async (name) => {
      await mkdir(join(root, 'data'), { recursive: true });
      if (name === 'data') await rm(join(root, 'data'), { recursive: true });
      const disk = await mount(name);
      engine.onHold = () => disk.hang();
      const { coordinator } = newSidecar();
      await expect(coordinator.freeze({ id: 'a', by })).rejects.toMatchObject({
        code: 'FREEZE_TIMEOUT',
      });
      await expect.poll(() => engine.calls, { timeout: 10_000 }).toContain('release');
      expect(engine.held).toBe(0);
      await disk.wake();
      await expect.poll(() => coordinator.phase, { timeout: 10_000 }).toBe('thawed');
      await expect.poll(() => readdir(join(root, 'data/.quiesce'))).toEqual([]);
      await expect.poll(() => readdir(join(root, 'state'))).not.toContain('open.json');
      engine.onHold = async () => undefined;
      await coordinator.freeze({ id: 'b', by });
      expect(await coordinator.thaw({ by })).toMatchObject({ id: 'b', verdict: 'consistent' });
    },
  );
});

describe('a receipt that an ended freeze could not remove', () => {
  it('fails the next freeze while it is on the volume, because a copy would carry it', async () => {
    const { path } = await mount('data');
    const { coordinator } = newSidecar();
    await coordinator.freeze({ id: 'a', by });
    await tool('mount', ['-o', 'remount,ro', path]);
    await expect(coordinator.thaw({ by })).rejects.toMatchObject({ code: 'NOT_CONSISTENT' });
    await expect(coordinator.freeze({ id: 'b', by })).rejects.toMatchObject({
      code: 'COPY_UNSUPPORTED',
      message: expect.stringContaining('another freeze'),
    });
    expect(engine.held).toBe(0);
    await tool('mount', ['-o', 'remount,rw', path]);
    await expect.poll(() => existsSync(receiptPath()), { timeout: 5_000 }).toBe(false);
    await coordinator.freeze({ id: 'c', by });
    expect(await coordinator.thaw({ by })).toMatchObject({ id: 'c', verdict: 'consistent' });
  });
});

it('a start releases an interrupted freeze even where the volume cannot be read', async () => {
  await mkdir(join(root, 'data/.quiesce'), { recursive: true });
  const before = newSidecar();
  await before.coordinator.freeze({ id: 'a', by });
  const answer = await silence(join(root, 'data'));
  undo.push(answer);
  const { coordinator, volume } = newSidecar();
  const openId = await coordinator.load();
  const check = new RestoreCheck({
    engine,
    volume,
    stateDir: root,
    logger,
    check: 'position',
    restoreVerified: () => undefined,
  });
  await check.start(openId);
  const resumed = coordinator.resume();
  await expect.poll(() => engine.calls, { timeout: 8_000 }).toContain('recover');
  await resumed;
  expect(coordinator.receipts()[0]?.reasons).toEqual(['interrupted', 'receipt-not-removed']);
  await answer();
  await expect.poll(() => existsSync(receiptPath()), { timeout: 5_000 }).toBe(false);
  await check.stop();
});
