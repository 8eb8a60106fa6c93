import { afterEach, describe, expect, it, onTestFinished } from 'vitest';
import type { TestSidecar } from '../support/sidecar.ts';
import type { Ledger } from './fixture.ts';
import { carriesReceipt, type SharedRig } from './rig.ts';

const JUDGED = { timeout: 60_000 };

/** What a restored database may be called where nothing proves it; `copies.ts` has the proven ones. */
export function describeRestores<L extends Ledger>(shared: SharedRig<L>): void {
  describe('a restore without proof', () => {
    afterEach(async () => (await shared.get()).world.load.stop());

    it('without a receipt is reported until a person accepts it, in every later pod', async () => {
      const rig = await shared.get();
      await rig.begin();
      await rig.world.write();
      await rig.held({ id: 'late', ttl: '1s' });
      await rig.expectThawed();
      const copy = await rig.world.copyNow('late');
      expect(carriesReceipt(copy)).toBe(false);
      const restored = await rig.world.restore(copy);
      onTestFinished(() => restored.stop());
      const marked = { ...restored.env, QUIESCE_RESTORE_MARK: 'restore-1' };
      const unproven = { id: null, level: 'unproven', reason: 'no-receipt', verified: false };

      const first = await rig.sidecarFor(copy, marked);
      await expectRestore(first, { ...unproven, mark: 'restore-1' }, [0]);
      const { stdout } = await first.cli('status');
      expect(stdout).toMatch(/restored by restore-1: NOT proven: .*unproven \(no-receipt\)/);
      expect(first.log).toContainEqual(
        expect.objectContaining({
          level: 'warn',
          restore: expect.objectContaining({ mark: 'restore-1', level: 'unproven' }) as object,
        }),
      );
      await first.stop();
      await first.start();
      await expectRestore(first, { ...unproven, mark: 'restore-1' }, [0]);
      await first.stop();
      // The next pod has neither the label nor the state directory; then a second restore comes.
      const next = await rig.sidecarFor(copy, restored.env);
      await expectRestore(next, { ...unproven, mark: 'restore-1' }, [0]);
      await next.stop();
      const again = await rig.sidecarFor(copy, { ...marked, QUIESCE_RESTORE_MARK: 'restore-2' });
      await expectRestore(again, { ...unproven, mark: 'restore-2' }, [0]);

      const accepted = await again.cli('status', '--acknowledge-restore', '-o', 'json');
      expect(accepted, accepted.stderr).toMatchObject({ code: 0 });
      const { acknowledged } = JSON.parse(accepted.stdout) as { acknowledged: object };
      expect(acknowledged).toMatchObject({ mark: 'restore-2', level: 'unproven' });
      const repeated = await again.cli('status', '--acknowledge-restore', '-o', 'json');
      expect(JSON.parse(repeated.stdout)).toEqual({ acknowledged });
      await expectRestore(again, null, []);
      await again.stop();
      await again.start();
      await expectRestore(again, null, []);
      expect(await again.status()).toMatchObject({ acknowledgedRestore: acknowledged });
      await again.stop();
    });

    it('of a database that came up empty is called empty', async () => {
      const rig = await shared.get();
      const server = await rig.world.blank('blank');
      onTestFinished(() => server.stop());
      const { dataDir, env } = server;
      const sidecar = await rig.sidecarFor(dataDir, { ...env, QUIESCE_RESTORE_MARK: 'restore-1' });
      await expectRestore(sidecar, { id: null, level: 'unproven', reason: 'empty' }, [0]);
      await sidecar.stop();
      await sidecar.start();
      await expectRestore(sidecar, { id: null, level: 'unproven', reason: 'empty' }, [0]);
      await sidecar.stop();
    });

    it('is reported until a consistent freeze proves the data again', async () => {
      const rig = await shared.get();
      await rig.world.write();
      const sidecar = await rig.begin({ QUIESCE_RESTORE_MARK: 'restore-3' });
      await expectRestore(sidecar, { level: 'unproven', reason: 'no-receipt' }, [0]);
      await rig.held({ id: 'short', ttl: '1s' });
      await rig.expectThawed();
      await expectRestore(sidecar, { level: 'unproven', reason: 'no-receipt' }, [0]);
      await rig.held({ id: 'proof' });
      await rig.consistent('proof');
      await expectRestore(sidecar, null, []);
      await sidecar.stop();
      await sidecar.start();
      await expectRestore(sidecar, null, []);
      expect(await sidecar.cli('status', '--acknowledge-restore')).toMatchObject({ code: 7 });
      await rig.expectServerFree('proof');
    });

    it('a pod that no restore made says nothing', async () => {
      const rig = await shared.get();
      const sidecar = await rig.begin({
        QUIESCE_RESTORE_MARK: '',
        QUIESCE_RESTORE_CHECK: 'content',
      });
      await expectRestore(sidecar, null, []);
      expect(await sidecar.cli('status', '--acknowledge-restore')).toMatchObject({ code: 7 });
    });
  });
}

/** Expects this report in the status, and these values in the metric. */
export async function expectRestore(
  sidecar: TestSidecar,
  restore: object | null,
  values: readonly number[],
): Promise<void> {
  const look = async (): Promise<unknown> => (await sidecar.status()).restore;
  if (restore === null) await expect.poll(look, JUDGED).toBeNull();
  else await expect.poll(look, JUDGED).toMatchObject(restore);
  const series = [
    ...(await sidecar.metrics()).matchAll(
      /^stateful_backup_restore_verified\{[^}]*level="position"[^}]*\} (\d)$/gm,
    ),
  ];
  expect(series.map(([, value]) => Number(value))).toEqual(values);
}
