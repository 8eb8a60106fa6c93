import { existsSync } from 'node:fs';
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import {
  clearEvidence,
  evidenceIn,
  writeEvidence,
} from '../../../src/engines/postgres/freeze/open/tablespace-evidence.ts';
import { makeTempDir } from '../../support/temp-dir.ts';

let volume: string;
beforeEach(async () => (volume = await makeTempDir()));
afterEach(async () => await rm(volume, { recursive: true }));

describe('the mark on the volume of a tablespace', () => {
  it('is removed with its folder', async () => {
    await writeEvidence([evidenceIn(volume)], { id: 'a', startLsn: '0/28' });
    expect(existsSync(evidenceIn(volume))).toBe(true);
    expect(await clearEvidence([evidenceIn(volume)])).toEqual([]);
    expect(existsSync(join(volume, '.quiesce'))).toBe(false);
  });

  it('is removed where a sidecar was killed while it wrote it', async () => {
    await mkdir(join(volume, '.quiesce'));
    await writeFile(join(volume, '.quiesce', '.4242-abc.tmp'), '{');
    expect(await clearEvidence([evidenceIn(volume)])).toEqual([]);
    expect(existsSync(join(volume, '.quiesce'))).toBe(false);
  });

  it('leaves the files of others, and so the folder', async () => {
    await writeEvidence([evidenceIn(volume)], { id: 'a', startLsn: '0/28' });
    await writeFile(join(volume, '.quiesce', 'notes'), 'mine');
    expect(await clearEvidence([evidenceIn(volume)])).toEqual([]);
    expect(existsSync(join(volume, '.quiesce', 'notes'))).toBe(true);
    expect(existsSync(evidenceIn(volume))).toBe(false);
  });
});
