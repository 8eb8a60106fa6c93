import { setTimeout as sleep } from 'node:timers/promises';
import { beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { Ledger, Subject } from './fixture.ts';
import type { SharedRig, Rig } from './rig.ts';

const SHORT_LEASE_MS = 2_000;
const LEASE_MS = 4_000;
const BUSY_MACHINE_MS = 8_000;
const CLOCKS_APART_MS = 500;
const LONGEST_FREEZE_MS = 60_000;

/** The promises that hold when a process dies, stalls or is cut off while a freeze is open. */
export function describeFaults<L extends Ledger>(subject: Subject<L>, shared: SharedRig<L>): void {
  let rig: Rig<L>;
  beforeAll(async () => {
    rig = await shared.get();
  });

  describe('when the server fails', () => {
    beforeEach(async () => {
      await rig.begin();
    });

    it(`cut connections: ${subject.holdDiesWithItsSession ? 'the freeze ends as lost' : 'nothing changes'}`, async () => {
      await rig.held({ id: 'cut-off' });
      await rig.world.cutSessions();
      if (subject.holdDiesWithItsSession) {
        await rig.expectThawed();
        const { reasons } = await rig.inconsistent(/hold-lost/, 'cut-off');
        expect(reasons).toContain(subject.reasons.killed);
      } else {
        await sleep(1_000);
        expect(await rig.state()).toBe('frozen');
        await rig.expectWrites(subject.blocksWrites);
        await rig.consistent('cut-off');
      }
      await rig.expectNothingHeld(subject.holdDiesWithItsSession ? 'loss' : 'proof');
    });

    const { outlivesServer } = subject;
    it(`killed while frozen: ${outlivesServer ? 'the freeze goes on and its thaw succeeds' : 'the freeze ends immediately and its thaw fails'}; the next one holds`, async () => {
      await rig.held({ id: 'killed' });
      await rig.world.server.kill();
      if (outlivesServer) {
        await sleep(2_000);
        expect(await rig.state()).toBe('frozen');
        await rig.consistent('killed');
        await rig.world.server.start();
      } else {
        await rig.expectThawed();
        await rig.world.server.start();
        const { reasons } = await rig.inconsistent(/hold-lost/, 'killed');
        expect(reasons).toContain(subject.reasons.killed);
      }
      const verdict = outlivesServer ? 1 : 0;
      expect(await rig.sidecar.metrics()).toMatch(
        new RegExp(`stateful_backup_consistency_check\\{[^}]*\\} ${verdict}`),
      );
      await rig.expectNothingHeld();
      await expect
        .poll(async () => (await rig.sidecar.status()).engine.reachable, { timeout: 15_000 })
        .toBe(true);
      await rig.held({ id: 'next' });
      await rig.consistent('next');
    });

    it(`killed and restarted before the next look: its thaw ${outlivesServer ? 'succeeds' : 'fails'}`, async () => {
      await rig.held({ id: 'restarted' });
      await rig.sidecar.signal('SIGSTOP');
      await rig.world.server.kill();
      await rig.world.server.start();
      await rig.sidecar.signal('SIGCONT');
      if (outlivesServer) await rig.consistent('restarted');
      else await rig.inconsistent(new RegExp(subject.reasons.restarted), 'restarted');
      await rig.expectNothingHeld();
    });

    it('stalled: a freeze fails at its timeout, and nothing freezes afterwards', async () => {
      await rig.world.server.stall();
      try {
        const began = performance.now();
        const frozen = await rig.sidecar.cli('freeze', '--id', 'stalled', '--timeout', '1s');
        expect(frozen.code, frozen.stderr).toBe(6);
        expect(performance.now() - began).toBeLessThan(1_000 + BUSY_MACHINE_MS);
      } finally {
        await rig.world.server.resume();
      }
      await sleep(700);
      expect(await rig.state()).toBe('thawed');
      await rig.expectNothingHeld();
      await rig.inconsistent(/freeze-timeout/, 'stalled');
    });

    it(`stalled at thaw: ${outlivesServer ? 'the freeze is consistent without it' : 'the freeze is not consistent, and is released once the server resumes'}`, async () => {
      await rig.held({ id: 'mute' });
      await rig.world.server.stall();
      if (outlivesServer) {
        try {
          await rig.consistent('mute');
        } finally {
          await rig.world.server.resume();
        }
        await rig.expectNothingHeld();
        return;
      }
      const thaw = rig.thaw('mute');
      await sleep(9_000);
      await rig.world.server.resume();
      expect((await thaw).status).toBeGreaterThanOrEqual(400);
      await rig.expectThawed();
      await rig.inconsistent(/not-provable|hold-lost|server-/, 'mute');
      await rig.expectNothingHeld();
    });
  });

  it('a timeout in any step rolls everything back', async () => {
    await rig.begin();
    const outcomes: string[] = [];
    for (let ms = 1; outcomes.at(-1) !== 'held'; ms *= 2) {
      expect(ms, outcomes.join(' ')).toBeLessThan(LONGEST_FREEZE_MS);
      const { status, body } = await rig.freeze({ id: `within-${ms}`, timeout: `${ms}ms` });
      outcomes.push(status === 200 ? 'held' : body.error.code);
      if (status === 200) await rig.consistent();
      else await rig.expectNothingHeld();
    }
    // The timeout hit several steps, and nothing else ever failed.
    expect(outcomes.length).toBeGreaterThan(3);
    expect(new Set(outcomes)).toEqual(new Set(['FREEZE_TIMEOUT', 'held']));
  });

  describe('when the sidecar fails', () => {
    it('killed while frozen: the next one releases everything and reports it as interrupted', async () => {
      await rig.begin();
      await rig.held({ id: 'orphan' });
      await rig.sidecar.signal('SIGKILL');
      await rig.sidecar.start();
      await rig.expectNothingHeld();
      await rig.inconsistent(/interrupted/, 'orphan');
      await rig.held({ id: 'after' });
      await rig.consistent('after');
    });

    it('killed in any step of a freeze: the next one leaves nothing held', async () => {
      await rig.begin();
      // From before the journal is written until the moment of the answer, however long that takes.
      const moments = [3, 20, 45, 80, 130, 220, 400, 'answered'] as const;
      let unanswered = 0;
      for (const moment of moments) {
        const id = `step-${moment}`;
        const freeze = rig.freeze({ id }).catch(() => undefined);
        await (moment === 'answered' ? freeze : sleep(moment));
        await rig.sidecar.signal('SIGKILL');
        const answer = await freeze;
        if (answer === undefined) unanswered += 1;
        else expect(answer.status, JSON.stringify(answer.body)).toBe(200);
        await rig.sidecar.start();
        await rig.expectNothingHeld();
        expect((await rig.thaw(id)).status).toBe(409);
      }
      expect(unanswered).toBeGreaterThan(0);
      expect(unanswered).toBeLessThan(moments.length);
    });

    it('stopped while frozen: it releases everything before it exits', async () => {
      await rig.begin();
      await rig.held({ id: 'stopped' });
      await rig.sidecar.stop();
      await rig.expectNothingHeld();
      await rig.sidecar.start();
      await rig.inconsistent(/sidecar-stopped/, 'stopped');
    });

    const { deadManMs } = subject;
    const fate =
      deadManMs === null
        ? 'the next one releases everything'
        : 'the server releases itself after the renewed lease, and not before';
    it(`stalled forever: ${fate}`, async () => {
      await rig.begin();
      await rig.held({ id: 'silent', ttl: `${SHORT_LEASE_MS}ms` });
      await rig.held({ id: 'silent', ttl: `${LEASE_MS}ms`, renew: true });
      const renewedAt = performance.now();
      await rig.sidecar.signal('SIGSTOP');
      await sleep(SHORT_LEASE_MS + 500);
      await rig.expectSeenInServer();
      await rig.expectWrites(subject.blocksWrites);
      if (deadManMs === null) {
        await rig.sidecar.signal('SIGKILL');
        await rig.sidecar.start();
        await rig.expectNothingHeld();
        return;
      }
      await expect
        .poll(() => rig.world.held(), { timeout: LEASE_MS + deadManMs + BUSY_MACHINE_MS })
        .toEqual([]);
      await rig.expectWritesFlow();
      const early = renewedAt + LEASE_MS - performance.now();
      if (subject.seenInServer) expect(early).toBeLessThan(CLOCKS_APART_MS);
      await sleep(Math.max(0, early) + CLOCKS_APART_MS);
      await rig.sidecar.signal('SIGCONT');
      await rig.inconsistent(/lease-expired|hold-lost/, 'silent');
      await rig.expectNothingHeld();
    });
  });
}
