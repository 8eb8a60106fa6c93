import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { runCli } from '../../src/testbed/processes.ts';
import { backUp } from './copies.ts';
import type { Ledger, Subject } from './fixture.ts';
import type { Rig, SharedRig } from './rig.ts';

/** What a server needs in addition to its data is on the disk at every freeze for a snapshot. */
export function describeSeal<L extends Ledger>(subject: Subject<L>, shared: SharedRig<L>): void {
  describe('a line added to a configuration file seconds before the freeze', () => {
    let rig: Rig<L>;
    beforeAll(async () => {
      rig = await shared.get();
      await rig.begin();
    });

    if (subject.copy === 'files') {
      it('needs no sync where files are copied through the page cache', async () => {
        await rig.world.configure();
        expect(await rig.held({ id: 'through-cache' })).not.toHaveProperty('unsynced');
        expect(await rig.consistent('through-cache')).not.toHaveProperty('unsynced');
      });
      return;
    }

    it('is in the copy of the block device, and the server that starts from it uses it', async () => {
      const { world } = rig;
      const [{ file, line }] = [await world.configure()];
      const unsealed = await world.volume.snapshot('unsealed');
      if (unsealed.how.includes('without the page cache')) {
        // Otherwise this test could not fail.
        expect(await readFile(join(unsealed.path, file), 'utf8')).not.toContain(line);
      }
      const { dataDir, receipt } = await backUp(rig, subject.copy, 'configured');
      expect(receipt.unsynced).toEqual([]);
      expect(await readFile(join(dataDir, file), 'utf8')).toContain(line);
      const receiptFile = await rig.keep('configured.json', JSON.stringify(receipt));
      const given = subject.copy === 'volumes' ? ['--receipt', receiptFile] : [];
      const prepared = await runCli(['prepare-restore', '--data', dataDir, ...given], {});
      expect(prepared, prepared.stderr).toMatchObject({ code: 0 });
      const restored = await world.restore(dataDir);
      expect(await restored.configured()).toBe(true);
      await restored.stop();
    });
  });
}
