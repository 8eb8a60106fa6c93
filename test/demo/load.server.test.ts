import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { EmbeddedPostgres } from '../../src/testbed/postgres/server.ts';
import { verifyLedger } from '../../src/testbed/postgres/ledger.ts';
import { type Acked, countAcked, WriterLoad } from '../../src/testbed/postgres/load.ts';
import { serverAt, tempDir, withClient } from './server.ts';

let server: EmbeddedPostgres;
let remove: () => Promise<void>;

beforeAll(async () => {
  const temp = await tempDir();
  remove = temp.remove;
  server = await serverAt(join(temp.dir, 'data'), join(temp.dir, 's'));
  await server.initdb();
  await server.start();
});

afterAll(async () => {
  await server.stop('immediate');
  await remove();
});

async function writeFor(
  ms: number,
  options: object = {},
): Promise<{ load: WriterLoad; acked: Acked }> {
  await withClient(server, (client) => client.query('DROP SCHEMA IF EXISTS bank CASCADE'));
  const load = new WriterLoad({ connection: server.superuser(), ...options });
  await load.prepare();
  await load.start();
  await sleep(ms);
  await load.stop();
  return { load, acked: load.snapshotAcked() };
}

const verify = (acked: Acked) => withClient(server, (client) => verifyLedger(client, acked));

async function refuted(acked: Acked, sql: string): Promise<Record<string, string>> {
  await withClient(server, (client) => client.query(sql));
  const report = await verify(acked);
  expect(report.ok).toBe(false);
  return Object.fromEntries(
    report.checks.filter(({ ok }) => !ok).map(({ name, message }) => [name, message]),
  );
}

describe('a writer load', () => {
  it('is verified if nothing was lost, with every acknowledged row counted exactly', async () => {
    const { load, acked } = await writeFor(700, { tables: 3, payloadBytes: 100 });
    const report = await verify(acked);
    expect(report.checks.filter(({ ok }) => !ok)).toEqual([]);
    expect(report.rows).toBe(countAcked(acked));
    expect(report.beyond).toBe(0);
    expect(acked.unknown).toEqual([]);
    expect(load.latencies.count).toBe(countAcked(acked));
    expect(acked.upTo).toHaveLength(8);
    expect(Math.min(...acked.upTo)).toBeGreaterThan(0);
    expect(load.shape.payloadRepeats).toBe(4);
  });

  it('survives a SIGKILL of the server: no acknowledged commit is lost, and no commit stays in doubt', async () => {
    await withClient(server, (client) => client.query('DROP SCHEMA IF EXISTS bank CASCADE'));
    const load = new WriterLoad({ connection: server.superuser() });
    await load.prepare();
    await load.start();
    await sleep(500);
    await server.kill();
    const atKill = load.snapshotAcked();
    await sleep(200);
    await server.start();
    await sleep(700);
    await load.stop();
    const acked = load.snapshotAcked();
    expect(load.errors.length).toBeGreaterThan(0);
    expect(load.losses).toEqual([]);
    expect(countAcked(acked)).toBeGreaterThan(countAcked(atKill));
    const report = await verify(acked);
    expect(report.checks.filter(({ ok }) => !ok)).toEqual([]);
    expect(report.rows).toBe(countAcked(acked));
  });

  it('reports a commit in doubt as unknown if the server does not come back', async () => {
    const load = new WriterLoad({ connection: server.superuser(), clients: 4 });
    await withClient(server, (client) => client.query('DROP SCHEMA IF EXISTS bank CASCADE'));
    await load.prepare();
    await load.start();
    await sleep(400);
    await server.kill();
    await load.stop(500);
    const acked = load.snapshotAcked();
    await server.start();
    const report = await verify(acked);
    expect(report.ok).toBe(true);
    expect(report.beyond).toBeLessThanOrEqual(acked.unknown.length);
  });

  it('reports a loss when a client finds its acknowledged commits missing', async () => {
    const load = new WriterLoad({ connection: server.superuser(), clients: 1, thinkMs: 5 });
    await withClient(server, (client) => client.query('DROP SCHEMA IF EXISTS bank CASCADE'));
    await load.prepare();
    await load.start();
    await sleep(300);
    await withClient(server, async (client) => {
      // The lock keeps clients from writing between the loss and the end of their connections.
      await client.query('BEGIN; LOCK bank.ledger_0; DELETE FROM bank.ledger_0');
      await client.query(
        'SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND datname IS NOT NULL',
      );
      await client.query('COMMIT');
    });
    await expect.poll(() => load.losses.length, { timeout: 10_000 }).toBe(1);
    await load.stop();
    expect(load.losses).toEqual([
      expect.stringMatching(
        /^client 0: transaction \d+ was acknowledged, but the server's last is/,
      ),
    ]);
  });
});

