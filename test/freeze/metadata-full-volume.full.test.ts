import { execFile } from 'node:child_process';
import { readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect, it, onTestFinished } from 'vitest';
import { by, CoordinatorRig } from '../support/coordinator-rig.ts';

const run = promisify(execFile);

it('the metadata never takes the last space of a volume: the receipt has it', async () => {
  const rig = await CoordinatorRig.make();
  const data = join(rig.root, 'data');
  await run('mount', ['-t', 'tmpfs', '-o', 'size=4m', 'quiesce-test', data]);
  onTestFinished(async () => {
    await run('umount', ['-l', data]);
    await rig.remove();
  });
  await writeFile(join(data, 'table'), Buffer.alloc(3 << 20));
  const coordinator = await rig.next();
  const receipt = await coordinator.freeze({ id: 'm', by });
  expect(receipt).toMatchObject({ verdict: 'held', evidence: { onVolume: true } });
  expect(receipt.notes).toEqual([
    'The copy carries no metadata (quiesce metadata --data): no space left on the device (ENOSPC).',
  ]);
  expect(await readdir(join(data, '.quiesce'))).toEqual(['receipt.json', 'scripted.label']);
  expect(await coordinator.thaw({ id: 'm', by })).toMatchObject({ verdict: 'consistent' });
});
