import { existsSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Client } from 'pg';
import { afterEach, describe, expect, it } from 'vitest';
import type { EmbeddedPostgres } from '../../src/testbed/postgres/server.ts';
import type { Acked } from '../../src/testbed/postgres/load.ts';
import { runCli } from '../../src/testbed/processes.ts';
import { positionSchema, restoreSchema } from '../../src/engines/postgres/receipt.ts';
import {
  pauseInJournal,
  journalOf,
  endPause,
  recordPause,
} from '../../src/engines/postgres/freeze/paused/pause.ts';
import { readServer } from '../../src/engines/postgres/server.ts';
import { Session } from '../../src/engines/postgres/connection/session.ts';
import { parseSettings } from '../../src/engines/postgres/connection/settings.ts';
import { type Receipt, receiptSchema } from '../../src/receipt/receipt.ts';
import { MAJORS } from '../support/postgres.ts';
import { Rig } from '../support/rig.ts';
import { examine, query, roleEnv } from '../support/superuser.ts';
import { makeStandby, type Standby } from '../support/standby.ts';
import { startVerifier } from '../support/verifier.ts';

let rig: Rig;
afterEach(async () => {
  await rig.dispose();
});

interface Replay {
  readonly paused: boolean;
  readonly lsn: string;
  readonly behind: number;
}

async function replay({ server }: Standby): Promise<Replay> {
  const [row] = await query<Replay>(
    server,
    `SELECT pg_is_wal_replay_paused() AS paused, pg_last_wal_replay_lsn()::text AS lsn,
            (pg_last_wal_receive_lsn() - pg_last_wal_replay_lsn())::float8 AS behind`,
  );
  if (!row) throw new Error('no row');
  return row;
}

/** Expects that replay goes on and reaches what the primary has flushed by now. */
async function expectFollowing(standby: Standby): Promise<void> {
  const [primary] = await rig.sql<{ lsn: string }>(
    'SELECT pg_current_wal_flush_lsn()::text AS lsn',
  );
  await expect
    .poll(
      async () =>
        await query(
          standby.server,
          `SELECT pg_is_wal_replay_paused() AS paused, pg_last_wal_replay_lsn() >= '${primary?.lsn}' AS there`,
        ),
      { timeout: 20_000 },
    )
    .toEqual([{ paused: false, there: true }]);
}

/** The pids of our sessions that sleep on the server. */
async function switches({ server }: Standby): Promise<number[]> {
  const rows = await query<{ pid: number }>(
    server,
    `SELECT pid FROM pg_stat_activity WHERE usename = 'quiesce' AND wait_event = 'PgSleep'`,
  );
  return rows.map(({ pid }) => pid);
}

async function resumeSwitches(standby: Standby): Promise<number> {
  return (await switches(standby)).length;
}

async function freeze(standby: Standby, body: object = {}): Promise<Receipt> {
  const frozen = await standby.sidecar.api('POST', '/v1/freeze', body);
  expect(frozen.status, JSON.stringify(frozen.body)).toBe(200);
  return receiptSchema.parse(frozen.body);
}

/** The acknowledged writes, once all of them are on the standby's disk. */
async function ackedAndSent(standby: Standby): Promise<Acked> {
  const acked = rig.load.snapshotAcked();
  const [primary] = await rig.sql<{ lsn: string }>(
    'SELECT pg_current_wal_flush_lsn()::text AS lsn',
  );
  await expect
    .poll(async () =>
      query(standby.server, `SELECT pg_last_wal_receive_lsn() >= '${primary?.lsn}' AS there`),
    )
    .toEqual([{ there: true }]);
  return acked;
}

async function restoreAndExamine(copy: string, acked: Acked): Promise<void> {
  const prepared = await runCli(['prepare-restore', '--data', copy], {});
  expect(prepared, prepared.stderr).toMatchObject({ code: 0 });
  await rm(join(copy, 'pgdata/standby.signal'));
  const restored = await rig.serverOn(copy);
  await restored.start();
  const verifier = await startVerifier(rig, copy, restored);
  const report = await examine(restored, acked);
  expect(report.checks.filter((check) => !check.ok)).toEqual([]);
  expect(report.amcheck).toEqual([]);
  await verifier.stop();
  await restored.stop('fast');
}

/**
 * The adversary: the primary writes and checkpoints, and both servers write everything they have.
 */
async function disturb(standby: Standby): Promise<void> {
  await sleep(600);
  await rig.sql('SELECT pg_switch_wal(); CHECKPOINT');
  await query(standby.server, 'CHECKPOINT');
  await sleep(300);
}

