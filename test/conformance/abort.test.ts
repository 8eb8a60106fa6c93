import { setTimeout as sleep } from 'node:timers/promises';
import { expect, it } from 'vitest';
import type { FreezeContext } from '../../src/engines/engine.ts';
import { ScriptedEngine } from '../support/scripted-engine.ts';
import { giveUpAfter, giveUpInEachStep } from './abort.ts';

const context: FreezeContext = {
  id: 'abort',
  copy: 'snapshot',
  ttlMs: 30_000,
  progress: () => undefined,
  keep: async () => undefined,
  remember: async () => undefined,
};

it('an engine that returns a hold after the abort is detected', async () => {
  const engine = new ScriptedEngine();
  engine.onHold = () => sleep(50);
  await expect(giveUpAfter(engine, context, 10)).rejects.toThrow('a late hold');
  expect(engine.held).toBe(0);
});

it('an engine that gives up passes, and so does one that held before the abort, whose hold is released', async () => {
  const engine = new ScriptedEngine();
  engine.onHold = (signal) => sleep(50, undefined, { signal });
  await giveUpAfter(engine, context, 10);
  engine.onHold = async () => undefined;
  await giveUpAfter(engine, context, 50);
  expect(engine.held).toBe(0);
  expect(engine.calls.filter((call) => call === 'release')).toHaveLength(1);
});

it('an engine that ignores an abort after one of its steps is detected', async () => {
  const engine = new ScriptedEngine();
  let between = 0;
  const count = async (): Promise<void> => void (between += 1);
  await expect(giveUpInEachStep(engine, context, count)).rejects.toThrow('a late hold');
  engine.onHold = async (signal) => signal.throwIfAborted();
  expect(await giveUpInEachStep(engine, context, count)).toBe(1);
  expect(between).toBe(2);
});
