import { setTimeout as sleep } from 'node:timers/promises';
import { beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { Ledger, Subject } from './fixture.ts';
import type { SharedStage, Stage } from './stage.ts';

const SHORT_LEASE_MS = 2_000;
const LEASE_MS = 4_000;
const BUSY_MACHINE_MS = 8_000;

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
        await stage.inconsistent(/hold-lost/, 'cut-off');
      } else {
        await sleep(1_000);
        expect(await stage.state()).toBe('frozen');
        await stage.expectWrites(subject.blocksWrites);
        await stage.consistent('cut-off');
      }
      await stage.expectNothingHeld();
    });

    it('killed while frozen: the freeze ends at once, its thaw fails, and the next one holds', async () => {
      await stage.held({ id: 'killed' });
      await stage.world.server.kill();
      await stage.expectThawed();
      await stage.world.server.start();
      await stage.inconsistent(/hold-lost/, 'killed');
      expect(await stage.sidecar.metrics()).toMatch(/stateful_backup_consistency_check\{[^}]*\} 0/);
      await stage.expectNothingHeld();
      await expect
        .poll(async () => (await stage.sidecar.status()).engine.reachable, { timeout: 15_000 })
        .toBe(true);
      await stage.held({ id: 'next' });
      await stage.consistent('next');
    });

    it('killed and back before anybody looks: its thaw fails', async () => {
      await stage.held({ id: 'restarted' });
      await stage.world.server.kill();
      await stage.world.server.start();
      await stage.inconsistent(/hold-lost|server-/, 'restarted');
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

    it('stalled at thaw: what it cannot prove is not called consistent, and is released once it can', async () => {
      await stage.held({ id: 'mute' });
      await stage.world.server.stall();
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
    for (const ms of [1, 3, 6, 12, 25, 50, 100, 200]) {
      const { status, body } = await stage.freeze({ id: `within-${ms}`, timeout: `${ms}ms` });
      if (status === 200) {
        await stage.consistent();
        break;
      }
      expect(body.error.code).toBe('FREEZE_TIMEOUT');
      await stage.expectNothingHeld();
    }
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
      // From before the journal is written to well after the hold is in place.
      for (const ms of [3, 20, 45, 80, 130, 220, 400]) {
        const freeze = stage.freeze({ id: `step-${ms}` }).catch(() => undefined);
        await sleep(ms);
        await stage.sidecar.signal('SIGKILL');
        await freeze;
        await stage.sidecar.start();
        await stage.expectNothingHeld();
        expect((await stage.thaw(`step-${ms}`)).status).toBe(409);
      }
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
      await stage.sidecar.signal('SIGSTOP');
      await sleep(SHORT_LEASE_MS + 500);
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
      await stage.sidecar.signal('SIGCONT');
      await stage.inconsistent(/lease-expired|hold-lost/, 'silent');
      await stage.expectNothingHeld();
    });
  });
}
