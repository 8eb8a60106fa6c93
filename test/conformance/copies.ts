import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it, onTestFinished } from 'vitest';
import { runCli } from '../../src/testbed/processes.ts';
import { COPY_METHODS, type CopyMethod } from '../../src/receipt/receipt.ts';
import { type Receipt, receiptSchema } from '../../src/receipt/receipt.ts';
import type { Ledger, Refusal, Subject } from './fixture.ts';
import { expectRestore } from './restores.ts';
import { readiness, type SharedRig, Rig } from './rig.ts';

/** How many backups of each method are made and restored; QUIESCE_TEST_TRIALS raises it. */
const TRIALS = Number(process.env['QUIESCE_TEST_TRIALS'] ?? 1);
const VERIFIED_WITHIN_MS = 60_000;
const WITHIN_MS = 120_000 + TRIALS * 60_000;

/** Each claimed copy method is restored with nothing missing; every other one is refused. */
export function describeCopies<L extends Ledger>(subject: Subject<L>, shared: SharedRig<L>): void {
  describe('under write load', () => {
    it.each(subject.copies)(
      'copy: %s is restored with nothing missing, and verified by the sidecar that starts with it',
      async (copy) => {
        const rig = await Rig.open(subject, copy);
        onTestFinished(() => rig.close());
        await rig.begin();
        await rig.world.load.start();
        await sleep(400);
        for (let trial = 0; trial < TRIALS; trial += 1) await tryOnce(rig, copy, `t-${trial}`);
      },
      WITHIN_MS,
    );

    it('a copy cut before the freeze is never verified with its receipt', async () => {
      const rig = await shared.get();
      await rig.begin();
      await rig.world.load.start();
      await sleep(300);
      const early = await rig.world.copyNow('early');
      await sleep(300);
      await rig.held({ id: 'later' });
      const final = await rig.consistent('later');
      await rig.world.load.stop();
      const restored = await rig.world.restore(early);
      const sidecar = await rig.sidecarFor(early, restored.env);
      const verify = await sidecar.api('POST', '/v1/verify', { receipt: final });
      expect(verify, JSON.stringify(verify.body)).toMatchObject({
        status: 409,
        body: { error: { code: 'NOT_VERIFIED' } },
      });
    });
  });

  const unclaimed = COPY_METHODS.filter((copy) => !subject.claims.includes(copy));
  const refusals: Refusal[] = [
    ...unclaimed.map((copy) => ({ where: 'as not claimed', copy, env: {} })),
    ...subject.refusals,
  ];
  if (refusals.length === 0) return;
  it('a copy method that cannot keep its promise is refused, and nothing is held', async () => {
    const rig = await shared.get();
    for (const { where, copy, env, thawLast } of refusals) {
      const sidecar = await rig.begin({ QUIESCE_COPY: copy, ...env });
      const refused = await rig.freeze(thawLast === true ? { thawLast } : {});
      expect(refused, `${copy}, ${where}: ${JSON.stringify(refused.body)}`).toMatchObject({
        status: 422,
        body: { error: { code: 'COPY_UNSUPPORTED' } },
      });
      expect(refused.body.error.hint).toContain('QUIESCE_COPY');
      const flags = thawLast === true ? ['--thaw-last'] : [];
      expect(await sidecar.cli('freeze', ...flags)).toMatchObject({ code: 5 });
      expect(await sidecar.cli('thaw')).toMatchObject({ code: 7 });
      await rig.expectNothingHeld();
    }
  });
}

interface Copied<L> {
  /** The writes acknowledged by the moment of the promise. */
  readonly ledger: L;
  readonly dataDir: string;
  readonly receipt: Receipt;
}

