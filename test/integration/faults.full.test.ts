import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { cliPath, runCli } from '../../src/testbed/processes.ts';
import type { Receipt } from '../../src/receipt/receipt.ts';
import { MAJORS } from '../support/postgres.ts';
import { Rig } from '../support/rig.ts';
import { startVerifier } from '../support/verifier.ts';

let rig: Rig;
afterEach(async () => {
  await rig.dispose();
});

/** Checks what no freeze may leave in a server, whichever process died. */
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

  it('kill -9 of the shim rolls a freeze back while it freezes, and leaves the hold to its lease afterwards', async () => {
    await rig.load.start();
    await rig.sidecar.start();
    const seen: string[] = [];
    const killedIn = async (wanted: string): Promise<void> => {
      const id = `shim-${seen.length}`;
      const shim = spawn(process.execPath, [cliPath(), 'freeze', '--id', id], {
        env: { ...process.env, QUIESCE_SOCKET: rig.sidecar.socket },
        stdio: 'ignore',
      });
      const state = async (): Promise<string> => (await rig.sidecar.status()).state;
      await expect.poll(state, { timeout: 20_000, interval: 1 }).toBe(wanted);
      shim.kill('SIGKILL');
      await expect.poll(state, { timeout: 10_000 }).toMatch(/^(thawed|frozen)$/);
      const end = await state();
      seen.push(`killed ${wanted}, ends ${end}`);
      const thaw = await rig.sidecar.cli('thaw', '--id', id);
      expect(thaw.code === 0).toBe(end === 'frozen');
      await expectNothingLeft();
    };
    await killedIn('thawed');
    // The freeze may complete between the look and the kill, so try again.
    const rolledBack = 'killed freezing, ends thawed';
    while (!seen.includes(rolledBack) && seen.length < 8) await killedIn('freezing');
    await killedIn('frozen');
    expect(seen).toContain(rolledBack);
    expect(seen.at(-1)).toBe('killed frozen, ends frozen');
  });

  it('a thaw after a backend was killed with -9 fails, although the postmaster is the same, and leaves nothing behind', async () => {
    await rig.load.start();
    await rig.sidecar.start();
    // The watch reconnects 300 ms after it lost its session; an earlier thaw reconnects itself.
    const told = [230, 260, 290, 310, 1_500].map((ms) => ({
      ms,
      // A server that still recovers cannot be asked.
      reasons: ms < 1_000 ? /server-(crashed|lost)|not-provable/ : /server-(crashed|lost)/,
    }));
    for (const { ms, reasons } of told) {
      await rig.sidecar.api('POST', '/v1/freeze', { id: `crashed-${ms}` });
      const [held] = await rig.sql<{ pid: number }>(
        'SELECT active_pid AS pid FROM pg_replication_slots',
      );
      if (held === undefined) throw new Error('no session holds a slot');
      process.kill(held.pid, 'SIGKILL');
      await sleep(ms);
      const thaw = await rig.sidecar.api('POST', '/v1/thaw');
      expect(thaw.status).toBe(409);
      expect(thaw.body.receipt.reasons.join()).toMatch(reasons);
      await expect
        .poll(async () => (await rig.sidecar.status()).engine.reachable, { timeout: 15_000 })
        .toBe(true);
      await expectNothingLeft();
    }
  });
});

it('a copy without its last WAL is refused, and a server started on it anyway is reported as not verified', async () => {
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

  // A server started without the label: PostgreSQL itself reports nothing. (The process in its lock
  // file is alive: it is the source, on the same machine here.)
  await rm(join(copy.path, 'pgdata/postmaster.pid'));
  const server = await rig.serverOn(copy.path);
  await server.start();
  const sidecar = await startVerifier(rig, copy.path, server, { verified: false });
  expect(await sidecar.metrics()).toMatch(/stateful_backup_restore_verified\{[^}]*\} 0/);
  const verify = await sidecar.api('POST', '/v1/verify', { receipt });
  expect(verify).toMatchObject({ status: 409, body: { error: { code: 'NOT_VERIFIED' } } });
});
