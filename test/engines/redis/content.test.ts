import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type Crc64, feedAll, feedByte } from '../../../src/engines/redis/data-dir/crc64.ts';
import { AofCommands } from '../../../src/engines/redis/restore/aof-commands.ts';
import { checkContent } from '../../../src/engines/redis/restore/check-content.ts';

let dir: string;
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'q-'));
});
afterEach(() => rm(dir, { recursive: true, force: true }));

const command = (...words: string[]): string =>
  `*${words.length}\r\n${words.map((word) => `$${word.length}\r\n${word}\r\n`).join('')}`;
const COMMANDS = `#TS:1700000000\r\n${command('SET', 'a', 'x'.repeat(9_000))}${command('DEL', '')}`;

function checksum(bytes: Buffer): Buffer {
  const state: Crc64 = { low: 0, high: 0 };
  feedAll(state, bytes);
  const out = Buffer.alloc(8);
  out.writeInt32LE(state.low, 0);
  out.writeInt32LE(state.high, 4);
  return out;
}

function rdb(): Buffer {
  const body = Buffer.from(`REDIS0011${'y'.repeat(3_000)}\u00ff${'z'.repeat(777)}\u00ff`, 'latin1');
  return Buffer.concat([body, checksum(body)]);
}

async function check(content: Buffer | string, isAof = false) {
  const path = join(dir, 'file');
  await writeFile(path, content);
  return await checkContent(path, isAof, new AbortController().signal);
}

it('the checksum is the one of the documented example, fed at once or byte by byte', () => {
  const digits = Buffer.from('123456789');
  expect(checksum(digits).readBigUInt64LE().toString(16)).toBe('e9c6d914c4b8d9ca');
  const state: Crc64 = { low: 0, high: 0 };
  for (const byte of digits) feedByte(state, byte);
  expect((state.high >>> 0).toString(16)).toBe('e9c6d914');
});

describe('an RDB file', () => {
  it('is intact if its checksum is right', async () => {
    expect(await check(rdb())).toBe('intact');
  });

  it.each([
    ['zeroes in the middle', (file: Buffer) => file.fill(0, 1_000, 1_100)],
    ['one other bit', (file: Buffer) => file.fill((file[2_000] ?? 0) ^ 1, 2_000, 2_001)],
    ['a missing byte at the end', (file: Buffer) => file.subarray(0, -1)],
    ['another beginning', (file: Buffer) => file.fill(0, 0, 5)],
    ['nothing but a beginning', (file: Buffer) => file.subarray(0, 9)],
  ])('is damaged with %s', async (_what, damage) => {
    expect(await check(damage(rdb()))).toHaveProperty('damage');
  });

  it('without a checksum shows only its form', async () => {
    const file = rdb();
    expect(await check(file.fill(0, file.length - 8))).toBe('framed');
  });
});

describe('an AOF', () => {
  it('shows only the form of its commands', async () => {
    expect(await check(COMMANDS, true)).toBe('framed');
  });

  it.each([
    ['zeroes between commands', COMMANDS.replace('*2\r\n$3\r\n', '\0\0\0\0\0\0\0\0')],
    ['a missing byte at the end', COMMANDS.slice(0, -1)],
    ['zeroes at the end', `${COMMANDS}\0\0\0\0`],
    ['a command that lacks an argument', COMMANDS.slice(0, -'$0\r\n\r\n'.length)],
    ['a value that is longer than said', COMMANDS.replace('xx', 'xxx')],
    ['a line without an end', `*${'1'.repeat(5_000)}`],
  ])('is damaged with %s', async (_what, content) => {
    expect(await check(content, true)).toHaveProperty('damage');
  });

  it('may begin with an RDB file whose checksum is checked', async () => {
    const mixed = Buffer.concat([rdb(), Buffer.from(COMMANDS)]);
    expect(await check(mixed, true)).toBe('framed');
    expect(await check(rdb(), true)).toBe('intact');
    expect(await check(Buffer.from(mixed).fill(0, 1_000, 1_010), true)).toHaveProperty('damage');
    expect(await check(mixed.subarray(0, -3), true)).toHaveProperty('damage');
  });

  it.each([1, 2, 3, 7, 4_096])('is read alike in pieces of %i bytes', (length) => {
    const bytes = Buffer.from(COMMANDS);
    const commands = new AofCommands();
    for (let at = 0; at < bytes.length; at += length) {
      expect(commands.push(bytes.subarray(at, at + length))).toBeNull();
    }
    expect(commands.complete).toBe(true);
  });
});
