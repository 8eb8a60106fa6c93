import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ReceiptVolume } from '../../src/receipt/volume.ts';
import { prepareRestore } from '../../src/restore/prepare-restore.ts';
import { recordFor, RestoreRecords } from '../../src/restore/record.ts';
import type { RestoreView } from '../../src/restore/view.ts';

let dir: string;
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'q-require-'));
  await mkdir(join(dir, 'data'));
});
afterEach(() => rm(dir, { recursive: true, force: true }));

const prepare = (restoreMark: string | null | undefined, requireReceipt = true) =>
  prepareRestore(
    {
      dataDir: join(dir, 'data'),
      restoreMark,
      requireReceipt,
      dryRun: false,
      load: () => Promise.resolve(undefined),
    },
    AbortSignal.timeout(5_000),
  );

async function judge(view: Partial<RestoreView>): Promise<void> {
  const whole: RestoreView = {
    id: 'b-1',
    mark: 'r1',
    level: 'position',
    verified: true,
    checkedAt: null,
    message: 'm',
    content: null,
    ...view,
  };
  const records = new RestoreRecords(new ReceiptVolume(join(dir, 'data')), join(dir, 'state'));
  expect(await records.write({ view: whole, settled: null })).toBeNull();
}

describe('a restored volume without a receipt', () => {
  it.each(['r1', undefined])(
    'is refused where a receipt is required, and its data left as it is (mark %s)',
    async (mark) => {
      await writeFile(join(dir, 'data/PG_VERSION'), '17\n');
      await expect(prepare(mark)).rejects.toMatchObject({ code: 'RESTORE_NO_RECEIPT' });
      const noted = mark === undefined ? [] : ['.quiesce'];
      expect(await readdir(join(dir, 'data'))).toEqual([...noted, 'PG_VERSION']);
      await expect(prepare(mark)).rejects.toMatchObject({ code: 'RESTORE_NO_RECEIPT' });
      expect(await prepare(mark, false)).toMatchObject({ outcome: 'nothing-to-do' });
    },
  );

  it('stays unproven for the sidecar of a pod that is made again without its label', async () => {
    await writeFile(join(dir, 'data/PG_VERSION'), '17\n');
    await expect(prepare('r1')).rejects.toMatchObject({ code: 'RESTORE_NO_RECEIPT' });
    const records = new RestoreRecords(new ReceiptVolume(join(dir, 'data')), join(dir, 'state'));
    expect(recordFor(null, await records.read())).toMatchObject({
      view: { id: null, mark: 'r1', level: 'unproven', reason: 'no-receipt' },
      settled: null,
    });
  });

  it('that is empty stays empty: initdb needs that', async () => {
    await expect(prepare('r1')).rejects.toMatchObject({ code: 'RESTORE_NO_RECEIPT' });
    expect(await readdir(join(dir, 'data'))).toEqual([]);
  });

  it.each([null, ''])('of a pod that no restore made is let through: %j', async (mark) => {
    expect(await prepare(mark)).toMatchObject({ outcome: 'nothing-to-do' });
  });

  it('is let through once this restore was judged against its receipt, and only this one', async () => {
    await judge({ mark: 'r1' });
    expect(await prepare('r1')).toMatchObject({ outcome: 'nothing-to-do' });
    await expect(prepare('r2')).rejects.toMatchObject({ code: 'RESTORE_NO_RECEIPT' });
    await judge({ mark: 'r2', id: null, level: 'unproven', reason: 'no-receipt' });
    await expect(prepare('r2')).rejects.toMatchObject({ code: 'RESTORE_NO_RECEIPT' });
  });
});
