import { cp, mkdir, open, readdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Client } from 'pg';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { EmbeddedPostgres, freePort } from '../../../src/testbed/postgres/server.ts';
import type { VerifyCheck, VerifyOptions, VerifyResult } from '../../../src/engines/engine.ts';
import { createEngine } from '../../../src/engines/postgres/index.ts';
import { parseLsn } from '../../../src/engines/postgres/lsn.ts';
import { positionSchema } from '../../../src/engines/postgres/receipt.ts';
import { parseSettings } from '../../../src/engines/postgres/connection/settings.ts';
import { verifyReceipt } from '../../../src/engines/postgres/verify/verify.ts';
import { judgePosition, judgeTimeline } from '../../../src/engines/postgres/verify/position.ts';
import type { Receipt } from '../../../src/receipt/receipt.ts';
import { MAJORS, startServer, type TestServer } from '../../support/postgres.ts';

const never = new AbortController().signal;
const shallow: VerifyOptions = { deep: false, deepTimeoutMs: 1 };

/** A receipt as a real freeze of this server makes it. */
async function freeze(
  env: Record<string, string>,
  dataDir: string | undefined,
  id: string,
): Promise<Receipt> {
  const engine = createEngine({ settings: env, dataDir });
  const context = {
    id,
    copy: 'snapshot' as const,
    ttlMs: 60_000,
    progress: () => undefined,
    keep: () => Promise.resolve(),
    remember: () => Promise.resolve(),
  };
  await engine.prepare(context, never);
  const hold = await engine.hold(context, never);
  await hold.release(never);
  await engine.close();
  expect(hold.mode).toBe('sealed');
  return {
    apiVersion: 'quiesce.dev/v1',
    kind: 'Receipt',
    id,
    engine: {
      name: 'postgres',
      version: hold.server.version,
      role: hold.server.role,
      identity: { ...hold.server.identity },
    },
    mode: hold.mode,
    copy: 'snapshot',
    writesBlocked: false,
    requestedAt: '2026-01-01T00:00:00.000Z',
    frozenAt: null,
    expiresAt: null,
    thawedAt: null,
    durationsMs: { prepare: 0, freeze: 0, held: 0, thaw: 0 },
    position: hold.position as Receipt['position'],
    restore: hold.restore as Receipt['restore'],
    evidence: { onVolume: false, detail: '' },
    verdict: 'held',
    reasons: [],
    notes: [],
  };
}

async function verify(
  env: Record<string, string>,
  dataDir: string | undefined,
  receipt: Receipt,
  options = shallow,
): Promise<VerifyResult> {
  return await verifyReceipt(
    { settings: parseSettings(env).settings, dataDir },
    receipt,
    options,
    never,
  );
}

function lsnOf(receipt: Receipt): string {
  return positionSchema.parse(receipt.position).lsn;
}

function check(result: VerifyResult, name: string): VerifyCheck {
  const found = result.checks.find((entry) => entry.name === name);
  if (!found) throw new Error(`no check ${name}`);
  return found;
}

/** Writes until the server is past this position. */
async function writePast(client: Client, lsn: string): Promise<void> {
  await client.query('CREATE TABLE IF NOT EXISTS filler (t text)');
  for (;;) {
    await client.query(
      `INSERT INTO filler SELECT repeat(md5(n::text), 20) FROM generate_series(1, 2000) n`,
    );
    const { rows } = await client.query<{ lsn: string }>(
      'SELECT pg_current_wal_flush_lsn()::text AS lsn',
    );
    if (parseLsn(rows[0]?.lsn ?? '0/0') > parseLsn(lsn) + 100_000n) return;
  }
}

