import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pino from 'pino';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { VerifyCheck, VerifyOptions, VerifyResult } from '../../src/engines/engine.ts';
import { QuiesceError } from '../../src/errors.ts';
import type { Receipt } from '../../src/receipt/receipt.ts';
import type { RestoreCheckLevel } from '../../src/receipt/restore-level.ts';
import { ReceiptVolume } from '../../src/receipt/volume.ts';
import { RestoreCheck } from '../../src/restore/verify-at-start.ts';
import { aReceipt } from '../support/fake-control.ts';
import { abortable, ScriptedEngine } from '../support/scripted-engine.ts';

const passes: VerifyCheck = { name: 'position', ok: true, message: 'reached' };
const deepCheck = (check: Partial<VerifyCheck>): VerifyCheck => ({
  name: 'deep',
  ok: true,
  deep: true,
  message: 'looked',
  ...check,
});

/** A server that answers verifications as the test says. */
class Server extends ScriptedEngine {
  checks: readonly VerifyCheck[] = [passes];
  onDeep: (signal: AbortSignal) => Promise<readonly VerifyCheck[]> = async () => [deepCheck({})];
  empty = false;
  unreachable = false;
  deepRuns = 0;

  override async verify(
    _receipt?: Receipt,
    options?: VerifyOptions,
    signal: AbortSignal = AbortSignal.timeout(60_000),
  ): Promise<VerifyResult> {
    this.#reach();
    const checks = [...this.checks];
    if (options?.deep === true) {
      this.deepRuns += 1;
      checks.push(...(await this.onDeep(signal)));
    }
    return { verified: checks.every(({ ok }) => ok), checks };
  }

  override async isEmpty(): Promise<boolean> {
    this.#reach();
    return this.empty;
  }

  #reach(): void {
    if (this.unreachable) throw new QuiesceError('ENGINE_UNREACHABLE', 'it is down');
  }
}

let dir: string;
let engine: Server;
let series: Map<RestoreCheckLevel, boolean>;
const running: RestoreCheck[] = [];

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'q-restore-'));
  await mkdir(join(dir, 'data'));
  engine = new Server();
});
afterEach(async () => {
  for (const check of running.splice(0)) await check.stop();
  await rm(dir, { recursive: true, force: true });
});

interface Pod {
  readonly restoreMark?: string | null;
  readonly check?: RestoreCheckLevel;
  /** Without it, there is no volume. */
  readonly dataDir?: string | undefined;
  /** Another one is that of a recreated pod. */
  readonly state?: string;
}

async function start({ check = 'position', state = 'state', ...pod }: Pod): Promise<RestoreCheck> {
  series = new Map();
  const own = series;
  const started = new RestoreCheck({
    engine,
    volume: new ReceiptVolume('dataDir' in pod ? pod.dataDir : join(dir, 'data')),
    stateDir: join(dir, state),
    logger: pino({ level: 'silent' }),
    restoreMark: pod.restoreMark,
    check,
    restoreVerified: (level, reached) => {
      if (reached === null) own.delete(level);
      else own.set(level, reached);
    },
  });
  running.push(started);
  await started.start(null);
  return started;
}

async function copyWithReceipt(id = 'backup-1'): Promise<void> {
  const receipt = JSON.stringify(aReceipt({ id }));
  await new ReceiptVolume(join(dir, 'data')).write('receipt.json', receipt);
}

const levelOf = (check: RestoreCheck) => async () => check.view?.level;
const soon = { timeout: 10_000 };

