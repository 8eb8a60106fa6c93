import { describe, expect, it } from 'vitest';
import { claimsIn } from '../../src/engines/redis/receipt.ts';
import { invalid } from '../../src/engines/shared/promised.ts';
import { aReceipt } from '../support/fake-control.ts';

const position = { runId: 'r', replid: 'x', offset: 7, databases: {} };
const restore = {
  persistence: 'rdb',
  dir: '.',
  dbfilename: 'dump.rdb',
  appendfilename: 'appendonly.aof',
  appenddirname: null,
  files: [{ name: 'dump.rdb', size: 9, head: 'h', tail: 't' }],
};
const { engine } = aReceipt();
const ofRedis = { engine: { ...engine, name: 'redis' }, position, restore };

describe('the promise of a receipt', () => {
  it('is read from a receipt of this engine', () => {
    expect(claimsIn(aReceipt(ofRedis))).toEqual({ position, restore });
  });

  it.each([
    ['of another engine', { ...ofRedis, engine }, 'is of the engine postgres, not redis'],
    ['of no hold', { ...ofRedis, position: null }, 'its freeze was never in place'],
    ['without an offset', { ...ofRedis, position: { runId: 'r' } }, 'replid'],
    ['without files', { ...ofRedis, restore: { persistence: 'rdb' } }, 'restore section'],
    ['with a folder elsewhere', { ...ofRedis, restore: { ...restore, dir: '../x' } }, 'dir'],
    [
      'with a file outside the volume',
      {
        ...ofRedis,
        restore: { ...restore, files: [{ ...restore.files[0], name: '/etc/passwd' }] },
      },
      'leads out of the volume',
    ],
  ])('is refused in a receipt %s', (_what, changes, sentence) => {
    const receipt = aReceipt(changes);
    const message = expect.stringContaining(sentence) as string;
    const handedIn = { code: 'INVALID_FIELD', field: 'receipt', message };
    expect(() => claimsIn(receipt)).toThrow(expect.objectContaining(handedIn));
    const carried = { code: 'RESTORE_RECEIPT_INVALID', message };
    expect(() => claimsIn(receipt, invalid)).toThrow(expect.objectContaining(carried));
  });
});
