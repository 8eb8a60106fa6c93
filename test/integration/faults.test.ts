import { existsSync } from 'node:fs';
import { readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { runCli } from '../../src/demo/processes.ts';
import type { Receipt } from '../../src/freeze/receipt.ts';
import { MAJORS } from '../support/postgres.ts';
import { Rig } from '../support/rig.ts';

let rig: Rig;
afterEach(async () => {
  await rig.dispose();
});

/** What a freeze must never leave behind in a server, whoever died. */
async function expectNothingLeft(): Promise<void> {
  await expect
    .poll(
      async () => {
        const slots = await rig.sql('SELECT slot_name FROM pg_replication_slots');
        const sessions = await rig.sql(
          `SELECT pid FROM pg_stat_activity WHERE usename = 'quiesce' AND state <> 'idle'`,
        );
        return { slots, sessions };
      },
      { timeout: 10_000 },
    )
    .toEqual({ slots: [], sessions: [] });
  expect(existsSync(join(rig.server.options.dataDir, 'backup_label'))).toBe(false);
  if (rig.server.options.major < 15) {
    expect(await rig.sql('SELECT pg_is_in_backup() AS open')).toEqual([{ open: false }]);
  }
  await rig.sql('CREATE TABLE writable (); DROP TABLE writable');
}

describe.each(MAJORS)('PostgreSQL %i', (major) => {
  beforeEach(async () => {
    rig = await Rig.make({ major });
  });

  it('kill -9 of the sidecar at any step leaves nothing behind and no success', async () => {
    await rig.load.start();
    // From before the journal is written to well after the hold is in place.
    for (const delay of [5, 20, 40, 60, 90, 130, 200, 300, 450, 700]) {
      await rig.sidecar.start();
      const id = `killed-after-${delay}`;
      const freezing = rig.sidecar.cli('freeze', '--id', id);
      await sleep(delay);
      await rig.sidecar.signal('SIGKILL');
      const shim = await freezing;
      await expectNothingLeft();
      await rig.sidecar.start();
      expect((await rig.sidecar.status()).state).toBe('thawed');
      expect(existsSync(join(rig.volume.path, '.quiesce/receipt.json'))).toBe(false);
      for (const args of [['thaw'], ['thaw', '--id', id]]) {
        const thaw = await rig.sidecar.cli(...args);
        expect(
          thaw.code,
          `after ${delay} ms, shim ${shim.code}: ${thaw.stdout}${thaw.stderr}`,
        ).toBe(7);
      }
      await rig.sidecar.stop();
    }
  });

  it('kill -9 of the shim while it freezes rolls back; afterwards the lease holds on', async () => {
    await rig.load.start();
    await rig.sidecar.start();
    const { spawn } = await import('node:child_process');
    const { cliPath } = await import('../../src/demo/processes.ts');
    for (const delay of [45, 70, 110]) {
      const shim = spawn(process.execPath, [cliPath(), 'freeze', '--id', `shim-${delay}`], {
        env: { ...process.env, QUIESCE_SOCKET: rig.sidecar.socket },
        stdio: 'ignore',
      });
      await sleep(delay);
      shim.kill('SIGKILL');
      await expect
        .poll(async () => (await rig.sidecar.status()).state, { timeout: 10_000 })
        .toMatch(/^(thawed|frozen)$/);
      const { state } = await rig.sidecar.status();
      const thaw = await rig.sidecar.cli('thaw');
      expect(thaw.code === 0).toBe(state === 'frozen');
      await expectNothingLeft();
    }
  });

  it('SIGTERM thaws first; the freeze is not consistent afterwards', async () => {
    await rig.sidecar.start();
    expect(await rig.sidecar.cli('freeze', '--id', 'stopped')).toMatchObject({ code: 0 });
    await rig.sidecar.stop();
    expect(await readdir(join(rig.volume.path, '.quiesce'))).toEqual([]);
    await expectNothingLeft();
    await rig.sidecar.start();
    const thaw = await rig.sidecar.api('POST', '/v1/thaw', { id: 'stopped' });
    expect(thaw).toMatchObject({
      status: 409,
      body: { receipt: { reasons: ['sidecar-stopped'] } },
    });
  });

  it('a server that dies under the hold ends it at once; a restart does not mend that', async () => {
    await rig.sidecar.start();
    await rig.sidecar.api('POST', '/v1/freeze', { id: 'dies' });
    await rig.server.kill();
    await expect
      .poll(async () => (await rig.sidecar.status()).state, { timeout: 10_000 })
      .toBe('thawed');
    await rig.server.start();
    const thaw = await rig.sidecar.api('POST', '/v1/thaw');
    expect(thaw.status).toBe(409);
    expect(thaw.body.receipt.reasons).toContain('hold-lost');
    expect(await rig.sidecar.metrics()).toMatch(/stateful_backup_consistency_check\{[^}]*\} 0/);
    await expect
      .poll(async () => (await rig.sidecar.status()).engine.reachable, { timeout: 10_000 })
      .toBe(true);
    expect((await rig.sidecar.api('POST', '/v1/freeze', {})).status).toBe(200);
  });

  it('a restart faster than anybody looks is seen at thaw', async () => {
    await rig.sidecar.start();
    await rig.sidecar.api('POST', '/v1/freeze', { id: 'restarted' });
    await rig.server.stop('fast');
    await rig.server.start();
    const thaw = await rig.sidecar.api('POST', '/v1/thaw');
    expect(thaw.status).toBe(409);
    expect(thaw.body.receipt.reasons.join()).toMatch(/server-(restarted|lost)/);
  });

  it('a backend killed with -9 restarts the server under the same postmaster: not consistent', async () => {
    await rig.sidecar.start();
    await rig.sidecar.api('POST', '/v1/freeze', { id: 'crashed' });
    const [victim] = await rig.sql<{ pid: number }>('SELECT pg_backend_pid() AS pid');
    expect(victim).toBeDefined();
    const rows = await rig.sql<{ pid: number }>(
      `SELECT pid FROM pg_stat_activity WHERE usename = 'quiesce'`,
    );
    process.kill(rows[0]?.pid ?? 0, 'SIGKILL');
    await sleep(1_500);
    const thaw = await rig.sidecar.api('POST', '/v1/thaw');
    expect(thaw.status).toBe(409);
    expect(thaw.body.receipt.reasons.join()).toMatch(/server-(crashed|lost)/);
  });

  it('losing only its own connection does not end a sealed freeze', async () => {
    await rig.sidecar.start();
    await rig.sidecar.api('POST', '/v1/freeze', { id: 'terminated' });
    await rig.sql(
      `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'quiesce'`,
    );
    await sleep(1_500);
    expect((await rig.sidecar.status()).state).toBe('frozen');
    expect((await rig.sidecar.api('POST', '/v1/thaw')).status).toBe(200);
  });

  it('a stalled server: the freeze fails at its deadline, and nothing freezes afterwards', async () => {
    await rig.sidecar.start();
    const pid = rig.server.pid ?? 0;
    process.kill(pid, 'SIGSTOP');
    try {
      const began = Date.now();
      const frozen = await rig.sidecar.cli('freeze', '--id', 'stalled', '--timeout', '1s');
      expect(frozen.code, frozen.stderr).toBe(6);
      expect(Date.now() - began).toBeLessThan(4_000);
    } finally {
      process.kill(pid, 'SIGCONT');
    }
    await sleep(500);
    expect((await rig.sidecar.status()).state).toBe('thawed');
    expect(await rig.sidecar.cli('thaw')).toMatchObject({ code: 7 });
    await expectNothingLeft();
  });

  it('a lease that ran out: the thaw fails, says when, and everything is released', async () => {
    await rig.sidecar.start();
    const frozen = await rig.sidecar.cli('freeze', '--ttl', '700ms', '--id', 'late');
    expect(frozen, frozen.stderr).toMatchObject({ code: 0 });
    const inside = await rig.snapshot('inside');
    await expect.poll(async () => (await rig.sidecar.status()).state).toBe('thawed');
    const thaw = await rig.sidecar.cli('thaw');
    expect(thaw.code).toBe(7);
    expect(thaw.stderr).toContain('NOT_CONSISTENT');
    expect(thaw.stdout).toContain('lease-expired');
    expect(existsSync(join(inside.path, '.quiesce/receipt.json'))).toBe(true);
    expect(await rig.sidecar.metrics()).toMatch(/stateful_backup_auto_thaw_total\{[^}]*\} 1/);
    await expectNothingLeft();
  });

  it('a sidecar that stood still past the lease does not call it consistent', async () => {
    await rig.sidecar.start();
    await rig.sidecar.cli('freeze', '--ttl', '600ms', '--id', 'still');
    await rig.sidecar.signal('SIGSTOP');
    const thaw = rig.sidecar.cli('thaw');
    await sleep(1_200);
    await rig.sidecar.signal('SIGCONT');
    expect((await thaw).code).toBe(7);
  });
});