async function tryOnce<L extends Ledger>(rig: Rig<L>, copy: CopyMethod, id: string): Promise<void> {
  const { ledger, dataDir, receipt } = await backUp(rig, copy, id);
  expect(ledger.count).toBeGreaterThan(0);
  const file = await rig.keep(`${id}.json`, JSON.stringify(receipt));
  // With several volumes no copy carries the final receipt: the person who restores supplies it.
  const given = copy === 'volumes' ? ['--receipt', file] : [];
  const prepared = await runCli(['prepare-restore', '--data', dataDir, ...given], {});
  expect(prepared, prepared.stderr).toMatchObject({ code: 0 });
  const restored = await rig.world.restore(dataDir);
  // The claim was copied, but not the lock on it: the source's sidecar is still running and ready.
  expect(existsSync(join(dataDir, '.quiesce/claim'))).toBe(true);
  const marked = { ...restored.env, QUIESCE_RESTORE_MARK: 'restore-1' };
  const sidecar = await rig.sidecarFor(dataDir, marked);
  expect(await readiness(rig.sidecar)).toMatchObject({ status: 200 });
  await expect
    .poll(async () => (await sidecar.status()).restore, { timeout: VERIFIED_WITHIN_MS })
    .toMatchObject({ id, level: 'position', verified: true });
  await expectRestore(sidecar, { id, mark: 'restore-1', level: 'position' }, [1]);
  expect(existsSync(join(dataDir, `.quiesce/restored-${id}.json`))).toBe(true);
  const verify = await sidecar.cli('verify', file);
  expect(verify, verify.stdout + verify.stderr).toMatchObject({ code: 0 });
  expect(verify.stdout).toContain('; level position');
  await sidecar.stop();
  await expectContent(rig, dataDir, id, marked);
  expect(await restored.missing(ledger)).toEqual([]);
  await restored.stop();
}

/**
 * A later pod, without the state directory, still has the level, and asks for the content: the check passes
 * or says that it could not look.
 */
async function expectContent<L extends Ledger>(
  rig: Rig<L>,
  dataDir: string,
  id: string,
  env: Readonly<Record<string, string>>,
): Promise<void> {
  const sidecar = await rig.sidecarFor(dataDir, { ...env, QUIESCE_RESTORE_CHECK: 'content' });
  await expectRestore(sidecar, { id, mark: 'restore-1', verified: true }, [1]);
  const state = async (): Promise<unknown> => (await sidecar.status()).restore?.content?.state;
  await expect.poll(state, { timeout: VERIFIED_WITHIN_MS }).toMatch(/^(?:passed|unchecked)$/);
  const { restore } = await sidecar.status();
  const passed = restore?.content?.state === 'passed';
  expect(restore?.level).toBe(passed ? 'content' : 'position');
  expect(await sidecar.metrics()).toMatch(
    new RegExp(`restore_verified\\{[^}]*level="content"[^}]*\\} ${passed ? 1 : 0}`),
  );
  await sidecar.stop();
}

/** Freezes, copies and thaws with the real command line, while clients write. */
export async function backUp<L extends Ledger>(
  rig: Rig<L>,
  copy: CopyMethod,
  id: string,
): Promise<Copied<L>> {
  const { load } = rig.world;
  const backup = rig.world.backup(id);
  let ledger = await load.acked();
  const frozen = await rig.sidecar.cli('freeze', '--id', id, '-o', 'json');
  expect(frozen, frozen.stderr).toMatchObject({ code: 0 });
  const held = receiptSchema.parse(JSON.parse(frozen.stdout));
  expect(held).toMatchObject({
    mode: rig.subject.mode,
    copy,
    verdict: 'held',
    evidence: { onVolume: true },
  });
  // If writers wait, the copy also holds the writes acknowledged during the freeze.
  if (held.writesBlocked) ledger = await load.acked();
  await backup.during();
  // An open freeze promises the moment of its thaw.
  if (copy === 'volumes') ledger = await load.acked();
  const thawed = await rig.sidecar.cli('thaw', '--id', id, '-o', 'json');
  expect(thawed, thawed.stdout + thawed.stderr).toMatchObject({ code: 0 });
  await backup.after();
  const receipt = receiptSchema.parse(JSON.parse(thawed.stdout));
  expect(receipt).toMatchObject({ verdict: 'consistent' });
  return { ledger, receipt, dataDir: await backup.mount() };
}
