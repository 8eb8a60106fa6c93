import { readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { beforeAll, beforeEach, describe, expect, it, onTestFinished } from 'vitest';
import { runCli } from '../../src/testbed/processes.ts';
import type { TestSidecar } from '../support/sidecar.ts';
import type { Ledger, Subject } from './fixture.ts';
import { readiness, type SharedRig, type Rig } from './rig.ts';

const TAKES_OVER_WITHIN_MS = 10_000;

/** A volume belongs to one sidecar, and the files of a freeze must still be on it at the thaw. */
export function describeVolume<L extends Ledger>(subject: Subject<L>, shared: SharedRig<L>): void {
  let rig: Rig<L>;
  beforeAll(async () => {
    rig = await shared.get();
  });

  describe('the evidence of a freeze on the volume', () => {
    beforeEach(async () => {
      await rig.begin();
    });

    it('removed with its folder during the hold: the thaw fails', async () => {
      await rig.held({ id: 'tidied' });
      await rm(rig.evidence, { recursive: true });
      await rig.inconsistent(/evidence-lost/, 'tidied');
      await rig.expectNothingHeld('proof');
      await rig.held({ id: 'next' });
      expect(await rig.onVolume()).toContain('receipt.json');
      await rig.consistent('next');
    });

    it('removed or changed in any one file: the thaw fails', async () => {
      await rig.held({ id: 'looked-at' });
      const names = await rig.onVolume();
      expect(names).toContain('receipt.json');
      await rig.consistent('looked-at');
      // The folder has the name of its freeze.
      const named = (name: string, id: string): string => (name === 'looked-at' ? id : name);
      for (const name of names) {
        for (const how of ['removed', 'changed'] as const) {
          const id = `${how}-${name}`;
          await rig.held({ id });
          await spoil(join(rig.evidence, named(name, id)), how);
          await rig.inconsistent(/evidence-lost|staged-changed/, id);
          await rig.expectNothingHeld('proof');
        }
      }
    });

    it('has the metadata with it: for the owner of the data only, readable without a server', async () => {
      await rig.held({ id: 'described' });
      const path = join(rig.evidence, 'metadata.json');
      const [file, data] = await Promise.all([stat(path), stat(rig.world.volume.path)]);
      expect(file.mode & 0o777).toBe(0o600);
      expect([file.uid, file.gid]).toEqual([data.uid, data.gid]);
      const shown = await runCli(['metadata', '--data', rig.world.volume.path, '-o', 'json'], {});
      expect(shown.code, shown.stderr).toBe(0);
      expect(JSON.parse(shown.stdout)).toMatchObject({
        kind: 'Metadata',
        id: 'described',
        engine: subject.engine,
        metadata: expect.objectContaining({ databases: expect.anything() as unknown }) as unknown,
      });
      const texts = [shown.stdout, await readFile(path, 'utf8')];
      for (const secret of rig.world.secrets) {
        expect(texts.filter((text) => text.includes(secret))).toEqual([]);
      }
      await rig.consistent('described');
      await rig.expectNothingHeld('proof');
    });

    if (!subject.marksFurtherVolumes) return;
    it('removed or changed on a further volume: the thaw fails', async () => {
      for (const how of ['removed', 'changed'] as const) {
        await rig.held({ id: how });
        const marks = rig.marks();
        expect(marks).toHaveLength(rig.world.marked.length);
        for (const mark of marks) await spoil(mark, how);
        await rig.inconsistent(/evidence-lost/, how);
        await rig.expectNothingHeld();
      }
    });
  });

  describe('a second sidecar on the volume', () => {
    let second: TestSidecar;
    beforeEach(async () => {
      await rig.begin();
      second = await rig.another();
      onTestFinished(async () => {
        await second.signal('SIGKILL');
        await rig.sidecar.signal('SIGCONT');
      });
    });

    it('is not ready while the first one runs, and touches none of its files', async () => {
      await rig.held({ id: 'mine' });
      const before = await rig.onVolume();
      await second.start('live');
      await expectInUse(second);
      for (const body of [{}, { id: 'mine' }, { id: 'mine', renew: true }, { wait: true }]) {
        const refused = await second.api('POST', '/v1/freeze', body);
        expect(refused.status, JSON.stringify(refused.body)).toBe(409);
      }
      expect(await second.cli('freeze')).toMatchObject({
        code: 4,
        stderr: expect.stringContaining('VOLUME_IN_USE'),
      });
      expect(await second.cli('thaw', '--id', 'mine')).toMatchObject({ code: 7 });
      expect(await second.cli('thaw', '--abandon')).toMatchObject({ code: 0 });
      await second.stop();
      await second.start('live');
      await expectInUse(second);
      expect(await rig.onVolume()).toEqual(before);
      expect(await rig.state()).toBe('frozen');
      await rig.expectWrites(subject.blocksWrites);
      await rig.consistent('mine');
    });

    it('does not take it from one that is stalled', async () => {
      await rig.held({ id: 'still', ttl: '30s' });
      await rig.sidecar.signal('SIGSTOP');
      await second.start('live');
      await sleep(4_000);
      await expectInUse(second);
      expect(await rig.onVolume()).toContain('receipt.json');
      await rig.sidecar.signal('SIGCONT');
      await rig.consistent('still');
    });

    it('takes over by itself from one that was killed or has stopped', async () => {
      await second.start('live');
      for (const how of ['SIGKILL', 'SIGTERM'] as const) {
        const first = how === 'SIGKILL' ? rig.sidecar : second;
        const next = how === 'SIGKILL' ? second : rig.sidecar;
        await expectInUse(next);
        await first.signal(how);
        await expect
          .poll(() => readiness(next), { timeout: TAKES_OVER_WITHIN_MS })
          .toMatchObject({ status: 200 });
        const frozen = await next.cli('freeze', '--id', how);
        expect(frozen, frozen.stderr).toMatchObject({ code: 0 });
        expect(await next.cli('thaw', '--id', how)).toMatchObject({ code: 0 });
        await first.start('live');
      }
    });
  });
}

/** Spoils a file: removes it, with its whole folder if `path` is one, or changes the first file in it. */
async function spoil(path: string, how: 'removed' | 'changed'): Promise<void> {
  if (how === 'removed') return await rm(path, { recursive: true });
  const inside = (await stat(path)).isDirectory() ? (await readdir(path))[0] : '';
  if (inside === undefined) throw new Error(`${path} is empty`);
  const next = join(path, inside);
  if (inside !== '' && (await stat(next)).isDirectory()) return await spoil(next, how);
  await writeFile(next, '{}');
}

async function expectInUse(sidecar: TestSidecar): Promise<void> {
  await expect
    .poll(() => readiness(sidecar))
    .toMatchObject({ status: 503, body: expect.stringContaining('VOLUME_IN_USE') });
}