describe.each(MAJORS)('verify on PostgreSQL %i', (major) => {
  let it: TestServer;
  const others: EmbeddedPostgres[] = [];

  beforeEach(async () => {
    it = await startServer({ major, hba: ['host replication postgres 127.0.0.1/32 trust'] });
    await it.admin.query('CREATE DATABASE shop');
  });
  afterEach(async () => {
    for (const server of others.splice(0)) await server.stop('immediate');
    await it.stop();
  });

  /** Copies the data while the server is stopped. */
  async function copyStopped(name: string): Promise<string> {
    await it.server.stop();
    const target = join(it.dir, name, 'data');
    await mkdir(join(it.dir, name));
    await cp(it.dataDir, target, { recursive: true, preserveTimestamps: true });
    await it.server.start();
    await it.reconnect();
    return target;
  }

  /** Starts a second server on a copy. It ends after the test. */
  async function startOn(
    dataDir: string,
    role: 'primary' | 'standby' = 'primary',
  ): Promise<{ env: Record<string, string>; admin: Client; server: EmbeddedPostgres }> {
    const server = await EmbeddedPostgres.at({
      major,
      dataDir,
      port: await freePort(),
      socketDir: join(dataDir, '../s'),
      settings: { fsync: 'off' },
    });
    await rm(join(dataDir, 'postmaster.pid'), { force: true });
    if (role === 'standby') {
      await writeFile(join(dataDir, 'standby.signal'), '');
      await writeFile(
        join(dataDir, 'postgresql.auto.conf'),
        `primary_conninfo = 'host=127.0.0.1 port=${it.server.options.port} user=postgres'\n`,
      );
    }
    await server.own(join(dataDir, '..'));
    await server.own(dataDir);
    for (const name of await readdir(dataDir, { recursive: true }))
      await server.own(join(dataDir, name));
    await server.start();
    others.push(server);
    const { Client } = await import('pg');
    const admin = new Client(server.superuser());
    admin.on('error', () => undefined);
    await admin.connect();
    return { env: { ...it.roleEnv, PGPORT: String(server.options.port) }, admin, server };
  }

  test('the same run of the server is proven, without seeing its data', async () => {
    const receipt = await freeze(it.roleEnv, it.dir, 'same-run');
    const result = await verify(it.roleEnv, undefined, receipt);
    expect(result).toMatchObject({ verified: true });
    expect(result.checks.map(({ name }) => name)).toEqual([
      'system-identifier',
      'timeline',
      'position',
      'databases',
    ]);
  });

  test('a restarted server is proven by the marker in its WAL, and only where the WAL is visible', async () => {
    const receipt = await freeze(it.roleEnv, it.dir, 'restart');
    await it.server.stop('immediate');
    await it.server.start();
    await it.reconnect();
    expect(check(await verify(it.roleEnv, it.dir, receipt), 'position')).toMatchObject({
      ok: true,
    });
    const hidden = await verify({ ...it.roleEnv }, '/nowhere', receipt);
    expect(hidden.verified).toBe(false);
    expect(check(hidden, 'position').message).toMatch(/nothing proves.*QUIESCE_DATA_DIR/);
  });

  test('a copy without the last WAL fails, and still fails when new WAL has passed the position', async () => {
    const copy = await copyStopped('early');
    const receipt = await freeze(it.roleEnv, it.dir, 'early');
    const restored = await startOn(copy);
    const before = await verify(restored.env, join(copy, '..'), receipt);
    expect(check(before, 'position')).toMatchObject({ ok: false });
    expect(check(before, 'position').message).toContain('missing');
    await writePast(restored.admin, lsnOf(receipt));
    const after = await verify(restored.env, join(copy, '..'), receipt);
    expect(after.verified).toBe(false);
    expect(check(after, 'position')).toMatchObject({ ok: false });
    expect(check(after, 'position').message).toContain('nothing proves');
    await restored.admin.end();
  });

  test('the proof of prepare-restore counts only for its own id and position', async () => {
    const copy = await copyStopped('prepared');
    const receipt = await freeze(it.roleEnv, it.dir, 'prepared');
    const restored = await startOn(copy);
    await writePast(restored.admin, lsnOf(receipt));
    const volume = join(copy, '..');
    await mkdir(join(volume, '.quiesce'));
    const proof = {
      id: 'prepared',
      preparedAt: '2026-01-01T00:00:00.000Z',
      systemIdentifier: receipt.engine.identity['systemIdentifier'],
      walFrom: receipt.position?.['startLsn'],
      walEnd: receipt.position?.['lsn'],
      coveredBy: 'marker',
    };
    const tryWith = async (change: object): Promise<boolean> => {
      await writeFile(
        join(volume, '.quiesce', 'prepared.json'),
        JSON.stringify({ ...proof, ...change }),
      );
      return check(await verify(restored.env, volume, receipt), 'position').ok;
    };
    expect(await tryWith({})).toBe(true);
    expect(await tryWith({ id: 'another' })).toBe(false);
    expect(await tryWith({ coveredBy: 'checkpoint' })).toBe(true);
    expect(await tryWith({ coveredBy: 'replay' })).toBe(false);
    expect(await tryWith({ coveredBy: undefined })).toBe(false);
    expect(await tryWith({ walEnd: '0/1' })).toBe(false);
    expect(await tryWith({ systemIdentifier: '1' })).toBe(false);
    await restored.admin.end();
  });

  test('a standby is proven by its replay, but not if it was promoted before the freeze', async () => {
    const copy = await copyStopped('standby');
    const standby = await startOn(copy, 'standby');
    const receipt = await freeze(it.roleEnv, it.dir, 'standby');
    await expect
      .poll(async () => (await verify(standby.env, undefined, receipt)).verified, {
        timeout: 10_000,
      })
      .toBe(true);
    await standby.admin.query('SELECT pg_promote()');
    const later = await freeze(it.roleEnv, it.dir, 'after-promotion');
    await writePast(standby.admin, lsnOf(later));
    const same = await verify(standby.env, join(copy, '..'), receipt);
    expect(same.checks.filter(({ ok }) => !ok)).toEqual([]);
    expect(check(same, 'timeline')).toMatchObject({ expected: 1, found: 2 });
    const diverged = await verify(standby.env, join(copy, '..'), later);
    expect(check(diverged, 'timeline')).toMatchObject({ ok: false });
    expect(check(diverged, 'timeline').message).toContain('branched off');
    expect(check(diverged, 'position').ok).toBe(false);
    await standby.admin.end();
  });

  test('a missing database fails with its name, and one created since is accepted', async () => {
    const receipt = await freeze(it.roleEnv, it.dir, 'databases');
    await it.admin.query('CREATE DATABASE newer');
    expect((await verify(it.roleEnv, it.dir, receipt)).verified).toBe(true);
    await it.admin.query('DROP DATABASE shop');
    const result = await verify(it.roleEnv, it.dir, receipt);
    await it.admin.query('CREATE DATABASE shop');
    expect(check(result, 'databases')).toMatchObject({ ok: false, message: 'Missing: shop.' });
  });

  test('another server’s receipt fails by system identifier, and another engine’s is refused', async () => {
    const receipt = await freeze(it.roleEnv, it.dir, 'other');
    const foreign = {
      ...receipt,
      engine: { ...receipt.engine, identity: { systemIdentifier: '42' } },
    };
    const result = await verify(it.roleEnv, it.dir, foreign);
    expect(result.verified).toBe(false);
    expect(check(result, 'system-identifier')).toMatchObject({ ok: false, expected: '42' });
    expect(check(result, 'position').ok).toBe(false);
    const bad = [
      { ...receipt, engine: { ...receipt.engine, name: 'redis' } },
      { ...receipt, position: null },
      { ...receipt, position: { ...receipt.position, lsn: 'x' } },
      { ...receipt, restore: {} },
    ];
    for (const entry of bad) {
      await expect(verify(it.roleEnv, it.dir, entry)).rejects.toMatchObject({
        code: 'INVALID_FIELD',
        field: 'receipt',
      });
    }
  });

  test('the deep check says which grant it lacks, passes on sound data, and finds a corrupt index', async () => {
    const receipt = await freeze(it.roleEnv, it.dir, 'deep');
    const deep = { deep: true, deepTimeoutMs: 60_000 };
    const { rows } = await it.admin.query<{ name: string }>(
      'SELECT datname AS name FROM pg_database WHERE NOT datistemplate ORDER BY 1',
    );
    let result = await verify(it.roleEnv, it.dir, receipt, deep);
    expect(check(result, 'amcheck:postgres').message).toContain('CREATE EXTENSION amcheck;');
    for (const { name } of rows) await (await it.connect(name)).query('CREATE EXTENSION amcheck');
    result = await verify(it.roleEnv, it.dir, receipt, deep);
    expect(check(result, 'amcheck:postgres').message).toMatch(
      /GRANT EXECUTE ON FUNCTION "public"\.bt_index_check\(regclass, boolean\) TO "quiesce";/,
    );
    for (const { name } of rows) {
      const client = await it.connect(name);
      await client.query('GRANT EXECUTE ON FUNCTION bt_index_check(regclass, boolean) TO quiesce');
      if (major >= 14)
        await client.query(
          'GRANT EXECUTE ON FUNCTION verify_heapam(regclass, boolean, boolean, text, bigint, bigint) TO quiesce',
        );
    }
    result = await verify(it.roleEnv, it.dir, receipt, deep);
    expect(result.checks.filter(({ ok }) => !ok)).toEqual([]);
    expect(check(result, 'amcheck:postgres').message).toMatch(/\d+ B-tree indexes/);
    const hurried = await verify(it.roleEnv, it.dir, receipt, { deep: true, deepTimeoutMs: 1 });
    expect(check(hurried, 'amcheck:postgres')).toMatchObject({ ok: false });
    expect(check(hurried, 'amcheck:postgres').message).toContain('not finished within 1 ms');
    await corruptIndex();
    result = await verify(it.roleEnv, it.dir, receipt, deep);
    expect(check(result, 'amcheck:postgres')).toMatchObject({ ok: false });
    expect(check(result, 'amcheck:postgres').message).toContain('victim_pkey');
    expect(check(result, 'amcheck:shop').ok).toBe(true);
  });

  async function corruptIndex(): Promise<void> {
    await it.admin.query('CREATE TABLE victim (n int PRIMARY KEY)');
    await it.admin.query('INSERT INTO victim SELECT generate_series(1, 5000)');
    const { rows } = await it.admin.query<{ path: string }>(
      `SELECT pg_relation_filepath('victim_pkey') AS path`,
    );
    await it.server.stop();
    const file = await open(join(it.dataDir, rows[0]?.path ?? ''), 'r+');
    await file.write(Buffer.alloc(4_000, 0x5a), 0, 4_000, 8_192 + 4_000);
    await file.close();
    await it.server.start();
    await it.reconnect();
  }
});