describe.each(MAJORS)('a standby of PostgreSQL %i with QUIESCE_REPLICA=pause', (major) => {
  it('catches up under load, pauses, restores from a snapshot, and follows again', async () => {
    rig = await Rig.make({ major });
    await rig.load.start();
    const standby = await makeStandby(rig, { QUIESCE_REPLICA: 'pause' });
    await standby.sidecar.start();
    await sleep(500);
    const acked = await ackedAndSent(standby);
    const asked = performance.now();
    const receipt = await freeze(standby, { id: 'paused' });
    expect(receipt).toMatchObject({
      mode: 'replica-paused',
      copy: 'snapshot',
      writesBlocked: false,
      engine: { role: 'standby' },
      evidence: { onVolume: true },
      reasons: [],
    });
    const position = positionSchema.parse(receipt.position);
    expect(position.replica?.waitMs).toBeGreaterThanOrEqual(0);
    expect(restoreSchema.parse(receipt.restore).backupLabel).toContain('BACKUP FROM: standby');
    expect(await standby.sidecar.metrics()).toMatch(
      /stateful_backup_replica_wait_seconds\{[^}]*\} [\d.e-]+/,
    );
    await disturb(standby);
    const during = await replay(standby);
    expect(during).toMatchObject({ paused: true, lsn: position.lsn });
    expect(during.behind).toBeGreaterThan(0);
    const copy = await standby.volume.snapshot('inside');
    const thawed = await standby.sidecar.api('POST', '/v1/thaw');
    expect(thawed.body, JSON.stringify(thawed.body)).toMatchObject({ verdict: 'consistent' });
    expect((await replay(standby)).paused).toBe(false);
    expect(await resumeSwitches(standby)).toBe(0);
    await expectFollowing(standby);
    // Writers on the primary do not wait for the freeze.
    const { longestGapMs } = rig.load.latencies.window(asked, performance.now());
    expect(longestGapMs).toBeLessThan(2_000);
    await rig.load.stop();
    await restoreAndExamine(copy.path, acked);
  });

  it('resumes replay when the freeze misses its deadline', async () => {
    rig = await Rig.make({ major });
    const standby = await makeStandby(rig, { QUIESCE_REPLICA: 'pause' });
    const { sidecar } = standby;
    await sidecar.start();
    // A conflict holds replay back, so that it cannot pause, or catch up, in time.
    const blocker = await blockReplay(standby);
    const frozen = await sidecar.api('POST', '/v1/freeze', { id: 'slow', timeout: '1s' });
    expect(frozen.status, JSON.stringify(frozen.body)).toBe(504);
    await expect.poll(async () => (await replay(standby)).paused, { timeout: 10_000 }).toBe(false);
    await blocker.end();
    await expectFollowing(standby);
    expect((await sidecar.api('POST', '/v1/thaw')).status).toBe(409);
  });

  it('resumes replay without any sidecar soon after the lease', async () => {
    rig = await Rig.make({ major });
    const standby = await makeStandby(rig, { QUIESCE_REPLICA: 'pause' });
    await standby.sidecar.start();
    await freeze(standby, { id: 'gone', ttl: '30s' });
    await freeze(standby, { id: 'gone', ttl: '2s', renew: true });
    expect(await resumeSwitches(standby)).toBe(1);
    await standby.sidecar.signal('SIGKILL');
    await sleep(3_000);
    expect((await replay(standby)).paused).toBe(true);
    await expect
      .poll(async () => (await replay(standby)).paused, { timeout: 40_000, interval: 500 })
      .toBe(false);
    expect(await resumeSwitches(standby)).toBe(0);
  });

  it('gets a new switch soon after the sidecar’s sessions were terminated', async () => {
    rig = await Rig.make({ major });
    const standby = await makeStandby(rig, { QUIESCE_REPLICA: 'pause' });
    await standby.sidecar.start();
    await freeze(standby, { id: 'cut-off' });
    const [before] = await switches(standby);
    await query(
      standby.server,
      `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'quiesce'`,
    );
    await expect.poll(() => switches(standby)).toEqual([expect.any(Number)]);
    expect(await switches(standby)).not.toContain(before);
    expect((await standby.sidecar.api('POST', '/v1/thaw', { id: 'cut-off' })).status).toBe(200);
    expect(await switches(standby)).toEqual([]);
    expect((await replay(standby)).paused).toBe(false);
  });

  it('a freeze fails and takes its pause back if the startup process does not answer', async () => {
    rig = await Rig.make({ major });
    const standby = await makeStandby(rig, { QUIESCE_REPLICA: 'pause' });
    await standby.sidecar.start();
    await expectFollowing(standby);
    const [startup] = await query<{ pid: number }>(
      standby.server,
      `SELECT pid FROM pg_stat_activity WHERE backend_type = 'startup'`,
    );
    process.kill(startup?.pid ?? 0, 'SIGSTOP');
    try {
      const frozen = await standby.sidecar.api('POST', '/v1/freeze', { timeout: '1s' });
      // Only 14 and newer wait for its answer. On 13 it was seen between two records, where it
      // stays.
      expect(frozen.status, JSON.stringify(frozen.body)).toBe(major >= 14 ? 504 : 200);
      if (major >= 14) expect((await replay(standby)).paused).toBe(false);
    } finally {
      process.kill(startup?.pid ?? 0, 'SIGCONT');
    }
    await standby.sidecar.api('POST', '/v1/thaw');
    await expectFollowing(standby);
  });

  it('kill -9 while the switch is armed leaves no switch behind after the next start', async () => {
    rig = await Rig.make({ major });
    const standby = await makeStandby(rig, { QUIESCE_REPLICA: 'pause' });
    const { sidecar } = standby;
    for (let round = 0; round < 3; round += 1) {
      await sidecar.start();
      const freezing = sidecar
        .api('POST', '/v1/freeze', { id: `armed-${round}` })
        .catch(() => undefined);
      while ((await resumeSwitches(standby)) === 0) await sleep(1);
      await sidecar.signal('SIGKILL');
      await freezing;
      await sidecar.start();
      await expectFollowing(standby);
      await expect.poll(() => resumeSwitches(standby)).toBe(0);
      await sidecar.stop();
    }
  });

  it('a freeze is refused during another session’s pause, which stays', async () => {
    rig = await Rig.make({ major });
    const standby = await makeStandby(rig, { QUIESCE_REPLICA: 'pause' });
    const { sidecar } = standby;
    await sidecar.start();
    await query(standby.server, 'SELECT pg_wal_replay_pause()');
    const refused = await sidecar.cli('freeze', '--id', 'refused');
    expect(refused.code).toBe(5);
    expect(refused.stderr).toContain('ENGINE_REPLAY_PAUSED');
    await sidecar.signal('SIGKILL');
    await sidecar.start();
    await sidecar.stop();
    expect((await replay(standby)).paused).toBe(true);
  });

  it('a resume during the hold ends the hold at once', async () => {
    rig = await Rig.make({ major });
    const standby = await makeStandby(rig, { QUIESCE_REPLICA: 'pause' });
    await standby.sidecar.start();
    await freeze(standby);
    await query(standby.server, 'SELECT pg_wal_replay_resume()');
    await expect
      .poll(async () => (await standby.sidecar.status()).state, { timeout: 5_000 })
      .toBe('thawed');
    const thaw = await standby.sidecar.api('POST', '/v1/thaw');
    expect(thaw).toMatchObject({ status: 409 });
    expect(thaw.body.receipt.reasons).toContain('replay-resumed');
    expect(existsSync(join(standby.volume.path, '.quiesce/receipt.json'))).toBe(false);
  });

  it('a thaw after a promotion fails, and the new primary can then be frozen', async () => {
    rig = await Rig.make({ major });
    const standby = await makeStandby(rig, { QUIESCE_REPLICA: 'pause' });
    await standby.sidecar.start();
    await freeze(standby);
    await query(standby.server, 'SELECT pg_promote()');
    const thaw = await standby.sidecar.api('POST', '/v1/thaw');
    expect(thaw).toMatchObject({ status: 409 });
    expect(thaw.body.receipt.reasons.join()).toMatch(/role-changed|replay-resumed/);
    const receipt = await freeze(standby, { id: 'as-primary' });
    expect(receipt).toMatchObject({ mode: 'sealed', engine: { role: 'primary' } });
    expect(receipt.notes.join(' ')).toContain('QUIESCE_REPLICA=pause changes nothing here');
    expect((await standby.sidecar.api('POST', '/v1/thaw')).status).toBe(200);
  });

  it('a primary that dies during the hold changes nothing on the paused standby', async () => {
    rig = await Rig.make({ major });
    const standby = await makeStandby(rig, { QUIESCE_REPLICA: 'pause' });
    await standby.sidecar.start();
    const receipt = await freeze(standby);
    await rig.server.stop('immediate');
    await sleep(1_500);
    expect(await replay(standby)).toMatchObject({ paused: true, lsn: receipt.position?.['lsn'] });
    expect((await standby.sidecar.api('POST', '/v1/thaw')).status).toBe(200);
    expect((await replay(standby)).paused).toBe(false);
  });

  it('refuses a freeze without the grants, without a primary, and for several volumes', async () => {
    rig = await Rig.make({ major });
    const standby = await makeStandby(rig, { QUIESCE_REPLICA: 'pause' });
    const { sidecar } = standby;
    await sidecar.start();
    await rig.sql('REVOKE EXECUTE ON FUNCTION pg_wal_replay_resume() FROM quiesce');
    await expectFollowing(standby);
    const grants = await sidecar.cli('freeze');
    expect(grants.code).toBe(5);
    expect(grants.stderr).toContain('ENGINE_PRIVILEGE');
    expect(grants.stderr).toContain(
      'GRANT EXECUTE ON FUNCTION pg_catalog.pg_wal_replay_resume() TO "quiesce";',
    );
    await rig.sql('GRANT EXECUTE ON FUNCTION pg_wal_replay_resume() TO quiesce');
    await expectFollowing(standby);
    await rig.server.stop('immediate');
    const alone = await sidecar.cli('freeze');
    expect(alone.code).toBe(5);
    expect(alone.stderr).toContain('ENGINE_NOT_STREAMING');
    expect((await replay(standby)).paused).toBe(false);
    await sidecar.stop();
    sidecar.env['QUIESCE_COPY'] = 'volumes';
    await sidecar.start();
    expect((await sidecar.cli('freeze')).stderr).toContain('COPY_UNSUPPORTED');
  });

  it('does not wait for the commit of an open transaction on an idle primary', async () => {
    rig = await Rig.make({ major });
    const standby = await makeStandby(rig, { QUIESCE_REPLICA: 'pause' });
    await standby.sidecar.start();
    await rig.sql('CREATE TABLE half (t text)');
    const open = await connect(rig.server);
    await open.query(
      `BEGIN; INSERT INTO half SELECT repeat('x', 900) FROM generate_series(1, 3000)`,
    );
    await sleep(700);
    const began = performance.now();
    await freeze(standby);
    expect(performance.now() - began).toBeLessThan(5_000);
    expect((await standby.sidecar.api('POST', '/v1/thaw')).status).toBe(200);
    await open.query('COMMIT');
    await open.end();
  });

  it('a backend that was asked to pause and sleeps is gone before the pause counts as ended', async () => {
    rig = await Rig.make({ major });
    const standby = await makeStandby(rig);
    const { settings } = parseSettings(roleEnv(standby.server));
    const after = (ms: number): AbortSignal => AbortSignal.timeout(ms);
    const sleeper = await Session.open(settings, after(5_000));
    const server = await readServer(sleeper, after(5_000));
    const record = await recordPause(sleeper, server, after(5_000));
    expect(pauseInJournal(journalOf(record))).toEqual(record);
    const pid = record.backend?.pid ?? 0;
    process.kill(pid, 'SIGSTOP');
    const late = sleeper.query('SELECT pg_catalog.pg_wal_replay_pause()', [], after(500));
    await expect(late).rejects.toThrow('was cancelled');
    const other = await Session.open(settings, after(5_000));
    await expect(endPause(other, record, after(700))).rejects.toThrow();
    await other.close();
    process.kill(pid, 'SIGCONT');
    const again = await Session.open(settings, after(5_000));
    await endPause(again, record, after(5_000));
    await again.close();
    await sleep(500);
    expect((await replay(standby)).paused).toBe(false);
    await sleeper.close();
  });
});

/** Starts a query on the standby for which a cleanup from the primary has to wait. */
async function blockReplay({ server }: Standby): Promise<Client> {
  await rig.sql('CREATE TABLE IF NOT EXISTS conflict AS SELECT generate_series(1, 1000) AS n');
  const [at] = await rig.sql<{ lsn: string }>('SELECT pg_current_wal_flush_lsn()::text AS lsn');
  await expect
    .poll(async () => query(server, `SELECT pg_last_wal_replay_lsn() >= '${at?.lsn}' AS there`))
    .toEqual([{ there: true }]);
  const client = await connect(server);
  await client.query('BEGIN; SELECT count(*) FROM conflict');
  await rig.sql('DROP TABLE conflict');
  await sleep(300);
  return client;
}

async function connect(server: EmbeddedPostgres): Promise<Client> {
  const client = new Client(server.superuser());
  client.on('error', () => undefined);
  await client.connect();
  return client;
}
