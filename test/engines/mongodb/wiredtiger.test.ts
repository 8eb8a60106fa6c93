import { mkdtemp, open, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { endOfRecords } from '../../../src/engines/mongodb/data-dir/journal.ts';
import { PackedReader } from '../../../src/engines/mongodb/data-dir/wiredtiger/integers.ts';
import { readMetadata } from '../../../src/engines/mongodb/data-dir/wiredtiger/metadata.ts';
import { subtract } from '../../../src/engines/mongodb/data-dir/wiredtiger/ranges.ts';
import { crc32c } from '../../../src/lib/crc32c.ts';

it.each([
  ['80', 0],
  ['bf', 63],
  ['c000', 64],
  ['dfff', 8_255],
  ['e100', 8_256],
  ['e3025fc0', 163_840],
])('the packed integer %s is %i', (hex, value) => {
  expect(new PackedReader(Buffer.from(hex, 'hex')).next()).toBe(value);
});

it('bytes that end within a packed integer are refused', () => {
  for (const hex of ['', 'c0', 'e301', '00', 'efffffffffffffffffffffffffffffff']) {
    expect(() => new PackedReader(Buffer.from(hex, 'hex')).next()).toThrow(RangeError);
  }
});

describe('the metadata of a table', () => {
  const table = (checkpoint: string): string =>
    `file:t.wt\naccess_pattern_hint=none,allocation_size=4KB,checkpoint=${checkpoint},checkpoint_lsn=(2,1152),id=1\n`;
  /** Measured on MongoDB 6.0. */
  const ADDRESS =
    '01c03f81e458be40d6c04081e4a909072fc04281e482eb10d0c04181e4d7234563e3081fc0e3025fc0';

  it('names the blocks of its checkpoint', () => {
    const text = table(
      `(WiredTigerCheckpoint.5=(addr="${ADDRESS}",order=5,size=167936,write_gen=36,run_write_gen=1))`,
    );
    expect(readMetadata(text)).toEqual([
      {
        name: 't.wt',
        allocationSize: 4_096,
        checkpoints: [
          {
            order: 5,
            root: { offset: 128 * 4_096, size: 4_096, checksum: 0x58be40d6 + 0x2040 },
            allocated: { offset: 129 * 4_096, size: 4_096, checksum: 0xa909072f + 0x2040 },
            available: { offset: 131 * 4_096, size: 4_096, checksum: 0x82eb10d0 + 0x2040 },
            discarded: { offset: 130 * 4_096, size: 4_096, checksum: 0xd7234563 + 0x2040 },
            fileSize: 0x081fc0 + 0x2040,
            writeGeneration: 36,
          },
        ],
      },
    ]);
  });

  it('has no checkpoint before anything was written', () => {
    for (const none of ['', '()']) expect(readMetadata(table(none))[0]?.checkpoints).toEqual([]);
    const empty = '(WiredTigerCheckpoint.1=(addr="",order=1,write_gen=1))';
    expect(readMetadata(table(empty))[0]?.checkpoints).toMatchObject([{ root: null, fileSize: 0 }]);
  });

  it.each([
    ['another version', `(WiredTigerCheckpoint.5=(addr="02${ADDRESS.slice(2)}",order=5))`],
    ['a cut address', `(WiredTigerCheckpoint.5=(addr="${ADDRESS.slice(0, 40)}",order=5))`],
    ['another form', '[1,2]'],
  ])('is not guessed at with %s', (_what, checkpoint) => {
    expect(readMetadata(table(checkpoint))[0]?.checkpoints).toBeNull();
  });
});

it('ranges are left without what is removed from them', () => {
  const range = (offset: number, size: number) => ({ offset, size });
  expect(subtract([range(0, 10), range(20, 10)], [range(5, 20)])).toEqual([
    range(0, 5),
    range(25, 5),
  ]);
  expect(subtract([range(0, 10)], [range(2, 3)])).toEqual([range(0, 2), range(5, 5)]);
  expect(subtract([range(0, 10)], [range(0, 10), range(30, 1)])).toEqual([]);
});

describe('the records of a journal file', () => {
  let dir: string;
  beforeEach(async () => {
    dir = await mkdtemp(join(tmpdir(), 'q-'));
  });
  afterEach(() => rm(dir, { recursive: true, force: true }));

  function record(length: number): Buffer {
    const bytes = Buffer.alloc(Math.ceil(length / 128) * 128, 0x5a);
    bytes.writeUInt32LE(length, 0);
    bytes.writeUInt32LE(0, 4);
    bytes.writeUInt32LE(crc32c(bytes, 0, length), 4);
    return bytes;
  }

  async function end(...parts: Buffer[]): Promise<number> {
    const path = join(dir, 'log');
    await writeFile(path, Buffer.concat(parts));
    const file = await open(path);
    const found = await endOfRecords(file);
    await file.close();
    return found;
  }

  it('end where the first one is missing', async () => {
    const [a, b, gap] = [record(128), record(300), Buffer.alloc(1_024)];
    expect(await end(a, b, gap)).toBe(128 + 384);
    expect(await end(a, gap, b)).toBe(128);
    expect(await end(gap)).toBe(0);
    expect(await end()).toBe(0);
  });

  it('are found in a file of many pieces', async () => {
    const parts = Array.from({ length: 50 }, (_one, index) => record(100_000 + index));
    const length = parts.reduce((sum, one) => sum + one.length, 0);
    expect(await end(...parts, Buffer.alloc(2_000_000))).toBe(length);
  });

  it('do not include one that is half written', async () => {
    const half = record(2_000);
    half.fill(0, 1_000);
    expect(await end(record(128), half, Buffer.alloc(4_096))).toBe(128);
  });
});
