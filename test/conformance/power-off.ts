import { existsSync } from 'node:fs';
import { lstat, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it, onTestFinished } from 'vitest';
import { type Finished, runCli } from '../../src/testbed/processes.ts';
import type { TestSidecar } from '../support/sidecar.ts';
import type { Ledger, Subject } from './fixture.ts';
import { carriesReceipt, Rig } from './rig.ts';

const VERIFIED_WITHIN_MS = 60_000;
const WITHIN_MS = 300_000;

/** A node that lost power in mid-freeze: its disk, without the page cache, and what clients were told. */
interface Outage<L> {
  readonly id: string;
  readonly ledger: L;
  /** The sidecar that died; its `emptyDir` may outlive it. */
  readonly sidecar: TestSidecar;
  /** Mounts the disk. Each call gives one of its own. */
  readonly disk: () => Promise<string>;
}

/**
 * A node loses power while a freeze is open. The next pod runs the init container as injection writes it,
 * then the server, then the sidecar: a live volume must come up as if quiesce were not there, and the same
 * disk under the mark of a further restore is a copy like any other.
 */
export function describePowerOff<L extends Ledger>(subject: Subject<L>): void {
  describe('a node that loses power while frozen', () => {
    const open = async (): Promise<Rig<L>> => {
      const rig = await Rig.open(subject, subject.copy, { disk: 'block' });
      onTestFinished(() => rig.close());
      return rig;
    };

    it(
      'never restored: all that was acknowledged is there, and a new pod’s sidecar sees no restore',
      async () => {
        const rig = await open();
        const outage = await powerOff(rig, '');
        const sidecar = await comesUp(rig, outage, { mark: '' });
        expect(sidecar.output).toContain('this is the live volume of a pod that died while frozen');
        await isCopyFor(rig, outage, 'later');
      },
      WITHIN_MS,
    );

    it(
      'restored before and restarted in place: all is there, and the freeze is reported as interrupted',
      async () => {
        const rig = await open();
        const outage = await powerOff(rig, 'earlier,');
        const state = outage.sidecar.env['QUIESCE_STATE_DIR'];
        const sidecar = await comesUp(rig, outage, { mark: 'earlier,', state });
        const { body } = await sidecar.api('GET', `/v1/receipts/${outage.id}`);
        expect(body).toMatchObject({
          reasons: expect.arrayContaining(['interrupted']),
          restoreMark: 'earlier',
        });
      },
      WITHIN_MS,
    );
  });
}

/** Freezes under load, makes the backup's copy, and kills server and sidecar while the freeze is open. */
async function powerOff<L extends Ledger>(rig: Rig<L>, mark: string): Promise<Outage<L>> {
  const id = 'outage';
  const { load, server } = rig.world;
  const sidecar = await rig.begin({ QUIESCE_RESTORE_MARK: mark });
  await load.start();
  await sleep(400);
  await rig.held({ id });
  await rig.world.backup('backup').during();
  const ledger = await load.acked();
  await Promise.all([server.kill(), sidecar.signal('SIGKILL')]);
  await load.stop();
  expect(ledger.count).toBeGreaterThan(0);
  let disks = 0;
  const disk = async (): Promise<string> => {
    disks += 1;
    const dataDir = await rig.world.copyNow(`disk-${disks}`);
    expect(carriesReceipt(dataDir)).toBe(true);
    return dataDir;
  };
  return { id, ledger, sidecar, disk };
}

interface NextPod {
  readonly mark: string;
  /** The `emptyDir` with the journal, if it is the same pod. */
  readonly state?: string | undefined;
}

async function comesUp<L extends Ledger>(
  rig: Rig<L>,
  { id, ledger, disk }: Outage<L>,
  { mark, state }: NextPod,
): Promise<TestSidecar> {
  const dataDir = await disk();
  const before = await filesIn(dataDir);
  const looked = await prepare(dataDir, mark);
  expect(looked, looked.stderr).toMatchObject({ code: 0 });
  expect(JSON.parse(looked.stdout)).toMatchObject({ outcome: 'live-volume', id, placed: [] });
  expect(await filesIn(dataDir)).toEqual(before);
  const restored = await rig.world.restore(dataDir);
  const sidecar = await rig.sidecarFor(dataDir, {
    ...restored.env,
    QUIESCE_RESTORE_MARK: mark,
    ...(state === undefined ? {} : { QUIESCE_STATE_DIR: state }),
  });
  await expect.poll(() => carriesReceipt(dataDir), { timeout: VERIFIED_WITHIN_MS }).toBe(false);
  await expect.poll(async () => (await sidecar.status()).state).toBe('thawed');
  await expectNoCopy(sidecar, mark);
  expect(existsSync(join(dataDir, `.quiesce/restored-${id}.json`))).toBe(false);
  await sidecar.stop();
  await sidecar.start();
  await expectNoCopy(sidecar, mark);
  expect(await restored.missing(ledger)).toEqual([]);
  await restored.stop();
  return sidecar;
}

/** The volume is not reported as a copy. Nothing has proven the restore that the mark of its pod names. */
async function expectNoCopy(sidecar: TestSidecar, mark: string): Promise<void> {
  const { restore } = await sidecar.status();
  if (mark === '') expect(restore).toBeNull();
  else expect(restore).toMatchObject({ id: null, level: 'unproven', verified: false });
  const series = /stateful_backup_restore_verified\{[^}]*level="position"[^}]*\} 0/;
  if (mark === '')
    expect(await sidecar.metrics()).not.toMatch(/stateful_backup_restore_verified\{/);
  else expect(await sidecar.metrics()).toMatch(series);
}

async function isCopyFor<L extends Ledger>(
  rig: Rig<L>,
  { id, ledger, disk }: Outage<L>,
  mark: string,
): Promise<void> {
  const dataDir = await disk();
  const prepared = await prepare(dataDir, mark);
  if (rig.subject.copy === 'volumes') {
    // Such a copy needs the receipt of a thaw, which never came.
    expect(prepared, prepared.stdout).toMatchObject({ code: 7 });
    return;
  }
  expect(prepared, prepared.stderr).toMatchObject({ code: 0 });
  expect(JSON.parse(prepared.stdout)).toMatchObject({ outcome: 'prepared', id });
  const restored = await rig.world.restore(dataDir);
  const env = { ...restored.env, QUIESCE_RESTORE_MARK: mark };
  const sidecar = await rig.sidecarFor(dataDir, env);
  await expect
    .poll(async () => (await sidecar.status()).restore, { timeout: VERIFIED_WITHIN_MS })
    .toMatchObject({ id, verified: true });
  // A copy made file by file is of the freeze, and what came later is not in it.
  if (rig.subject.copy !== 'files') expect(await restored.missing(ledger)).toEqual([]);
  await sidecar.stop();
  await restored.stop();
}

/** The arguments of the injected init container, with the mark as the kubelet resolves it. */
function prepare(dataDir: string, mark: string): Promise<Finished> {
  const args = ['prepare-restore', '--data', dataDir, '--restore-mark', mark, '-o', 'json'];
  return runCli(args, {});
}

/** Every file with what changes when somebody writes to it. */
async function filesIn(dataDir: string): Promise<readonly string[]> {
  const names = await readdir(dataDir, { recursive: true });
  const read = names.map(async (name) => {
    const { size, ino, mtimeMs, ctimeMs } = await lstat(join(dataDir, name));
    return `${name} ${size} ${ino} ${mtimeMs} ${ctimeMs}`;
  });
  return (await Promise.all(read)).toSorted();
}
