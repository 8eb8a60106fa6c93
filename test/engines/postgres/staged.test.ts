import { mkdir, readdir, readFile, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { PreparedRecord } from '../../../src/engines/postgres/receipt.ts';
import { readSwap, swapIn } from '../../../src/engines/postgres/restore/swap.ts';
import {
  isStagingName,
  removeStaging,
  stagingName,
  sweepStaging,
} from '../../../src/engines/postgres/freeze/staged/folder.ts';
import { listSources } from '../../../src/engines/postgres/freeze/staged/sources.ts';
import { makeTempDir } from '../../support/temp-dir.ts';

let dir: string;
beforeEach(async () => {
  dir = await makeTempDir();
});
afterEach(async () => {
  await rm(dir, { recursive: true, force: true });
});

const prepared: PreparedRecord = {
  id: 'one',
  preparedAt: '2026-01-01T00:00:00Z',
  systemIdentifier: '1',
  walFrom: '0/1',
  walEnd: '0/2',
  coveredBy: 'marker',
};
const NAMES = ['PG_VERSION', 'base', 'global', 'pg_wal'];

/**
 * A data directory at the root of its volume, with a staged backup; each entry says `live` or
 * `staged`.
 */
async function makeCopy(): Promise<{ pgdata: string; staging: string }> {
  const pgdata = join(dir, 'vol');
  const staging = join(pgdata, '.quiesce/one');
  await mkdir(join(staging, 'base'), { recursive: true });
  await mkdir(join(pgdata, 'lost+found'));
  for (const name of NAMES) {
    await mkdir(join(pgdata, name));
    await writeFile(join(pgdata, name, 'from'), 'live');
    await mkdir(join(staging, 'base', name));
    await writeFile(join(staging, 'base', name, 'from'), 'staged');
  }
  await writeFile(join(pgdata, 'only-live'), '');
  return { pgdata, staging };
}

async function expectSwapped(pgdata: string, staging: string): Promise<void> {
  expect((await readdir(pgdata)).toSorted()).toEqual(
    ['.quiesce', 'lost+found', ...NAMES].toSorted(),
  );
  for (const name of NAMES) {
    expect(await readFile(join(pgdata, name, 'from'), 'utf8')).toBe('staged');
  }
  expect(await readdir(join(staging, 'base'))).toEqual([]);
  expect((await readSwap(staging))?.phase).toBe('done');
}

describe('a swap', () => {
  it('puts the staged backup in place, and a second run changes nothing', async () => {
    const { pgdata, staging } = await makeCopy();
    await swapIn(pgdata, staging, { phase: 'clearing', prepared });
    await expectSwapped(pgdata, staging);
    const state = await readSwap(staging);
    if (state) await swapIn(pgdata, staging, state);
    await expectSwapped(pgdata, staging);
  });

  it.each([0, 1, 2, 3, 4, 5])(
    'interrupted after %i entries are out is finished by the next run',
    async (count) => {
      const { pgdata, staging } = await makeCopy();
      await mkdir(join(staging, 'torn'));
      for (const name of [...NAMES, 'only-live'].slice(0, count)) {
        await rename(join(pgdata, name), join(staging, 'torn', name));
      }
      const swap = { phase: 'clearing', prepared } as const;
      await writeFile(join(staging, 'swap.json'), JSON.stringify(swap));
      await swapIn(pgdata, staging, (await readSwap(staging)) ?? swap);
      await expectSwapped(pgdata, staging);
    },
  );

  it.each([0, 1, 2, 3, 4])(
    'interrupted after %i entries are in is finished by the next run',
    async (count) => {
      const { pgdata, staging } = await makeCopy();
      await rm(join(pgdata, 'only-live'));
      for (const name of NAMES) await rm(join(pgdata, name), { recursive: true });
      for (const name of NAMES.slice(0, count)) {
        await rename(join(staging, 'base', name), join(pgdata, name));
      }
      const swap = { phase: 'filling', prepared } as const;
      await writeFile(join(staging, 'swap.json'), JSON.stringify(swap));
      await swapIn(pgdata, staging, (await readSwap(staging)) ?? swap);
      await expectSwapped(pgdata, staging);
    },
  );

  it('never overwrites an entry that appeared in PGDATA meanwhile', async () => {
    const { pgdata, staging } = await makeCopy();
    const swap = { phase: 'filling', prepared } as const;
    await expect(swapIn(pgdata, staging, swap)).rejects.toMatchObject({
      code: 'RESTORE_INCOMPLETE',
    });
    expect(await readFile(join(pgdata, 'global/from'), 'utf8')).toBe('live');
  });
});

describe('the folder of a staged backup', () => {
  it('is named after the freeze or a digest of its id, and never leads out of .quiesce', () => {
    expect(stagingName('nightly-2026')).toBe('nightly-2026');
    for (const id of ['.', '..', '.hidden', 'receipt.json', 'restored-x', 'postgres.backup_label'])
      expect(stagingName(id)).toMatch(/^staged-[0-9a-f]{24}$/);
    for (const name of ['', '.', '..', 'a/b', '../a', 'receipt.json'])
      expect(isStagingName(name)).toBe(false);
  });

  it('is removed without following a link out of it', async () => {
    const precious = join(dir, 'precious');
    await mkdir(precious);
    await writeFile(join(precious, 'data'), 'x');
    const root = join(dir, 'vol/.quiesce');
    await mkdir(join(root, 'one/base/pg_wal'), { recursive: true });
    await symlink(precious, join(root, 'one/base/link'));
    await symlink(precious, join(root, 'two'));
    await sweepStaging(join(dir, 'vol'));
    expect(await readdir(root)).toEqual(['two']);
    await removeStaging(join(root, 'two'));
    expect(await readdir(precious)).toEqual(['data']);
  });

  it('is kept while a receipt is on the volume, and while its swap is in progress', async () => {
    const vol = join(dir, 'vol');
    await mkdir(join(vol, '.quiesce/one/base'), { recursive: true });
    await writeFile(join(vol, '.quiesce/receipt.json'), '{}');
    await sweepStaging(vol);
    await rm(join(vol, '.quiesce/receipt.json'));
    await writeFile(join(vol, '.quiesce/one/swap.json'), '{}');
    await sweepStaging(vol);
    expect((await readdir(join(vol, '.quiesce/one'))).toSorted()).toEqual(['base', 'swap.json']);
    await rm(join(vol, '.quiesce/one/swap.json'));
    await sweepStaging(vol);
    expect(await readdir(join(vol, '.quiesce'))).toEqual([]);
  });
});

it('data behind a link is refused, and links to configuration stay links', async () => {
  const pgdata = join(dir, 'pgdata');
  await mkdir(join(pgdata, 'pg_tblspc'), { recursive: true });
  await symlink('/etc/postgresql/pg_hba.conf', join(pgdata, 'pg_hba.conf'));
  const { links } = await listSources(pgdata);
  expect(links).toEqual([{ path: 'pg_hba.conf', target: '/etc/postgresql/pg_hba.conf' }]);
  await symlink('/mnt/space', join(pgdata, 'pg_tblspc/16400'));
  await expect(listSources(pgdata)).rejects.toMatchObject({ code: 'COPY_UNSUPPORTED' });
});