describe('a restored pod with a receipt', () => {
  beforeEach(() => copyWithReceipt());

  it('has the level position, and keeps it over restarts of its sidecar', async () => {
    const first = await start({ restoreMark: 'r1' });
    await expect.poll(levelOf(first), soon).toBe('position');
    expect(first.view).toMatchObject({ id: 'backup-1', mark: 'r1', verified: true });
    const again = await start({ restoreMark: 'r1', state: 'other' });
    expect(again.view).toMatchObject({ id: 'backup-1', level: 'position', verified: true });
    expect(Object.fromEntries(series)).toEqual({ position: true });
    await expect(again.acknowledge('me')).rejects.toMatchObject({ code: 'NOTHING_TO_ACKNOWLEDGE' });
  });

  it('is unproven while its server does not answer', async () => {
    engine.unreachable = true;
    const check = await start({ restoreMark: 'r1' });
    await expect.poll(() => check.view?.message, soon).toContain('it is down');
    const waiting = { level: 'unproven', reason: 'unchecked', verified: null };
    expect(check.view).toMatchObject(waiting);
    expect(Object.fromEntries(series)).toEqual({ position: false });
    engine.unreachable = false;
    await expect.poll(levelOf(check), soon).toBe('position');
  });

  it('that its server contradicts is refused, over restarts and in later pods', async () => {
    engine.checks = [passes, { name: 'databases', ok: false, message: 'x is missing' }];
    const first = await start({ restoreMark: 'r1' });
    await expect.poll(levelOf(first), soon).toBe('refused');
    for (const restoreMark of ['r1', null]) {
      const later = await start({ restoreMark, state: `later ${restoreMark}` });
      expect(later.view).toMatchObject({ level: 'refused', verified: false });
      expect(later.view?.message).toContain('x is missing');
      expect(Object.fromEntries(series)).toEqual({ position: false });
    }
    const last = await start({ restoreMark: 'r1' });
    await last.freezeEnded(false);
    expect(last.view).toMatchObject({ level: 'refused' });
    await last.freezeEnded(true);
    expect(last.view).toBeNull();
  });

  it('whose checks could not look is unproven, not refused', async () => {
    engine.checks = [passes, { name: 'staged', ok: false, unchecked: true, message: 'no proof' }];
    const check = await start({ restoreMark: 'r1' });
    await expect
      .poll(() => check.view, soon)
      .toMatchObject({ level: 'unproven', reason: 'unchecked', verified: false });
  });

  it('a copy of the same volume made later has to be proven itself', async () => {
    const first = await start({ restoreMark: 'r1' });
    await expect.poll(levelOf(first), soon).toBe('position');
    const unmarked = await start({ state: 'elsewhere' });
    expect(unmarked.view).toBeNull();
    const restoredAgain = await start({ restoreMark: 'r2', state: 'elsewhere' });
    expect(restoredAgain.view).toMatchObject({ level: 'unproven', reason: 'no-receipt' });
  });
});

describe('a restored pod without a receipt', () => {
  it('without a volume is unproven', async () => {
    const check = await start({ restoreMark: 'r1', dataDir: undefined });
    expect(check.view).toMatchObject({ level: 'unproven', reason: 'no-receipt' });
    expect(check.view?.message).toContain('QUIESCE_DATA_DIR');
    await expect.poll(async () => (await check.acknowledge('me')).by, soon).toBe('me');
    const again = await start({ restoreMark: 'r1', dataDir: undefined });
    expect([again.view, again.acknowledged?.by]).toEqual([null, 'me']);
  });

  it('says so at once, and calls the database empty once it knows', async () => {
    engine.unreachable = true;
    engine.empty = true;
    const check = await start({ restoreMark: 'r1' });
    expect(check.view).toMatchObject({ level: 'unproven', reason: 'no-receipt' });
    await check.waitUntilIdle(AbortSignal.timeout(5_000));
    engine.unreachable = false;
    await expect.poll(() => check.view?.reason, soon).toBe('empty');
  });

  it('an acknowledgement that cannot be kept fails', async () => {
    await writeFile(join(dir, 'file'), '');
    const nowhere = await start({ restoreMark: 'r1', dataDir: '/dev/null', state: 'file/x' });
    await expect(nowhere.acknowledge('me')).rejects.toMatchObject({ code: 'JOURNAL_FAILED' });
    expect(nowhere.view).toMatchObject({ level: 'unproven' });
  });
});

