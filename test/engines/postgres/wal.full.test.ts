import { readFile, readdir, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import * as fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { readControlFile } from '../../../src/engines/postgres/data-dir/control-file.ts';
import { formatLsn, parseLsn } from '../../../src/engines/postgres/lsn.ts';
import { crc32c } from '../../../src/lib/crc32c.ts';
import {
  locateWal,
  type WantedMarker,
  proveMarker,
} from '../../../src/engines/postgres/wal/prove-marker.ts';
import { parseHistory, readTimelineHistory } from '../../../src/engines/postgres/wal/timeline.ts';
import { firstRecordIn, walkWal } from '../../../src/engines/postgres/wal/walk.ts';
import {
  atomicCopy,
  clone,
  type Copy,
  freezeBySql,
  onServer,
  overwrite,
  type PostgresReceipt,
  segmentOf,
  type Source,
  startSource,
} from '../../support/copies.ts';
import { makeTempDir } from '../../support/postgres.ts';

const never = new AbortController().signal;

function markerOf({ id, position, restore, engine }: PostgresReceipt): WantedMarker {
  return {
    id,
    markerLsn: position.markerLsn ?? '',
    startLsn: position.startLsn,
    timeline: position.timeline,
    segmentSize: restore.wal.segmentSize,
    systemIdentifier: engine.identity['systemIdentifier'] ?? '',
  };
}

/** Rows with long values and large indexes: records of a few bytes up to many pages. */
async function writeALot(source: Source, rows: number): Promise<void> {
  await source.admin.query('CREATE TABLE IF NOT EXISTS t(id int, body text)');
  await source.admin.query('ALTER TABLE t ALTER body SET STORAGE EXTERNAL');
  await source.admin.query(
    `INSERT INTO t SELECT i, repeat(md5(i::text), 1 + i % 120) FROM generate_series(1, ${rows}) i`,
  );
  await source.admin.query(`SELECT pg_logical_emit_message(false, 'large', repeat('x', 3000000))`);
  await source.admin.query('CREATE INDEX ON t(id)');
}

it('the checksum is CRC-32C', () => {
  expect(crc32c(Buffer.from('123456789')).toString(16)).toBe('e3069283');
  expect(crc32c(Buffer.alloc(32)).toString(16)).toBe('8a9136aa');
});

describe.each([13, 14, 15, 16, 17, 18])('WAL of PostgreSQL %i', (major) => {
  it('is read record by record up to the server’s own position', async () => {
    const source = await startSource(major, major === 16 ? 16 : 1);
    try {
      await source.admin.query('ALTER SYSTEM SET autovacuum = off');
      await source.admin.query(`ALTER SYSTEM SET wal_keep_size = '512MB'`);
      await source.admin.query('SELECT pg_reload_conf()');
      await source.admin.query('CHECKPOINT');
      await writeALot(source, 3_000);
      const receipt = await freezeBySql(source, 'walk-1');
      await source.admin.query('SELECT pg_switch_wal()');
      await writeALot(source, 500);
      const wanted = markerOf(receipt);
      const location = await locateWal(source.pgdata, wanted);
      let switches = 0;
      let crossing = 0;
      const { redoLsn } = await readControlFile(source.pgdata);
      // The server may still log a snapshot of running transactions, so wait until it is idle.
      await expect
        .poll(async () => {
          const visit = (record: {
            rmgr: number;
            info: number;
            start: number;
            end: number;
          }): boolean => {
            if (record.rmgr === 0 && (record.info & 0xf0) === 0x40) switches += 1;
            if (record.end - record.start > 8192) crossing += 1;
            return false;
          };
          const walk = await walkWal(location, { start: Number(redoLsn), visit }, never);
          const { rows } = await source.admin.query<{ lsn: string }>(
            'SELECT pg_current_wal_insert_lsn()::text AS lsn',
          );
          const now = parseLsn(rows[0]?.lsn ?? '');
          // At the beginning of a page the server counts the page's header too.
          const diff = Number(now) - walk.endLsn;
          return diff === 24 || diff === 40 ? 0 : diff;
        })
        .toBe(0);
      expect(switches).toBeGreaterThan(0);
      expect(crossing).toBeGreaterThan(0);
      expect(await proveMarker(source.pgdata, wanted, never)).toMatchObject({ found: true });
      expect(await proveMarker(source.pgdata, { ...wanted, id: 'walk-2' }, never)).toMatchObject({
        found: false,
        detail: expect.stringMatching(/another record is in its place/),
      });
      const early = formatLsn(parseLsn(wanted.markerLsn) - 8n);
      expect(
        await proveMarker(source.pgdata, { ...wanted, markerLsn: early }, never),
      ).toMatchObject({ found: false });
    } finally {
      await source.stop();
    }
  });
});

describe('the proof of a marker', () => {
  let source: Source;
  let receipt: PostgresReceipt;
  let wanted: WantedMarker;
  let copy: Copy;
  let dir: string;

  beforeAll(async () => {
    dir = await makeTempDir();
    source = await startSource(17);
    await source.admin.query(`ALTER SYSTEM SET wal_keep_size = '512MB'`);
    await source.admin.query('SELECT pg_reload_conf()');
    await writeALot(source, 500);
    receipt = await freezeBySql(source, 'proof-1');
    wanted = markerOf(receipt);
    await source.admin.query('CREATE TABLE after()');
    copy = await atomicCopy(source, join(dir, 'copy'));
  });

  afterAll(async () => {
    await source.stop();
    await rm(dir, { recursive: true, force: true });
  });

  it('fails for another system, and for a server that is not past the marker', async () => {
    expect(
      await proveMarker(copy.pgdata, { ...wanted, systemIdentifier: '77' }, never),
    ).toMatchObject({ found: false });
    const { markerLsn } = wanted;
    expect(
      await proveMarker(copy.pgdata, { ...wanted, serverLsn: markerLsn }, never),
    ).toMatchObject({ found: false, detail: expect.stringMatching(/not past the marker/) });
    expect(await proveMarker(copy.pgdata, { ...wanted, timeline: 3 }, never)).toMatchObject({
      found: false,
    });
    expect(await proveMarker(join(dir, 'nowhere'), wanted, never)).toMatchObject({ found: false });
  });

  it('starts in the marker’s segment if the first one is gone and the server is known to be past', async () => {
    const first = segmentOf(copy, receipt, parseLsn(wanted.startLsn));
    const marker = segmentOf(copy, receipt, parseLsn(wanted.markerLsn) - 1n);
    expect(first).not.toBe(marker);
    await rename(first, `${first}.away`);
    try {
      expect(await proveMarker(copy.pgdata, wanted, never)).toMatchObject({
        found: false,
        detail: expect.stringMatching(/no such file/),
      });
      const serverLsn = formatLsn(parseLsn(wanted.markerLsn) + 8n);
      expect(await proveMarker(copy.pgdata, { ...wanted, serverLsn }, never)).toMatchObject({
        found: true,
      });
    } finally {
      await rename(`${first}.away`, first);
    }
  });

  it('finds the first record of a segment, after one that continues from the previous segment', async () => {
    const location = await locateWal(source.pgdata, wanted);
    const starts = new Set<number>();
    const firsts = new Map<number, number>();
    const { segmentSize } = location;
    const visit = ({ start }: { start: number }): boolean => {
      const segment = start - (start % segmentSize);
      if (!firsts.has(segment)) firsts.set(segment, start);
      starts.add(start);
      return false;
    };
    const names = (await readdir(join(source.pgdata, 'pg_wal'))).filter((n) => n.length === 24);
    // With segments of 1 MB the last 8 digits of the name are the segment's number.
    const oldest = Number.parseInt(names.sort()[0]?.slice(16) ?? '', 16);
    const begin = await firstRecordIn(location, oldest * segmentSize, never);
    await walkWal(location, { start: begin ?? 0, visit }, never);
    expect(firsts.size).toBeGreaterThan(3);
    for (const [segment, first] of firsts) {
      expect(await firstRecordIn(location, segment + 5, never)).toBe(first);
    }
  });

  it('succeeds on a later timeline, and fails on one that branched off before', async () => {
    const promoted = await clone(copy.volume, join(dir, 'promoted'));
    await writeFile(join(promoted.pgdata, 'recovery.signal'), '');
    await rm(join(promoted.pgdata, 'postmaster.pid'));
    const config = join(promoted.pgdata, 'postgresql.auto.conf');
    await writeFile(config, `${await readFile(config, 'utf8')}\nrestore_command = 'false'\n`);
    await onServer(promoted, 17, async (client) => {
      await expect
        .poll(async () => (await client.query('SELECT pg_is_in_recovery() AS r')).rows[0])
        .toEqual({ r: false });
      await client.query('CREATE TABLE on_two()');
      expect(await proveMarker(promoted.pgdata, wanted, never)).toMatchObject({ found: true });
      const { rows } = await client.query<{ lsn: string }>(
        'SELECT pg_current_wal_flush_lsn()::text AS lsn',
      );
      const live = { ...wanted, serverLsn: rows[0]?.lsn ?? '', serverTimeline: 2 };
      expect(await proveMarker(promoted.pgdata, live, never)).toMatchObject({ found: true });
    });
    const [first] = await readTimelineHistory(promoted.pgdata, 2);
    expect(first?.timeline).toBe(1);
    expect(first?.switchLsn).toBeGreaterThan(parseLsn(wanted.markerLsn));
    const history = join(promoted.pgdata, 'pg_wal/00000002.history');
    await writeFile(history, `1\t${wanted.startLsn}\tearlier\n`);
    expect(await proveMarker(promoted.pgdata, wanted, never)).toMatchObject({
      found: false,
      detail: expect.stringMatching(/branched off before the marker/),
    });
    await writeFile(history, 'what?\n');
    await expect(readTimelineHistory(promoted.pgdata, 2)).rejects.toThrow(/cannot be understood/);
    expect(await readTimelineHistory(promoted.pgdata, 1)).toEqual([]);
  });

  it('never throws on damaged WAL, and never finds a marker with a changed byte', async () => {
    const location = await locateWal(copy.pgdata, wanted);
    const end = Number(parseLsn(wanted.markerLsn));
    const start = Number(parseLsn(wanted.startLsn));
    let marker = 0;
    await walkWal(
      location,
      {
        start,
        visit: (record) => {
          if (record.end === end) marker = record.start;
          return record.end >= end;
        },
      },
      never,
    );
    expect(marker).toBeGreaterThan(0);
    const { segmentSize } = wanted;
    const base = start - (start % segmentSize);
    const span = Math.ceil((end - base) / segmentSize) * segmentSize;
    const markerFile = segmentOf(copy, receipt, BigInt(marker));
    expect(segmentOf(copy, receipt, BigInt(end - 1))).toBe(markerFile);
    // Without the bytes that align the record's end.
    const markerBytes = async (): Promise<Buffer> =>
      (await readFile(markerFile)).subarray(marker % segmentSize, (end - 8) % segmentSize);
    const intact = await markerBytes();
    const inMarker = fc.integer({ min: marker, max: end - 8 });
    const anywhere = fc.integer({ min: base, max: base + span - 1 });
    const around = fc.integer({ min: marker - 500, max: end + 500 });
    const change = fc.record({
      at: fc.oneof(inMarker, anywhere, around),
      bytes: fc.uint8Array({ minLength: 1, maxLength: 40 }),
    });
    let hits = 0;
    await fc.assert(
      fc.asyncProperty(fc.array(change, { minLength: 1, maxLength: 4 }), async (changes) => {
        const originals = new Map<string, Buffer>();
        for (const { at, bytes } of changes) {
          const path = segmentOf(copy, receipt, BigInt(at));
          if (!originals.has(path)) originals.set(path, await readFile(path));
          const offset = at % segmentSize;
          await overwrite(path, offset, Buffer.from(bytes.subarray(0, segmentSize - offset)));
        }
        const hit = !(await markerBytes()).equals(intact);
        const proof = await proveMarker(copy.pgdata, wanted, never);
        for (const [path, content] of originals) await writeFile(path, content);
        if (hit) {
          hits += 1;
          expect(proof.found).toBe(false);
        }
        expect(proof.detail).toMatch(/\.$/);
      }),
      { numRuns: 150 },
    );
    expect(hits).toBeGreaterThan(20);
    expect((await proveMarker(copy.pgdata, wanted, never)).found).toBe(true);
  });

  it('finds no record in a segment that was never written', async () => {
    const name = (await readdir(join(copy.pgdata, 'pg_wal'))).find((entry) => entry.length === 24);
    expect(name).toBeDefined();
    const location = await locateWal(copy.pgdata, wanted);
    expect(await firstRecordIn(location, 900 * wanted.segmentSize, never)).toBeUndefined();
  });
});

describe('a timeline history', () => {
  it('parses as the server writes it', () => {
    const text = '1\t0/3000000\tno recovery target specified\n\n# note\n2\t1/A0\tafter\n';
    expect(parseHistory(text, 'x')).toEqual([
      { timeline: 1, switchLsn: 0x3000000n },
      { timeline: 2, switchLsn: 0x1000000a0n },
    ]);
    expect(() => parseHistory('2\t0/1\n1\t0/2\n', 'x')).toThrow(/cannot be understood/);
  });
});