describe('the check of a position', () => {
  const position = {
    lsn: '0/500',
    startLsn: '0/100',
    checkpointLsn: '0/120',
    stopLsn: '0/300',
    markerLsn: '0/500',
    timeline: 1,
    serverStartedAt: '2026-01-01T00:00:00.000Z',
  };
  const proof = { found: false, detail: '' };

  test('replay past the position counts only on the timeline of the freeze', () => {
    const at = (
      witnesses: { timeline: number; lsn: string }[],
      history?: { timeline: number; switchLsn: bigint }[],
    ) => ({
      replay: {
        inRecovery: true,
        lsn: '0/900',
        timeline: Math.max(...witnesses.map(({ timeline }) => timeline)),
        witnesses,
      },
      sameRun: false,
      history,
      proof,
    });
    expect(judgePosition(position, at([{ timeline: 1, lsn: '0/900' }])).ok).toBe(true);
    expect(judgePosition(position, at([{ timeline: 1, lsn: '0/400' }])).ok).toBe(false);
    expect(judgePosition(position, at([{ timeline: 2, lsn: '0/900' }])).ok).toBe(false);
    expect(
      judgePosition(
        position,
        at([{ timeline: 2, lsn: '0/900' }], [{ timeline: 1, switchLsn: 0x4ffn }]),
      ).ok,
    ).toBe(false);
    expect(
      judgePosition(
        position,
        at([{ timeline: 2, lsn: '0/900' }], [{ timeline: 1, switchLsn: 0x500n }]),
      ).ok,
    ).toBe(true);
  });

  test('a timeline that is older, unknown or unrelated fails', () => {
    const on = (timeline: number, history?: { timeline: number; switchLsn: bigint }[]) => ({
      replay: { inRecovery: false, lsn: '0/900', timeline, witnesses: [] },
      sameRun: false,
      history,
      proof,
    });
    const third = { ...position, timeline: 3 };
    expect(judgeTimeline(third, on(2)).ok).toBe(false);
    expect(judgeTimeline(third, on(4)).ok).toBe(false);
    expect(judgeTimeline(third, on(4, [{ timeline: 1, switchLsn: 0x900n }])).ok).toBe(false);
    expect(judgeTimeline(third, on(4, [{ timeline: 3, switchLsn: 0x600n }])).ok).toBe(true);
  });
});