describe('the verification of a ledger', () => {
  it('lists exactly the acknowledged rows that are missing at the end', async () => {
    const { acked } = await writeFor(400);
    const last = acked.upTo[2] ?? 0;
    const found = await refuted(
      acked,
      `DELETE FROM bank.ledger_0 WHERE client = 2 AND seq > ${last - 3}`,
    );
    expect(found['acknowledged']).toBe(
      `acknowledged but missing: client 2 lacks ${last - 2}–${last} of ${last}`,
    );
    expect(found['no-gap']).toBeUndefined();
    expect(found['balances']).toMatch(/balances differ/);
  });

  it('reports a gap even among rows that were not acknowledged', async () => {
    const { acked } = await writeFor(400);
    const earlier: Acked = { ...acked, upTo: acked.upTo.map(() => 1) };
    const found = await refuted(
      earlier,
      'DELETE FROM bank.ledger_0 WHERE client = 5 AND seq IN (2, 3, 5)',
    );
    expect(found['acknowledged']).toBeUndefined();
    expect(found['no-gap']).toBe(`gaps in sequences: client 5 lacks 2–3, 5 below ${acked.upTo[5]}`);
  });

  it('reports a client without any row', async () => {
    const { acked } = await writeFor(300);
    const found = await refuted(acked, 'DELETE FROM bank.ledger_0 WHERE client = 7');
    expect(found['acknowledged']).toContain(`client 7 lacks 1–${acked.upTo[7]}`);
    expect(found['counts']).toBeUndefined();
  });

  it('detects a wrong sum, a wrong balance and a changed payload', async () => {
    const { acked } = await writeFor(300);
    const found = await refuted(
      acked,
      `UPDATE bank.accounts SET balance = balance + 1 WHERE id = 10;
       UPDATE bank.ledger_0 SET payload = overlay(payload placing 'X' from 7) WHERE client = 1 AND seq = 1`,
    );
    expect(found['sum']).toBe('1000 accounts hold 10000001; expected 1000 with 10000000');
    expect(found['balances']).toMatch(/^1 balances differ: account 10 holds/);
    expect(found['payload']).toBe('payloads differ: client 1 seq 1');
  });

  it('detects a missing account', async () => {
    const { acked } = await writeFor(300);
    const found = await refuted(acked, 'DELETE FROM bank.accounts WHERE id = 77');
    expect(found['sum']).toMatch(/^999 accounts hold/);
  });

  it('allows rows committed after the acknowledgements were read', async () => {
    const { acked } = await writeFor(400);
    const earlier: Acked = { ...acked, upTo: acked.upTo.map((seq) => seq - 1) };
    const report = await verify(earlier);
    expect(report.ok).toBe(true);
    expect(report.beyond).toBe(8);
  });

  it('fails on an empty database', async () => {
    const { acked } = await writeFor(200);
    const found = await refuted(acked, 'TRUNCATE bank.ledger_0, bank.accounts');
    expect(Object.keys(found)).toEqual(expect.arrayContaining(['acknowledged', 'sum']));
  });
});
