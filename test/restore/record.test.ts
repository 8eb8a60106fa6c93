import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { RestoreLevel } from '../../src/receipt/restore-level.ts';
import { ReceiptVolume } from '../../src/receipt/volume.ts';
import {
  judgedBefore,
  recordFor,
  type RestoreRecord,
  RestoreRecords,
} from '../../src/restore/record.ts';

function record(mark: string | null, level: RestoreLevel, settled = false): RestoreRecord {
  return {
    view: {
      id: level === 'unproven' ? null : 'b-1',
      mark,
      level,
      ...(level === 'unproven' ? { reason: 'no-receipt' as const } : {}),
      verified: level === 'position',
      checkedAt: '2026-01-01T00:00:00.000Z',
      message: 'm',
      content: null,
    },
    settled: settled ? { how: 'acknowledged', by: 'me', at: '2026-01-02T00:00:00.000Z' } : null,
  };
}

describe('which record is about the present data', () => {
  const on = (volume: RestoreRecord | null, state: RestoreRecord | null = null) => ({
    volume,
    state,
    mounted: true,
  });

  it('a pod with a mark has the record of that restore, and no other', () => {
    const mine = record('r1', 'position');
    expect(recordFor('r1', on(mine))).toBe(mine);
    expect(recordFor('r1', on(null, mine))).toBe(mine);
    expect(recordFor('r2', on(mine, mine))).toBeNull();
    expect(recordFor('r1', on(record(null, 'position')))).toBeNull();
  });

  it('a mark that has lost one of its names is of the same restore, one with a new name is not', () => {
    const both = record('r1,template', 'unproven');
    expect(recordFor('template', on(both))).toBe(both);
    expect(recordFor('r2,template', on(both))).toBeNull();
  });

  it.each([null, undefined])('without a mark (%s), a doubt on the volume is repeated', (mark) => {
    for (const level of ['unproven', 'refused'] as const) {
      const doubt = record('r1', level);
      expect(recordFor(mark, on(doubt))).toBe(doubt);
    }
    expect(recordFor(mark, on(record('r1', 'unproven', true)))).toBeNull();
  });

  it.each([null, undefined])(
    'without a mark (%s), damage that the deep check found is repeated, and no success without it',
    (mark) => {
      const { view } = record('r1', 'position');
      const found = (state: 'failed' | 'unchecked'): RestoreRecord => ({
        view: { ...view, content: { state, checkedAt: null, message: 'm' } },
        settled: null,
      });
      const damage = found('failed');
      expect(recordFor(mark, on(damage))).toBe(damage);
      expect(recordFor(mark, on(found('unchecked')))).toBeNull();
    },
  );

  it('without a mark, a success that may have come with a copy is not repeated', () => {
    const success = record(null, 'position');
    expect(recordFor(undefined, on(success))).toBeNull();
    expect(recordFor(undefined, on(success, record(null, 'position')))).toEqual(success);
    expect(recordFor(undefined, on(null, success))).toBeNull();
  });

  it('without a volume the state directory is all there is', () => {
    const state = record('r1', 'unproven');
    expect(recordFor('r1', { volume: null, state, mounted: false })).toBe(state);
    expect(recordFor('r2', { volume: null, state, mounted: false })).toBeNull();
    expect(recordFor(null, { volume: null, state, mounted: false })).toBe(state);
  });
});

describe('the record', () => {
  let dir: string;
  beforeEach(async () => {
    dir = await mkdtemp(join(tmpdir(), 'q-record-'));
  });
  afterEach(() => rm(dir, { recursive: true, force: true }));

  it('is kept where at least one place takes it, and survives the end of a freeze', async () => {
    const volume = new ReceiptVolume(dir);
    const kept = record('r1', 'unproven');
    expect(await new RestoreRecords(volume, join(dir, 'state')).write(kept)).toBeNull();
    await volume.clear(null);
    const elsewhere = new RestoreRecords(volume, join(dir, 'other'));
    expect(await elsewhere.read()).toEqual({ volume: kept, state: null, mounted: true });
    const unmounted = new RestoreRecords(new ReceiptVolume(undefined), join(dir, 'state'));
    expect(await unmounted.read()).toEqual({ volume: null, state: kept, mounted: false });
    const nowhere = new RestoreRecords(new ReceiptVolume(undefined), '/proc/none');
    expect(await nowhere.write(kept)).toMatch(/./);
  });

  it('shows prepare-restore that this restore had a receipt, or was accepted without one', async () => {
    const volume = new ReceiptVolume(dir);
    const records = new RestoreRecords(volume, join(dir, 'state'));
    expect(await judgedBefore(volume, 'r1')).toBe(false);
    await records.write(record('r1', 'unproven'));
    expect(await judgedBefore(volume, 'r1')).toBe(false);
    await records.write(record('r1', 'unproven', true));
    expect(await judgedBefore(volume, 'r1')).toBe(true);
    await records.write(record('r1', 'position'));
    expect([await judgedBefore(volume, 'r1'), await judgedBefore(volume, 'r2')]).toEqual([
      true,
      false,
    ]);
  });
});
