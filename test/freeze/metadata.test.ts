import { chmod, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { by, CoordinatorRig } from '../support/coordinator-rig.ts';
import { QuiesceError } from '../../src/errors.ts';
import {
  LARGEST_METADATA,
  type MetadataDocument,
  writeMetadata,
} from '../../src/receipt/metadata-document.ts';

let rig: CoordinatorRig;
let path: string;

beforeEach(async () => {
  rig = await CoordinatorRig.make();
  path = join(rig.root, 'data/.quiesce/metadata.json');
});
afterEach(() => rig.remove());

const LACKS = /^The copy carries no metadata \(quiesce metadata --data\): /;

describe('the metadata of a freeze', () => {
  it('is beside the receipt while the freeze is held, and goes with it', async () => {
    const coordinator = await rig.next();
    const receipt = await coordinator.freeze({ id: 'm', by });
    expect(receipt.notes).toEqual([]);
    expect(JSON.parse(await readFile(path, 'utf8'))).toMatchObject({
      apiVersion: 'quiesce.dev/v1',
      kind: 'Metadata',
      id: 'm',
      engine: 'scripted',
      metadata: { version: '1.0' },
    });
    expect((await stat(path)).mode & 0o777).toBe(0o600);
    await coordinator.thaw({ id: 'm', by });
    await expect(stat(path)).rejects.toMatchObject({ code: 'ENOENT' });
  });

  it('that the server refuses does not fail it: a note says why', async () => {
    rig.engine.onMetadata = async () => {
      throw new QuiesceError('ENGINE_PRIVILEGE', 'The role may not.');
    };
    const coordinator = await rig.next();
    const receipt = await coordinator.freeze({ id: 'm', by });
    expect(receipt).toMatchObject({ verdict: 'held', evidence: { onVolume: true } });
    expect(receipt.notes).toEqual([expect.stringMatching(LACKS)]);
    expect(receipt.notes[0]).toContain('The role may not.');
    await expect(stat(path)).rejects.toMatchObject({ code: 'ENOENT' });
    expect(await coordinator.thaw({ id: 'm', by })).toMatchObject({ verdict: 'consistent' });
  });

  it('that never comes takes a quarter of the time of the freeze, and five seconds at most', async () => {
    // A driver that ignores its signal.
    rig.engine.onMetadata = () => new Promise(() => undefined);
    const coordinator = await rig.next();
    for (const [timeoutMs, atMostMs] of [
      [4_000, 2_500],
      [60_000, 8_000],
    ] as const) {
      const began = performance.now();
      const receipt = await coordinator.freeze({ id: `t${timeoutMs}`, timeoutMs, by });
      expect(performance.now() - began).toBeLessThan(atMostMs);
      expect(receipt.notes).toEqual([expect.stringMatching(LACKS)]);
      await coordinator.thaw({ id: `t${timeoutMs}`, by });
    }
  }, 20_000);

  it('does not hold up a thaw that comes meanwhile', async () => {
    rig.engine.onMetadata = () => new Promise(() => undefined);
    const coordinator = await rig.next();
    const freezing = coordinator.freeze({ id: 'm', timeoutMs: 60_000, by }).catch(() => 'aborted');
    await new Promise((resolve) => setTimeout(resolve, 200));
    const began = performance.now();
    await coordinator.thaw({ id: 'm', by }).catch(() => undefined);
    expect(await freezing).toBe('aborted');
    expect(performance.now() - began).toBeLessThan(2_000);
  });

  it('on a volume that cannot take it does not fail the freeze', async () => {
    const coordinator = await rig.next();
    const folder = join(rig.root, 'data/.quiesce');
    await coordinator.freeze({ id: 'first', by });
    await coordinator.thaw({ id: 'first', by });
    // A folder in its place: neither root nor anyone else can write the file.
    const { mkdir } = await import('node:fs/promises');
    await mkdir(path);
    await chmod(folder, 0o755);
    const receipt = await coordinator.freeze({ id: 'm', by });
    expect(receipt).toMatchObject({ verdict: 'held', evidence: { onVolume: true } });
    expect(receipt.notes).toEqual([expect.stringMatching(LACKS)]);
    expect(await coordinator.thaw({ id: 'm', by })).toMatchObject({ verdict: 'consistent' });
  });

  it('of ten thousand databases is cut to a mebibyte, and says at what', async () => {
    const databases = Array.from({ length: 20_000 }, (_none, at) => ({
      name: `database-with-quite-a-long-name-${at}`,
      owner: 'somebody',
      sizeBytes: at,
    }));
    rig.engine.onMetadata = async () => ({
      metadata: { databases, roles: [{ name: 'kept' }] },
      absent: [],
      truncated: [],
    });
    const coordinator = await rig.next();
    await coordinator.freeze({ id: 'm', by });
    const text = await readFile(path, 'utf8');
    expect(Buffer.byteLength(text)).toBeLessThanOrEqual(LARGEST_METADATA);
    expect(Buffer.byteLength(text)).toBeGreaterThan(LARGEST_METADATA / 2);
    const document = JSON.parse(text) as {
      truncated: string[];
      metadata: { databases: unknown[]; roles: unknown[] };
    };
    const { length } = document.metadata.databases;
    expect(document.truncated).toEqual([`databases: only the first ${length}`]);
    expect(document.metadata.roles).toEqual([{ name: 'kept' }]);
  });
});

describe('the text of a document', () => {
  const base: MetadataDocument = {
    apiVersion: 'quiesce.dev/v1',
    kind: 'Metadata',
    id: 'm',
    engine: 'scripted',
    collectedAt: '2026-01-01T00:00:00.000Z',
    architecture: 'x86_64',
    metadata: {},
    absent: [],
    truncated: [],
  };

  it('ends where the reasons alone are too long', () => {
    const absent = [{ part: 'users', reason: 'x'.repeat(LARGEST_METADATA) }];
    const document = JSON.parse(
      writeMetadata({ ...base, metadata: { version: '1' }, absent }),
    ) as MetadataDocument;
    expect(document).toMatchObject({ metadata: {}, absent: [] });
    expect(document.truncated).toEqual(['everything: it was longer than a copy may carry']);
    const truncated = ['y'.repeat(LARGEST_METADATA)];
    expect(() => writeMetadata({ ...base, truncated })).toThrow(RangeError);
  });

  it('says once what is left of a list that was cut before', () => {
    const roles = Array.from({ length: 100 }, (_none, at) => `role-${at}`);
    const truncated = ['roles: only the first 100', 'databases: only the first 5'];
    const text = writeMetadata({ ...base, metadata: { roles }, truncated }, 1_500);
    const document = JSON.parse(text) as MetadataDocument;
    const left = (document.metadata['roles'] as string[]).length;
    expect(document.truncated).toEqual([
      'databases: only the first 5',
      `roles: only the first ${left}`,
    ]);
  });
});
