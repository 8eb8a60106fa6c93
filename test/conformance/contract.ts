import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { Engine, FreezeContext, Hold, JsonObject } from '../../src/engines/engine.ts';
import { loadEngine } from '../../src/engines/index.ts';
import { QuiesceError } from '../../src/errors.ts';
import { giveUpAfter, giveUpInEachStep } from './abort.ts';
import { type Ledger, type Subject } from './fixture.ts';
import type { SharedRig, Rig } from './rig.ts';

const SOON_MS = 8_000;
const never = (): AbortSignal => AbortSignal.timeout(60_000);

/** The promises of the interface itself, tested on the engine without a sidecar. */
export function describeContract<L extends Ledger>(
  subject: Subject<L>,
  shared: SharedRig<L>,
): void {
  describe('the engine itself', () => {
    let rig: Rig<L>;
    let engine: Engine;
    let kept: Record<string, string>;
    let remembered: JsonObject[];
    let context: FreezeContext;
    beforeAll(async () => {
      rig = await shared.get();
    });
    beforeEach(async () => {
      const module = await loadEngine(subject.engine);
      expect(module.checkSettings(rig.world.env)).toEqual([]);
      engine = module.createEngine({
        settings: rig.world.env,
        dataDir: rig.world.volume.path,
        replica: subject.replica,
      });
      kept = {};
      remembered = [];
      context = {
        id: 'direct',
        copy: subject.copy,
        ttlMs: 30_000,
        progress: () => undefined,
        keep: async (files) => void Object.assign(kept, files),
        remember: async (journal) => void remembered.push(journal),
      };
    });
    afterEach(() => engine.close());

    it('claims the copy methods on which it is tested', () => {
      expect(engine.name).toBe(subject.engine);
      expect(engine.capabilities.blocksWrites).toBe(subject.blocksWrites);
      expect([...engine.capabilities.copies].toSorted()).toEqual([...subject.claims].toSorted());
      expect(subject.claims).toEqual(expect.arrayContaining([...subject.copies, subject.copy]));
    });

    it('identifies the server, the same way each time', async () => {
      const [first, second] = [await engine.probe(never()), await engine.probe(never())];
      expect(first).toEqual(second);
      expect(first.version).toMatch(/^\d+\.\d+/);
      expect(first.role).toMatch(/^[a-z-]+$/);
      expect(Object.values(first.identity)).not.toEqual([]);
      const metadata = await engine.metadata(never());
      expect(JSON.parse(JSON.stringify(metadata))).toEqual(metadata);
      expect(JSON.stringify(metadata)).toContain(first.version);
    });

    it('holds, proves the hold and releases it; its facts are plain JSON', async () => {
      await engine.prepare(context, never());
      const hold = await engine.hold(context, never());
      expect(hold).toMatchObject({ mode: subject.mode, writesBlocked: subject.blocksWrites });
      const { position, restore, journal } = hold;
      for (const part of [position, restore, journal]) {
        expect(JSON.parse(JSON.stringify(part))).toEqual(part);
      }
      // The volume accepts plain names only: a path could lead out of its folder.
      for (const name of Object.keys(kept)) expect(name).toMatch(/^[\w.-]+$/);
      await rig.expectWrites(subject.blocksWrites);
      await rig.expectSeenInServer();
      expect(await hold.check(never())).toEqual([]);
      expect(hold.lost.aborted).toBe(false);
      const end = await hold.release(never());
      expect(end?.breaches ?? []).toEqual([]);
      await rig.expectServerFree('proof');
      expect(hold.lost.aborted, 'a release is not a loss').toBe(false);
    });

    it.each(subject.copies)('is not held after an abort in any step (copy: %s)', async (copy) => {
      for (const ms of [0, 2, 5, 10, 20, 40, 80]) {
        await giveUpAfter(engine, { ...context, copy }, ms);
        await rig.expectServerFree();
      }
      const free = (): Promise<void> => rig.expectServerFree();
      await giveUpInEachStep(engine, { ...context, copy }, free);
    });

    it(`when the journal cannot be written: ${subject.remembers ? 'nothing is held' : 'nothing has to be journaled'}`, async () => {
      const forgetful: FreezeContext = {
        ...context,
        remember: async (journal) => {
          remembered.push(journal);
          throw new Error('no space left on device');
        },
      };
      const hold = await engine
        .prepare(forgetful, never())
        .then(() => engine.hold(forgetful, never()))
        .catch(() => undefined);
      await hold?.release(never());
      expect(remembered.length > 0, '`remember` was called').toBe(subject.remembers);
      expect(hold === undefined, 'nothing is held').toBe(subject.remembers);
      await engine.recover(null, never());
      await rig.expectServerFree();
    });

    it('recovers from any journal, repeatedly, when nothing is held', async () => {
      await engine.prepare(context, never());
      const hold = await engine.hold(context, never());
      const journal = JSON.parse(JSON.stringify(hold.journal)) as JsonObject;
      await hold.release(never());
      for (const entry of [journal, journal, ...remembered, null, {}]) {
        await engine.recover(entry, never());
      }
      await rig.expectServerFree();
    });

    it('rejects soon after an abort while the server stalls', async () => {
      await rig.world.server.stall();
      try {
        const calls: ((signal: AbortSignal) => Promise<unknown>)[] = [
          (signal) => engine.probe(signal),
          (signal) => engine.metadata(signal),
          (signal) => engine.prepare(context, signal),
        ];
        for (const call of calls) {
          const began = performance.now();
          await expect(call(AbortSignal.timeout(300))).rejects.toThrow();
          expect(performance.now() - began).toBeLessThan(300 + SOON_MS);
        }
      } finally {
        await rig.world.server.resume();
      }
      await rig.expectServerFree();
    });

    it('reports a dead server as unreachable, and works again when it is back', async () => {
      await engine.prepare(context, never());
      const hold = await engine.hold(context, never());
      await rig.world.server.kill();
      await expectLost(hold, !subject.outlivesServer);
      for (const call of [() => engine.probe(never()), () => engine.prepare(context, never())]) {
        const error: unknown = await call().catch((thrown: unknown) => thrown);
        expect(error).toBeInstanceOf(QuiesceError);
        expect((error as QuiesceError).code).toMatch(/^ENGINE_(UNREACHABLE|STARTING)$/);
      }
      const end = await hold.release(AbortSignal.timeout(8_000)).catch(() => undefined);
      if (subject.outlivesServer) expect(end?.breaches ?? []).toEqual([]);
      await rig.world.server.start();
      await engine.probe(never());
      await rig.expectServerFree();
    });

    it('leaves no connection when it is closed', async () => {
      await engine.prepare(context, never());
      await engine.close();
      await expect.poll(() => rig.world.sessions(), { timeout: 10_000 }).toBe(0);
      await rig.expectServerFree();
    });
  });
}

/** Expects the hold to be lost within ten seconds of the server's death; or not to be lost at all. */
async function expectLost(hold: Hold, lost: boolean): Promise<void> {
  if (!lost) {
    await sleep(2_000);
    expect(hold.lost.aborted, 'it does not depend on its server').toBe(false);
    expect(await hold.check(never())).toEqual([]);
    return;
  }
  await expect.poll(() => hold.lost.aborted, { timeout: 10_000 }).toBe(true);
  expect(hold.lost.reason).not.toEqual([]);
}