it('a copy whose WAL tail is missing is refused; started all the same, it is reported and never verified', async () => {
  rig = await Rig.make({ major: 17 });
  await rig.sidecar.start();
  await rig.load.start();
  await sleep(500);
  const { body } = await rig.sidecar.api('POST', '/v1/freeze', { id: 'torn' });
  const receipt = body as Receipt;
  const copy = await rig.snapshot('torn');
  await rig.sidecar.api('POST', '/v1/thaw');
  await rig.load.stop();
  const wal = join(copy.path, 'pgdata/pg_wal');
  const needed = receipt.restore?.['wal'] as { last: string } | undefined;
  const last = needed?.last ?? '';
  for (const name of await readdir(wal)) {
    if (/^[0-9A-F]{24}$/.test(name) && name >= last) await rm(join(wal, name));
  }
  const refused = await runCli(['prepare-restore', '--data', copy.path], {});
  expect(refused.code).toBe(7);
  expect(refused.stderr).toContain('RESTORE_INCOMPLETE');
  expect(existsSync(join(copy.path, 'pgdata/backup_label'))).toBe(false);

  // Somebody starts it without the label: PostgreSQL itself does not complain.
  // (The process its lock file names lives: it is the source, on the same machine here.)
  await rm(join(copy.path, 'pgdata/postmaster.pid'));
  const server = await rig.serverOn(copy.path);
  await server.start();
  const sidecar = await rig.sidecarOn(copy.path, server);
  await sidecar.start();
  await expect
    .poll(async () => (await sidecar.status()).restore?.verified, { timeout: 15_000 })
    .toBe(false);
  expect(await sidecar.metrics()).toMatch(/stateful_backup_restore_verified\{[^}]*\} 0/);
  const verify = await sidecar.api('POST', '/v1/verify', { receipt });
  expect(verify).toMatchObject({ status: 409, body: { error: { code: 'NOT_VERIFIED' } } });
});
