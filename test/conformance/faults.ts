import { setTimeout as sleep } from 'node:timers/promises';
import { beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { Ledger, Subject } from './fixture.ts';
import type { SharedStage, Stage } from './stage.ts';

const SHORT_LEASE_MS = 2_000;
const LEASE_MS = 4_000;
const BUSY_MACHINE_MS = 8_000;
const CLOCKS_APART_MS = 500;
const LONGEST_FREEZE_MS = 60_000;

/** What must be true whoever dies, stands still or is cut off while a freeze is open. */
export function describeFaults<L extends Ledger>(
  subject: Subject<L>,
  shared: SharedStage<L>,
): void {
  let stage: Stage<L>;
  beforeAll(async () => {
    stage = await shared.get();
  });

  describe('when the server fails', () => {
    beforeEach(async () => {
      await stage.begin();
    });

    it(`cut connections ${subject.holdDiesWithItsSession ? 'end the freeze as lost' : 'change nothing'}`, async () => {
      await stage.held({ id: 'cut-off' });
      await stage.world.cutSessions();
      if (subject.holdDiesWithItsSession) {
        await stage.expectThawed();
        const { reasons } = await stage.inconsistent(/hold-lost/, 'cut-off');
        expect(reasons).toContain(subject.reasons.killed);
      } else {
        await sleep(1_000);
        expect(await stage.state()).toBe('frozen');
        await stage.expectWrites(subject.blocksWrites);
        await stage.consistent('cut-off');
      }
      await stage.expectNothingHeld(subject.holdDiesWithItsSession ? 'loss' : 'proof');
    });

    const { outlivesServer } = subject;
    it(`killed while frozen: ${outlivesServer ? 'the freeze goes on, its thaw succeeds' : 'the freeze ends at once, its thaw fails'}, and the next one holds`, async () => {
      await stage.held({ id: 'killed' });
      await stage.world.server.kill();
      if (outlivesServer) {
        await sleep(2_000);
        expect(await stage.state()).toBe('frozen');
        await stage.consistent('killed');
        await stage.world.server.start();
      } else {
        await stage.expectThawed();
        await stage.world.server.start();
        const { reasons } = await stage.inconsistent(/hold-lost/, 'killed');
        expect(reasons).toContain(subject.reasons.killed);
      }
      const verdict = outlivesServer ? 1 : 0;
      expect(await stage.sidecar.metrics()).toMatch(
        new RegExp(`stateful_backup_consistency_check\\{[^}]*\\} ${verdict}`),
      );
      await stage.expectNothingHeld();
      await expect
        .poll(async () => (await stage.sidecar.status()).engine.reachable, { timeout: 15_000 })
        .toBe(true);
      await stage.held({ id: 'next' });
      await stage.consistent('next');
    });

    it(`killed and back before anybody looks: its thaw ${outlivesServer ? 'succeeds' : 'fails'}`, async () => {
      await stage.held({ id: 'restarted' });
      await stage.sidecar.signal('SIGSTOP');
      await stage.world.server.kill();
      await stage.world.server.start();
      await stage.sidecar.signal('SIGCONT');
      if (outlivesServer) await stage.consistent('restarted');
      else await stage.inconsistent(new RegExp(subject.reasons.restarted), 'restarted');
      await stage.expectNothingHeld();
    });

    it('stalled: a freeze ends at its timeout, and nothing freezes afterwards', async () => {
      await stage.world.server.stall();
      try {
        const began = performance.now();
        const frozen = await stage.sidecar.cli('freeze', '--id', 'stalled', '--timeout', '1s');
        expect(frozen.code, frozen.stderr).toBe(6);
        expect(performance.now() - began).toBeLessThan(1_000 + BUSY_MACHINE_MS);
      } finally {
        await stage.world.server.resume();
      }
      await sleep(700);
      expect(await stage.state()).toBe('thawed');
      await stage.expectNothingHeld();
      await stage.inconsistent(/freeze-timeout/, 'stalled');
    });

    it(`stalled at thaw: ${outlivesServer ? 'what it is not needed for is consistent' : 'what it cannot prove is not called consistent, and is released once it can'}`, async () => {
      await stage.held({ id: 'mute' });
      await stage.world.server.stall();
      if (outlivesServer) {
        try {
          await stage.consistent('mute');
        } finally {
          await stage.world.server.resume();
        }
        await stage.expectNothingHeld();
        return;
      }
      const thaw = stage.thaw('mute');
      await sleep(9_000);
      await stage.world.server.resume();
      expect((await thaw).status).toBeGreaterThanOrEqual(400);
      await stage.expectThawed();
      await stage.inconsistent(/not-provable|hold-lost|server-/, 'mute');
      await stage.expectNothingHeld();
    });
  });

  it('a timeout rolls back whatever step it hits', async () => {
    await stage.begin();
    const outcomes: string[] = [];
    for (let ms = 1; outcomes.at(-1) !== 'held'; ms *= 2) {
      expect(ms, outcomes.join(' ')).toBeLessThan(LONGEST_FREEZE_MS);
      const { status, body } = await stage.freeze({ id: `within-${ms}`, timeout: `${ms}ms` });
      outcomes.push(status === 200 ? 'held' : body.error.code);
      if (status === 200) await stage.consistent();
      else await stage.expectNothingHeld();
    }
    // Several steps of it were hit, and nothing else ever went wrong.
    expect(outcomes.length).toBeGreaterThan(3);
    expect(new Set(outcomes)).toEqual(new Set(['FREEZE_TIMEOUT', 'held']));
  });

  describe('when the sidecar fails', () => {
    it('killed while frozen: the next one releases everything and calls it interrupted', async () => {
      await stage.begin();
      await stage.held({ id: 'orphan' });
      await stage.sidecar.signal('SIGKILL');
      await stage.sidecar.start();
      await stage.expectNothingHeld();
      await stage.inconsistent(/interrupted/, 'orphan');
      await stage.held({ id: 'after' });
      await stage.consistent('after');
    });

    it('killed in any step of a freeze: the next one leaves nothing held', async () => {
      await stage.begin();
      // From before the journal is written to the very moment of the answer, however long that takes.
      const moments = [3, 20, 45, 80, 130, 220, 400, 'answered'] as const;
      let unanswered = 0;
      for (const moment of moments) {
        const id = `step-${moment}`;
        const freeze = stage.freeze({ id }).catch(() => undefined);
        await (moment === 'answered' ? freeze : sleep(moment));
        await stage.sidecar.signal('SIGKILL');
        const answer = await freeze;
        if (answer === undefined) unanswered += 1;
        else expect(answer.status, JSON.stringify(answer.body)).toBe(200);
        await stage.sidecar.start();
        await stage.expectNothingHeld();
        expect((await stage.thaw(id)).status).toBe(409);
      }
      expect(unanswered).toBeGreaterThan(0);
      expect(unanswered).toBeLessThan(moments.length);
    });

    it('stopped while frozen: it releases everything before it ends', async () => {
      await stage.begin();
      await stage.held({ id: 'stopped' });
      await stage.sidecar.stop();
      await stage.expectNothingHeld();
      await stage.sidecar.start();
      await stage.inconsistent(/sidecar-stopped/, 'stopped');
    });

    const { deadManMs } = subject;
    const fate =
      deadManMs === null
        ? 'the next one releases everything'
        : 'the server lets go by itself after the lease as renewed, and not before';
    it(`silent for ever: ${fate}`, async () => {
      await stage.begin();
      await stage.held({ id: 'silent', ttl: `${SHORT_LEASE_MS}ms` });
      await stage.held({ id: 'silent', ttl: `${LEASE_MS}ms`, renew: true });
      const renewedAt = performance.now();
      await stage.sidecar.signal('SIGSTOP');
      await sleep(SHORT_LEASE_MS + 500);
      await stage.expectSeenInServer();
      await stage.expectWrites(subject.blocksWrites);
      if (deadManMs === null) {
        await stage.sidecar.signal('SIGKILL');
        await stage.sidecar.start();
        await stage.expectNothingHeld();
        return;
      }
      await expect
        .poll(() => stage.world.held(), { timeout: LEASE_MS + deadManMs + BUSY_MACHINE_MS })
        .toEqual([]);
      await stage.expectWritesFlow();
      const early = renewedAt + LEASE_MS - performance.now();
      if (subject.seenInServer) expect(early).toBeLessThan(CLOCKS_APART_MS);
      await sleep(Math.max(0, early) + CLOCKS_APART_MS);
      await stage.sidecar.signal('SIGCONT');
      await stage.inconsistent(/lease-expired|hold-lost/, 'silent');
      await stage.expectNothingHeld();
    });
  });
}