describe('the deep check of a restored database', () => {
  beforeEach(() => copyWithReceipt());
  const pod = { restoreMark: 'r1', check: 'content' } as const;
  const stateOf = (check: RestoreCheck) => () => check.view?.content?.state;

  it('is not run unless it is asked for', async () => {
    const check = await start({ restoreMark: 'r1' });
    await expect.poll(levelOf(check), soon).toBe('position');
    expect([check.view?.content, engine.deepRuns, series.has('content')]).toEqual([null, 0, false]);
  });

  it('raises the level to content, once for each restore', async () => {
    const check = await start(pod);
    await expect.poll(levelOf(check), soon).toBe('content');
    expect(Object.fromEntries(series)).toEqual({ position: true, content: true });
    const again = await start({ ...pod, state: 'other' });
    expect(again.view).toMatchObject({ level: 'content', content: { state: 'passed' } });
    expect(engine.deepRuns).toBe(1);
  });

  it('gives way to a freeze and is repeated after it', async () => {
    let aborted = 0;
    engine.onDeep = async (signal) => {
      await abortable(60_000, signal).catch((error: unknown) => {
        aborted += 1;
        throw error;
      });
      return [];
    };
    const check = await start(pod);
    await expect.poll(() => engine.deepRuns, soon).toBe(1);
    await check.waitUntilIdle(AbortSignal.timeout(5_000));
    expect([aborted, stateOf(check)()]).toEqual([1, 'pending']);
    engine.onDeep = async () => [deepCheck({})];
    await check.freezeEnded(true);
    await expect.poll(levelOf(check), soon).toBe('content');
  });

  it('is run again after a restart in the middle', async () => {
    engine.onDeep = async (signal) => {
      await abortable(60_000, signal);
      return [];
    };
    const check = await start(pod);
    await expect.poll(() => engine.deepRuns, soon).toBe(1);
    await check.stop();
    engine.onDeep = async () => [deepCheck({})];
    const again = await start(pod);
    await expect.poll(levelOf(again), soon).toBe('content');
    expect(engine.deepRuns).toBe(2);
  });

  it('that finds damage twice has failed: no freeze ends the report, a person does', async () => {
    engine.onDeep = async () => [deepCheck({ ok: false, message: 'page 3 is damaged' })];
    const check = await start(pod);
    await expect.poll(stateOf(check), soon).toBe('failed');
    expect(engine.deepRuns).toBe(2);
    expect(check.view).toMatchObject({ level: 'position', verified: false });
    expect(check.view?.content?.message).toBe('page 3 is damaged');
    expect(Object.fromEntries(series)).toEqual({ position: true, content: false });
    await check.freezeEnded(true);
    const again = await start({ ...pod, state: 'other' });
    expect(again.view).toMatchObject({ content: { state: 'failed' } });
    await again.acknowledge('me');
    expect([again.view, series.size]).toEqual([null, 0]);
  });

  it('under which the server fails twice has failed; once proves nothing', async () => {
    let left = 1;
    engine.onDeep = async () => {
      left -= 1;
      if (left >= 0) throw new QuiesceError('ENGINE_UNREACHABLE', 'connection closed');
      return [deepCheck({})];
    };
    const check = await start(pod);
    await expect.poll(levelOf(check), soon).toBe('content');
    await check.stop();
    await copyWithReceipt('backup-2');
    left = 2;
    const worse = await start({ ...pod, restoreMark: 'r2' });
    await expect.poll(stateOf(worse), soon).toBe('failed');
    expect(worse.view?.content?.message).toContain('connection closed');
  });

  it('that could not look leaves the level at position', async () => {
    engine.onDeep = async () => [deepCheck({ ok: false, unchecked: true, message: 'no grant' })];
    const check = await start(pod);
    await expect.poll(stateOf(check), soon).toBe('unchecked');
    expect(check.view).toMatchObject({ level: 'position', verified: true });
    expect(Object.fromEntries(series)).toEqual({ position: true, content: false });
  });
});
