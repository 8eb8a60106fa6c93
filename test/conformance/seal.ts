import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { runCli } from '../../src/testbed/processes.ts';
import { backUp } from './copies.ts';
import type { Ledger, Subject } from './fixture.ts';
import type { SharedRig } from './rig.ts';

/** What a server needs in addition to its data is on the disk at every freeze for a snapshot. */
export function describeSeal<L extends Ledger>(subject: Subject<L>, shared: SharedRig<L>): void {
  const through = subject.copy === 'files';
  describe('a line added to a configuration file seconds before the freeze', () => {
    it(`is in the copy, and the server that starts from it uses it: ${through ? 'read through the page cache, so not synced' : 'a copy of the block device'}`, async () => {
      const rig = await shared.get();
      await rig.begin();
      const { world } = rig;
      const { file, line } = await world.configure();
      const unsealed = await world.volume.snapshot('unsealed');
      if (unsealed.how.includes('without the page cache')) {
        // Otherwise this test could not fail.
        expect(await readFile(join(unsealed.path, file), 'utf8')).not.toContain(line);
      }
      const { dataDir, receipt } = await backUp(rig, subject.copy, 'configured');
      expect(receipt.unsynced).toEqual(through ? undefined : []);
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
