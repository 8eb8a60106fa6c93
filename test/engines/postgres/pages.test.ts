import { mkdir, rm, symlink, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { BlockSet } from '../../../src/engines/postgres/data-dir/block-set.ts';
import {
  filesToScan,
  type ScannedPage,
  scanPages,
} from '../../../src/engines/postgres/data-dir/page-scan.ts';
import { listRelations } from '../../../src/engines/postgres/data-dir/relation-files.ts';
import { pageLsn } from '../../../src/engines/postgres/wal/block-refs.ts';
import { makeTempDir } from '../../support/temp-dir.ts';

const BLOCK = 8192;
const SEGMENT = 131_072;
const never = new AbortController().signal;

/** Pages whose headers carry these LSNs. */
function pages(...lsns: number[]): Buffer {
  const bytes = Buffer.alloc(lsns.length * BLOCK, 0x5a);
  lsns.forEach((lsn, index) => {
    bytes.writeUInt32LE(Math.floor(lsn / 2 ** 32), index * BLOCK);
    bytes.writeUInt32LE(lsn % 2 ** 32, index * BLOCK + 4);
  });
  return bytes;
}

describe('the scan of pages', () => {
  let dir: string;
  /** Every page looked at, in order: file, block, LSN. */
  let looked: [string, number, number][];

  beforeEach(async () => {
    dir = await makeTempDir();
    looked = [];
  });
  afterEach(async () => rm(dir, { recursive: true, force: true }));

  const put = async (name: string, content: Buffer): Promise<void> => {
    await mkdir(dirname(join(dir, name)), { recursive: true });
    await writeFile(join(dir, name), content);
  };
  const scan = async (
    options: {
      limitMs?: number | null;
      named?: number[];
      required?: BlockSet;
      visit?: () => void;
    } = {},
  ): Promise<{ looked: number; total: number }> => {
    const files = filesToScan((await listRelations(dir, 17)).values(), BLOCK, SEGMENT);
    const named = new BlockSet();
    for (const block of options.named ?? []) named.add(block);
    const request = {
      blockSize: BLOCK,
      limitMs: options.limitMs ?? null,
      named: (_relation: string, fork: number) => (fork === 0 ? named : undefined),
      required: () => options.required,
      visit: ({ file, block, bytes, at }: ScannedPage) => {
        looked.push([file.path, block, pageLsn(bytes, at)]);
        options.visit?.();
      },
    };
    return await scanPages(dir, files, request, never);
  };

  it('looks at any database, segment, tablespace and visibility map, but not at another version’s', async () => {
    await mkdir(join(dir, 'elsewhere/PG_17_202406281'), { recursive: true });
    await mkdir(join(dir, 'pg_tblspc'));
    await symlink(join(dir, 'elsewhere'), join(dir, 'pg_tblspc/16400'));
    await put('elsewhere/PG_16_202307071/5/20000', pages(9));
    const places = {
      'global/1262': 0,
      'base/5/16384': 0,
      'base/5/16384.1': SEGMENT,
      'base/5/16384_vm': 0,
      'pg_tblspc/16400/PG_17_202406281/5/20000': 0,
    };
    for (const name of Object.keys(places)) await put(name, pages(5, 2 ** 33 + 7));
    expect(await scan()).toEqual({ looked: 10, total: 10 });
    const expected = Object.entries(places).flatMap(([name, first]) => [
      [name, first, 5],
      [name, first + 1, 2 ** 33 + 7],
    ]);
    expect(looked).toHaveLength(expected.length);
    expect(looked).toEqual(expect.arrayContaining(expected));
  });

  it('skips unlogged and temporary relations, free space maps, other files and a part of a page', async () => {
    for (const name of ['16390', '16390_init', '16390.1', '16390_vm', 't3_16400', '16384_fsm']) {
      await put(`base/5/${name}`, pages(1));
    }
    await put('base/5/pg_filenode.map', pages(1));
    await put('base/pgsql_tmp/16384', pages(1));
    await put('base/5/16385', pages(1).subarray(0, 100));
    expect(await scan()).toEqual({ looked: 0, total: 0 });
  });

  it('looks at the pages that WAL names first, then at the ends of every file, then at the rest', async () => {
    const lsns = Array.from({ length: 700 }, (_, index) => index);
    await put('base/5/16384', pages(...lsns));
    await put('base/5/16385', pages(1));
    expect(await scan({ named: [300, 301, 690] })).toEqual({ looked: 701, total: 701 });
    const blocks = looked.filter(([name]) => name === 'base/5/16384').map(([, block]) => block);
    expect(blocks.slice(0, 3)).toEqual([300, 301, 690]);
    expect(blocks.slice(3, 131)).toEqual(lsns.slice(0, 128));
    expect(blocks.slice(131, 258)).toEqual(lsns.slice(572).filter((block) => block !== 690));
    expect(blocks.slice(258, 260)).toEqual([128, 129]);
    expect(new Set(blocks).size).toBe(700);
    const other = looked.findIndex(([name]) => name === 'base/5/16385');
    expect(other, 'before the rest of the first').toBeLessThan(259);
  });

  it('looks at required pages before all others, and without a limit', async () => {
    await put('base/5/16384', pages(...Array.from({ length: 700 }, () => 1)));
    const required = new BlockSet();
    for (const block of [20, 300, 650]) required.add(block);
    expect(await scan({ limitMs: 0, named: [400], required })).toEqual({ looked: 3, total: 700 });
    expect(looked.map(([, block]) => block)).toEqual([20, 300, 650]);
  });

  it('stops when its time is up, and says how far it came', async () => {
    await put('base/5/16384', pages(...Array.from({ length: 700 }, () => 1)));
    const slow = (): void => {
      const until = performance.now() + 1;
      while (performance.now() < until);
    };
    const result = await scan({ limitMs: 50, named: [400], visit: slow });
    expect(result.total).toBe(700);
    expect(result.looked).toBeGreaterThan(0);
    expect(result.looked).toBeLessThan(700);
    expect(looked[0]?.[1]).toBe(400);
  });

  it('ends at once when it is aborted', async () => {
    await put('base/5/16384', pages(1));
    const files = filesToScan((await listRelations(dir, 17)).values(), BLOCK, SEGMENT);
    const request = {
      blockSize: BLOCK,
      limitMs: null,
      named: () => undefined,
      visit: () => undefined,
    };
    const scanned = scanPages(dir, files, request, AbortSignal.abort(new Error('enough')));
    await expect(scanned).rejects.toThrow('enough');
  });
});
